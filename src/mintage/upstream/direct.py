"""Requests to the provider without a proxy between: Mintage's own connections, kept for reuse.

A request by httpx2 takes several times the CPU, and each login, renewal and revocation has one.
Importing it takes a tenth of a second, so only a URL in an unusual form is parsed by it.
"""

import asyncio
import re
import time
import zlib
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from mintage.errors import UpstreamMisbehaved
from mintage.network.connecting import connected
from mintage.network.http1 import Connection
from mintage.network.tls import trusted_in_a_thread
from mintage.upstream.connection_faults import not_http
from mintage.upstream.protocol import HttpRequest, HttpResponse
from mintage.urls import form_encoded

_WARM_SECONDS: Final = 4.0  # many servers hang up after five
_MAX_WARM: Final = 20  # for each provider
_MAX_OPEN: Final = 100
_FORM: Final = "application/x-www-form-urlencoded"
_NO_URL: Final = "an endpoint is no URL"
_HOST: Final = re.compile(rb"[A-Za-z0-9._:-]+")  # a name, or an address without its brackets
_TARGET: Final = re.compile(rb"/[!-~]*")
_PORTS: Final = {"http": 80, "https": 443}
# A URL that every parser reads alike: a name in lower case or an address, no escapes, and no dot
# segments (RFC 3986 §5.2.4).
_USUAL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+|localhost|127\.0\.0\.1)"
    r"(?::(?P<port>[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(?P<target>(?:/(?!\.{1,2}(?:[/?]|\Z))[A-Za-z0-9._~-]*)*(?:\?[A-Za-z0-9._~=&-]*)?)"
)


class Place(msgspec.Struct, frozen=True):
    """Where a URL leads: scheme, name and port of its *origin*, and the *target* there.

    *headers* are those of every request to it, and *lines* the same as they are sent.
    """

    origin: tuple[str, str, int]
    target: bytes
    headers: Mapping[str, str]
    lines: str

    @classmethod
    def make(cls, scheme: str, host: str, port: int, authority: str, target: bytes) -> Self:
        headers = {
            "host": authority,
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "mintage",
        }
        return cls((scheme, host, port), target, headers, _lines(headers))


@lru_cache(maxsize=256)
def place_of(url: str) -> Place:
    """Raises `UpstreamMisbehaved` for what is no URL, `UpstreamMisconfigured` if it is not HTTP."""
    usual = _USUAL.fullmatch(url)
    return _parsed(url) if usual is None else _matched(usual)


def _matched(url: re.Match[str]) -> Place:
    scheme, host = url["scheme"], url["host"]
    port = int(url["port"] or _PORTS[scheme])
    authority = host if port == _PORTS[scheme] else f"{host}:{port}"
    target = url["target"] if url["target"].startswith("/") else f"/{url['target']}"
    return Place.make(scheme, host, port, authority, target.encode())


def _parsed(url: str) -> Place:
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise UpstreamMisbehaved(_NO_URL) from None
    if parsed.scheme not in _PORTS:
        raise not_http(urlsplit(url).netloc)
    if not _HOST.fullmatch(parsed.raw_host) or not _TARGET.fullmatch(parsed.raw_path):
        raise UpstreamMisbehaved(_NO_URL)  # what no request can have
    if parsed.userinfo:
        raise UpstreamMisbehaved(_NO_URL)
    return Place.make(
        parsed.scheme,
        parsed.raw_host.decode("ascii"),
        parsed.port or _PORTS[parsed.scheme],
        parsed.netloc.decode("ascii"),
        parsed.raw_path,
    )


