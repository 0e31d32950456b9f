"""The grants in the store: encrypted records, changed by compare-and-swap."""
