"""Checks what the environment says about outgoing connections, before the first of them.

Libraries read these variables when they connect. A mistake would fail each request, long after the
start.
"""

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mintage.errors import ConfigError

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SOCKS: Final = ("socks5", "socks5h")


def check_environment(environ: Mapping[str, str]) -> None:
    """Raises `ConfigError`, whose key is the variable's name."""
    _check_certificates(environ)
    for name in _PROXIES:
        for spelling in (name.lower(), name):
            if value := environ.get(spelling):
                _check_proxy(spelling, value)


@contextmanager
def environment_checked(environ: Mapping[str, str]) -> Iterator[None]:
    """Check *environ* beside the block, in a thread: a system's certificates take tens of ms.

    A mistake in it is raised at the end of the block. It takes the place of an error of the block,
    which it may have caused.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        checking = beside.submit(check_environment, dict(environ))
        try:
            yield
        finally:
            checking.result()


def _check_certificates(environ: Mapping[str, str]) -> None:
    if name := environ.get("SSL_CERT_FILE"):
        try:
            file = Path(name).stat()
            _read_certificates(name, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
        except ssl.SSLError as error:
            raise ConfigError(
                "SSL_CERT_FILE", f"{name} holds no certificates in PEM ({error.reason})"
            ) from None
        except OSError as error:
            raise ConfigError("SSL_CERT_FILE", f"{name} can't be read: {error.strerror}") from None
    directory = environ.get("SSL_CERT_DIR")
    for name in directory.split(":") if directory else ():
        if name and not Path(name).is_dir():
            raise ConfigError("SSL_CERT_DIR", f"{name} is no directory")


@lru_cache(maxsize=8)
def _read_certificates(name: str, *_state: int) -> None:
    """Read the file, once for as long as it does not change: a system's takes tens of ms."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=name)


def _check_proxy(name: str, value: str) -> None:
    """Check a proxy's URL. *value* may contain a password, so no message contains it."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(name, "is no address of a proxy; write http://host:port")
    if parts.scheme in _SOCKS and find_spec("socksio") is None:
        raise ConfigError(
            name,
            f"a {parts.scheme} proxy needs the package socksio: pip install socksio; "
            "or name an HTTP proxy",
        )
    if parts.scheme not in ("http", "https", *_SOCKS):
        raise ConfigError(
            name, f"proxies of the kind {parts.scheme}:// are not supported; name an http:// proxy"
        )
