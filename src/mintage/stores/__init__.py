"""Where sealed records are kept: one protocol, one file for each engine."""
