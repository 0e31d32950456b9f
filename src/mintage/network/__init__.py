"""Below the requests: TLS trust, TCP keep-alive, the environment's proxies, and Cache-Control."""
