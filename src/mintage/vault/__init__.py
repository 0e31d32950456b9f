"""Grants at rest: sealed records, decided on and replaced by compare-and-swap."""
