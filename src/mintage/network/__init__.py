"""Sockets below HTTP: TLS trust, TCP keep-alive, and the environment's proxies."""
