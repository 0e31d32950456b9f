"""``issuer``: the public base URL of the server."""

from mintage.errors import ConfigError
from mintage.urls import check_https, whole_url


def check_issuer(issuer: str, key: str) -> None:
    """RFC 8414 §2: an https URL without query or fragment; http only on this machine."""
    parts = whole_url(issuer, key, example="https://auth.example.com")
    check_https(parts, key)
    if parts.path.endswith("/"):
        raise ConfigError(key, "write it without the slash at its end")
