"""The sockets that a server listens on. They are bound before anything else is opened.

So a port that is taken gives one line and exit code 2, with one process or with many.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from mintage.errors import ConfigError

BACKLOG: Final = 2048
_MAX_PORT: Final = 65535

log = logging.getLogger("mintage.serve")

Place = tuple[socket.AddressFamily, str]


@contextlib.contextmanager
def listening(
    hosts: Sequence[str], port: int, path: Path | None = None
) -> Generator[list[socket.socket], None, None]:
    """Bound sockets for *port* at each of *hosts*, or for the Unix socket *path* alone.

    The file of a Unix socket is removed when the block ends. Raises `ConfigError`.
    """
    bound = bind(hosts, port) if path is None else [_unix(path)]
    try:
        yield bound
    finally:
        for one in bound:
            one.close()
        if path is not None:
            path.unlink(missing_ok=True)


def bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """A socket for each address of *hosts*; with port 0 all get one free port."""
    if not 0 <= port <= _MAX_PORT:
        raise ConfigError("--port", f"is a number from 0 to {_MAX_PORT}, not {port}")
    bound: list[socket.socket] = []
    try:
        for family, address in _places(hosts):
            bound.append(_bind(family, address, port))
            port = bound[0].getsockname()[1]
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def addresses(sockets: Sequence[socket.socket]) -> str:
    """The addresses of *sockets*, to print."""
    return ", ".join(_address(one) for one in sockets)


def _address(one: socket.socket) -> str:
    name = one.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def _places(hosts: Sequence[str]) -> list[Place]:
    found: list[Place] = []
    for host in hosts:
        found += [place for place in _resolve(host) if place not in found]
    return found


def _resolve(host: str) -> list[Place]:
    """All addresses that *host* names. ``::`` names every address of both families.

    Each family has its own socket: one socket for both would show IPv4 clients as ``::ffff:…``.
    """
    if host == "::":
        if not _has_ipv6():
            log.warning("--host ::: this system has no IPv6; listening on 0.0.0.0 alone")
            return [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]  # noqa: S104
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError("--host", f"{host!r} is no address of this machine: {error}") from None
    return [(socket.AddressFamily(family), str(address[0])) for family, *_, address in found]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    one = socket.socket(family)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((host, port))
    except OSError as error:
        one.close()
        key = "--host" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise ConfigError(key, f"can't listen on {host} port {port}: {_why(error)}") from None
    return one


def listen(sockets: Sequence[socket.socket], *, key: str = "--port") -> None:
    """Accept connections from now on. Another server may have taken the port meanwhile.

    Raises `ConfigError`. *key*: what names the port there.
    """
    for one in sockets:
        try:
            one.listen(BACKLOG)
        except OSError as error:
            raise ConfigError(key, f"can't listen: {_why(error)}") from None


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _unix(path: Path) -> socket.socket:
    """A Unix socket that only this user and group can use.

    A socket file that a killed server left is removed. The socket of a running server is not.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("--unix-socket", "this system has no Unix sockets; use --port")
    try:
        if path.is_socket() and not _is_live(path):
            path.unlink()
        one = socket.socket(socket.AF_UNIX)
        try:
            one.bind(str(path))
            path.chmod(0o660)  # no client can connect yet
            one.listen(BACKLOG)  # at once: a socket that does not listen looks abandoned
        except OSError:
            one.close()
            raise
    except FileNotFoundError:
        why = f"the directory {path.parent} must exist, and this user must be able to write there"
        raise ConfigError("--unix-socket", f"can't listen at {path}: {why}") from None
    except OSError as error:
        raise ConfigError("--unix-socket", f"can't listen at {path}: {_why(error)}") from None
    return one


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0
