"""Network settings below the requests: TLS, TCP keep-alive, proxies, and Cache-Control."""
