"""The CA certificates to trust. They are read once, because that takes tens of milliseconds."""

import asyncio
import os
import ssl
from functools import cache


def trusted() -> ssl.SSLContext:
    """The context for outgoing connections: ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, or the default.

    There is one for all: contexts can be shared, and nothing changes it.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


async def trusted_in_a_thread() -> ssl.SSLContext:
    """As `trusted`. Other requests are answered while the certificates are read."""
    return await asyncio.to_thread(trusted)


@cache
def _context(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()
