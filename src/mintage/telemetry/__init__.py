"""Telemetry: what is measured, the wrappers that measure it, and who gets the numbers."""
