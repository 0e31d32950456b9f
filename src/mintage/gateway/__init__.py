"""Login in front of any HTTP server: a reverse proxy that never forwards the Mintage token."""

from mintage.extras import needs

needs("server")
