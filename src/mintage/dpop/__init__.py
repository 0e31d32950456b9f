"""DPoP (RFC 9449): proofs that the sender of a token holds the key that the token is bound to."""
