"""What serves a resource: a backend over HTTP, a command that Mintage runs, or another server."""

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from mintage.errors import ConfigError
from mintage.partly_shown import PartlyShown
from mintage.urls import whole_url
from mintage.values import Secret

_UNIX: Final = "unix:"
_PORTS: Final = {"http": 80, "https": 443}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many seconds to wait for a backend, and how many requests to send it at once.

    *connect*: for a connection; *answer*: from a request's last byte to the head of its response;
    *silence*: between two parts of a body, None for no limit. *requests*: at most so many at once,
    and *requests_per_user* of one user.
    """

    connect: float = 5.0
    answer: float = 300.0
    silence: float | None = None
    requests: int = 4096
    requests_per_user: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """A backend at *host* and *port*, or at *socket*, the path of a Unix socket.

    *path* begins each request's path. *authority* is the backend's name in ``Host``. *trust*: what
    its certificate is verified with; None without TLS. *pass_headers*: the only headers of a client
    that it gets, None for all; *drop_headers*: those that it does not get.
    """

    authority: str
    path: str
    host: str = ""
    port: int = 0
    tls: bool = False
    socket: str | None = None
    trust: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    limits: Limits = field(default_factory=Limits)
    pass_headers: tuple[str, ...] | None = None
    drop_headers: tuple[str, ...] = ()

    @classmethod
    def parse(cls, backend: str, key: str) -> "HttpTarget":
        """``http://host:port/path``, ``https://…``, or ``unix:/run/app.sock`` with ``:/path``.

        Raises `ConfigError` under *key*.
        """
        if backend.startswith(_UNIX):
            return cls._unix(backend.removeprefix(_UNIX), key)
        parts = whole_url(backend, key, example="http://127.0.0.1:8000")
        if parts.scheme not in _PORTS:
            raise ConfigError(key, "must be an http or https URL, or unix:/path/of/a.socket")
        return cls(
            authority=parts.netloc,
            path=parts.path,
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "https",
        )

    @classmethod
    def _unix(cls, rest: str, key: str) -> "HttpTarget":
        socket, _, path = rest.partition(":")
        if not re.match(r"/[^/]", socket) or (path and not path.startswith("/")):
            raise ConfigError(key, "must be like unix:/run/app.sock or unix:/run/app.sock:/path")
        whole_url(f"http://localhost{path}", key, example="unix:/run/app.sock:/path")
        return cls(authority="localhost", path=path, socket=socket)

    @property
    def url(self) -> str:
        """The address that the backend itself uses, in a redirect for example."""
        return f"http{'s' if self.tls else ''}://{self.authority}{self.path}"

    def at(self, rest: str, query: bytes) -> bytes:
        """The request target (RFC 9112 §3.2.1) of *rest*, the part after the resource's path."""
        path = (self.path.rstrip("/") + rest if rest else self.path) or "/"
        return path.encode("ascii") + (b"?" + query if query else b"")


class Command(PartlyShown, frozen=True, kw_only=True):
    """What to run, and how often at most. *environ*: in addition to PATH, HOME and the like."""

    not_shown = ("environ",)

    run: Sequence[str]
    environ: Mapping[str, Secret]
    max_sessions: int
    max_sessions_per_user: int
    idle_seconds: float  # without a request, after which a session ends


class External(msgspec.Struct, frozen=True):
    """Another server serves it: the application around Mintage, or one whose proxy asks here."""
