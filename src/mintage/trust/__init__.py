"""Issuers whose assertions are accepted in place of a login: enterprise providers and platforms."""
