"""The authorization server (RFC 6749): one file for each endpoint and each grant type."""

from mintage.extras import needs

needs("server")
