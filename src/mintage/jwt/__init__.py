"""JSON Web Tokens: algorithms, keys, claims, and the issuer and verifier made of them.

RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (JWA), RFC 7519 (JWT), RFC 9068 (access tokens).
"""
