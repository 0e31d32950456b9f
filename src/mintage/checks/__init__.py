"""What may be wrong with an installation, looked for before its users find it."""
