"""HTTP/1.1 to backends: a pool of connections, and one request on one of them (RFC 9112)."""
