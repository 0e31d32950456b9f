"""The response if a connection or its bytes are refused before there is a request."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """*reason* is for the log, *advice* for the client's developer."""

    status: int
    error: str
    reason: str
    advice: str
    headers: bytes = b""

    def told_of(self, address: str | None) -> str:
        """The line for the log."""
        return f"refused ({self.status}), from {address or 'a socket'}: {self.reason}"

    def answer(self) -> bytes:
        """The whole response. The connection ends with it."""
        body = msgspec.json.encode({"error": self.error, "error_description": self.advice})
        return b"".join(
            (
                b"HTTP/1.1 %d %b\r\n" % (self.status, HTTPStatus(self.status).phrase.encode()),
                b"content-type: application/json\r\ncache-control: no-store\r\n",
                b"access-control-allow-origin: *\r\n",
                self.headers,
                b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
                body,
            )
        )


def _invalid(status: int, reason: str, advice: str) -> Refusal:
    return Refusal(status=status, error="invalid_request", reason=reason, advice=advice)


MALFORMED: Final = _invalid(400, "bytes that are no HTTP request", "send a valid HTTP/1.1 request")
HEAD_TOO_LARGE: Final = _invalid(
    431,
    "a request head that is too large",
    "the request line and headers are too large: clear the cookies of this site",
)
TARGET_TOO_LONG: Final = _invalid(
    414,
    "a path and query that are too long",
    "the path and query are too long: send a long request as a POST",
)
HEAD_TOO_SLOW: Final = _invalid(
    408, "a request head that took too long", "send the whole request head at once"
)
BODY_TOO_SLOW: Final = _invalid(
    408, "a request body that took too long", "send the request's body without long pauses"
)
WRONG_VERSION: Final = _invalid(505, "another version of HTTP", "use HTTP/1.1")
TUNNEL: Final = Refusal(
    status=405,
    error="invalid_request",
    reason="a CONNECT request",
    advice="use another method than CONNECT",
    headers=b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
)
PIPELINED: Final = _invalid(
    400, "too many requests without waiting for an answer", "wait for answers"
)


def _full(reason: str) -> Refusal:
    return Refusal(
        status=503,
        error="temporarily_unavailable",
        reason=reason,
        advice="too many connections are open; try again shortly",
        headers=b"retry-after: 5\r\n",
    )


FULL: Final = _full("a connection: as many are open as server.max_connections allows")
ADDRESS_FULL: Final = _full(
    "a connection: this address has as many as server.max_connections_per_address allows (is it "
    "a proxy of yours? then name it in gateway.trusted_proxies)"
)


EVICTED: Final = (
    "closed an idle connection for a new one: as many are open as server.max_connections allows"
)


class Complaints:
    """Logs repeated events: the first at once, and then how many more there were.

    So a flood does not fill the log. `repeat` is called at an interval.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._more: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._more)

    def note(self, kind: str, first: str) -> None:
        """Log *first* if this kind is new."""
        if kind in self._more:
            self._more[kind] += 1
            return
        self._more[kind] = 0
        self._log(first)

    def repeat(self) -> None:
        """Log what was held back. A kind that has stopped is logged at once the next time."""
        for kind, count in list(self._more.items()):
            if count:
                self._log(f"{count} more: {kind}")
                self._more[kind] = 0
            else:
                del self._more[kind]
