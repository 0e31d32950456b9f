"""The protected resource (RFC 6750, RFC 9728): bearer tokens, and the challenges for bad ones."""
