"""Login in front of any HTTP server: a reverse proxy that keeps the Mintage token to itself."""

from mintage.extras import needs

needs("server")