def wire(request: HttpRequest, place: Place) -> bytes:
    """*request* as it is sent. Raises `UpstreamMisbehaved` if a header can't hold its value."""
    if request.form is not None:
        body = form_encoded(request.form).encode()
        headers = {"content-type": _FORM, "content-length": str(len(body))}
    elif request.json is not None:
        body = msgspec.json.encode(dict(request.json))
        headers = {"content-type": "application/json", "content-length": str(len(body))}
    else:
        body, headers = b"", {} if request.method == "GET" else {"content-length": "0"}
    if request.headers:
        headers |= {name.lower(): value for name, value in request.headers.items()}
    if place.headers.keys().isdisjoint(headers):
        head, lines = place.lines + _lines(headers), len(place.headers) + len(headers)
    else:
        headers = {**place.headers, **headers}
        head, lines = _lines(headers), len(headers)
    if not head.count("\n") == head.count("\r") == lines or "\0" in head:
        # A token of the provider may be in it: it must not begin a header of its own.
        raise UpstreamMisbehaved("a value that it gave can't be sent in a header")
    first = b"%b %b HTTP/1.1\r\n" % (request.method.encode(), place.target)
    return b"%b%b\r\n%b" % (first, head.encode(), body)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """*headers* as text. The values of one that comes again are joined (RFC 9110 §5.3)."""
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    if len(found) < len(headers):
        for name in found:
            values = [value for other, value in headers if other.decode("latin-1") == name]
            found[name] = b", ".join(values).decode("latin-1")
    return found


class DirectConnections:
    """*connect_seconds*: for the name, TCP and TLS of a new connection."""

    def __init__(self, *, connect_seconds: float, max_body: int) -> None:
        self._connect_seconds = connect_seconds
        self._max_body = max_body
        self._warm: dict[tuple[str, str, int], deque[Connection]] = {}
        self._turns = asyncio.Semaphore(_MAX_OPEN)

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """The whole response.

        Raises `OSError` and `HttpFault` for a connection that failed, `TimeoutError` if none was
        made in time, `UpstreamMisbehaved` for a response that is too large or can't be decoded, and
        what `place_of` raises.
        """
        place = place_of(request.url)
        data = wire(request, place)
        await self._turns.acquire()
        try:
            connection = self._kept(place) or await self._connect(place)
            try:
                connection.begin(data, bodiless=False)
                await connection.head()
                response = await self._read(connection)
            except BaseException:
                connection.close()
                raise
            self._keep(place, connection)
            return response
        finally:
            self._turns.release()

    def close(self) -> None:
        for connections in self._warm.values():
            while connections:
                connections.pop().close()

    async def _read(self, connection: Connection) -> HttpResponse:
        body = bytearray()
        while not connection.at_end():
            body += await connection.chunk()
            if len(body) > self._max_body:
                raise UpstreamMisbehaved(f"an answer larger than {self._max_body} bytes")
        headers = _joined(connection.headers)
        coding = headers.get("content-encoding", "identity").strip().lower()
        return HttpResponse(
            status=connection.status, headers=headers, body=self._decoded(bytes(body), coding)
        )

    def _decoded(self, body: bytes, coding: str) -> bytes:
        """*body* as it is meant. Some servers compress although they are asked not to."""
        if coding == "identity" or not body:
            return body
        if coding not in ("gzip", "x-gzip"):
            raise UpstreamMisbehaved(f"an answer in an encoding that was not asked for ({coding})")
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            found = inflate.decompress(body, self._max_body)
        except zlib.error:
            raise UpstreamMisbehaved("an answer whose compression is broken") from None
        if inflate.unconsumed_tail:
            raise UpstreamMisbehaved(f"an answer larger than {self._max_body} bytes")
        return found

    async def _connect(self, place: Place) -> Connection:
        scheme, host, port = place.origin
        tls = await trusted_in_a_thread() if scheme == "https" else None
        async with asyncio.timeout(self._connect_seconds):
            made = await connected(host, port)
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, sock=made, ssl=tls, server_hostname=host if tls else None
                )
            except BaseException:
                made.close()
                raise
        return connection

    def _kept(self, place: Place) -> Connection | None:
        """The connection that was used last, if it is fresh. All others are older."""
        warm = self._warm.get(place.origin)
        limit = time.monotonic() - _WARM_SECONDS
        while warm:
            connection = warm.pop()
            if connection.reusable and connection.idle_since > limit:
                return connection
            connection.close()
        return None

    def _keep(self, place: Place, connection: Connection) -> None:
        warm = self._warm.get(place.origin)
        if warm is None:
            warm = self._warm[place.origin] = deque()
        if not connection.reusable or len(warm) >= _MAX_WARM:
            connection.close()
            return
        connection.idle_since = now = time.monotonic()
        warm.append(connection)
        if now - warm[0].idle_since > _WARM_SECONDS:
            warm.popleft().close()
