"""The CA certificates to trust. They are read once, because that takes tens of milliseconds."""

import os
import ssl
from functools import cache

import httpx2


def trusted() -> ssl.SSLContext:
    """The context for outgoing connections: ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, or the default.

    There is one for all: contexts can be shared, and nothing changes it.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    return httpx2.create_ssl_context()
