"""Checks an installation for faults, before its users find them."""
