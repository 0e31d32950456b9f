"""What a server is called, what it protects, and what answers there."""
