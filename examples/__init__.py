"""Complete examples, each started by one command (see README.md)."""
