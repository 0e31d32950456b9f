"""Storage of encrypted records: one protocol, one file for each engine."""
