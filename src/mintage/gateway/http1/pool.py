"""The connections to one backend: reused while they are fresh, and limited in number."""

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from mintage.errors import InvalidRequest
from mintage.gateway.headers import RawHeaders, lines_to_backend
from mintage.gateway.http1.connection import BackendError, Connection
from mintage.gateway.http1.slow_requests import SlowRequests
from mintage.network.tcp import notice_its_end
from mintage.site.targets import HttpTarget

# uvicorn and Node hang up after five seconds. A request that meets the hang-up on its way is
# lost, and one with effects can't be sent again.
_WARM_SECONDS: Final = 4.0
_MAX_WARM: Final = 256
_GONE_SECONDS: Final = 60  # without a sign of life, after which a backend counts as gone
P = TypeVar("P", bound=asyncio.Protocol)
User = tuple[str, str]
"""(issuer, subject): whose place a request takes, whatever clients that user has."""

_USUAL_METHODS: Final = frozenset({"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"})
_METHOD: Final = re.compile(r"[A-Z]+(?:-[A-Z]+)*")
_TARGET: Final = re.compile(rb"/[!-~]*")


class Begun(msgspec.Struct, frozen=True):
    """A request up to its last headers. *raw* is all of it in bytes.

    *headers* are in it, and *chunked* if the body is sent in chunks.
    """

    method: str
    target: bytes
    headers: RawHeaders
    chunked: bool
    raw: bytes

    def head(self, more: RawHeaders, lines: bytes = b"") -> bytes:
        """The whole head, with *more* headers behind *lines*, which are whole headers already.

        Raises `InvalidRequest` for a line break in one.
        """
        return b"%b%b%b\r\n\r\n" % (self.raw, lines, lines_to_backend(more))


class Pool:
    """The connections to one backend."""

    def __init__(self, target: HttpTarget) -> None:
        self.target = target
        self.limits = target.limits
        self._warm: deque[Connection] = deque()
        self._taken = 0
        self._held: dict[User, int] = {}
        self.slow = SlowRequests()
        self.base = target.url
        self._authority = target.authority.encode("ascii")
        self.where = target.authority if target.socket is None else str(target.socket)

    @property
    def taken(self) -> int:
        """How many requests and streams are open."""
        return self._taken

    def begin(
        self, method: str, target: bytes, headers: RawHeaders, *, chunked: bool = False
    ) -> Begun:
        """A request line and *headers*. Raises `InvalidRequest` if they can't contain it."""
        if method not in _USUAL_METHODS and not _METHOD.fullmatch(method):
            raise InvalidRequest("write the method in capital letters, like POST")
        if not _TARGET.fullmatch(target):
            raise InvalidRequest("the path or query holds a character that must be percent-encoded")
        line = b"%b %b HTTP/1.1\r\nhost: %b" % (method.encode(), target, self._authority)
        framing = [(b"transfer-encoding", b"chunked")] if chunked else []
        return Begun(
            method, target, headers, chunked, line + lines_to_backend([*headers, *framing])
        )

    def take(self, user: User) -> Connection | None:
        """Take a place for one request of *user*; `give` it back in any case.

        Returns the connection that was used last, if it can be used again. If there is none, call
        `connect`. Raises `BackendError` if there is no place.
        """
        self.count(user)
        if not self._warm:
            return None
        limit = time.monotonic() - _WARM_SECONDS
        while self._warm:  # all others are older
            connection = self._warm.pop()
            if connection.idle_since > limit and connection.reusable:
                connection.reused = True
                return connection
            connection.close()
        return None

    def give(self, connection: Connection | None, user: User) -> None:
        """Give back a place. *connection* is kept if it can be used again, otherwise closed."""
        self._uncount(user)
        if connection is None:
            return
        warm = self._warm
        if not connection.reusable or len(warm) >= _MAX_WARM:
            connection.close()
            return
        connection.idle_since = now = time.monotonic()
        warm.append(connection)
        if now - warm[0].idle_since > _WARM_SECONDS:
            warm.popleft().close()

    @contextmanager
    def counted(self, user: User) -> Iterator[None]:
        """A block that opens a connection of its own: it counts as a request for that long."""
        self.count(user)
        try:
            yield
        finally:
            self._uncount(user)

    def close(self) -> None:
        while self._warm:
            self._warm.pop().close()

    def count(self, user: User) -> None:
        """Take a place for a request of *user*. Raises `BackendError` if there is none."""
        if self._taken >= self.limits.requests:
            raise BackendError(503, "the backend has all the requests it may have at once")
        held = self._held.get(user, 0)
        if held >= self.limits.requests_per_user:
            raise BackendError(
                503,
                "you have too many requests and streams open at once; end some, and try again",
                reason=f"one user has {held} requests there: resource.max_requests_per_user",
            )
        self._held[user] = held + 1
        self._taken += 1

    def _uncount(self, user: User) -> None:
        self._taken -= 1
        held = self._held[user]
        if held == 1:
            del self._held[user]
        else:
            self._held[user] = held - 1

    async def connect(self, protocol: Callable[[], P]) -> P:
        """A new connection that *protocol* handles. Raises `BackendError`."""
        loop, target = asyncio.get_running_loop(), self.target
        try:
            async with asyncio.timeout(self.limits.connect):
                if target.socket is not None:
                    _, made = await loop.create_unix_connection(protocol, target.socket)
                else:
                    transport, made = await loop.create_connection(
                        protocol, target.host, target.port, ssl=target.trust
                    )
                    # A backend that reads nothing of a body may be busy with what it has.
                    unread = max(self.limits.answer, _GONE_SECONDS)
                    notice_its_end(transport, _GONE_SECONDS, unread=unread)
        except TimeoutError as error:
            raise BackendError(
                504, "the backend did not answer in time; try again shortly"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise BackendError(502, "the backend's certificate is not trusted") from error
        except ssl.SSLError as error:
            raise BackendError(502, "the backend and the gateway can't agree on TLS") from error
        except OSError as error:
            raise BackendError(502, "the backend can't be reached; try again shortly") from error
        return made
