"""Which certificate authorities are trusted: read once, for it takes tens of milliseconds."""

import os
import ssl
from functools import cache

import httpx2


def trusted() -> ssl.SSLContext:
    """The context for what goes out: ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, else the usual ones.

    One for all: contexts are safe to share, and nobody changes it.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    return httpx2.create_ssl_context()
