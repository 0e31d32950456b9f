"""What was claimed, measured: ``python -m benchmarks [NAME …]``."""
