"""The reverse proxy: verify the token, put the right credential in its place, stream.

Bodies are forwarded as they come, in both directions. If one side disconnects, the other is
disconnected too.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from mintage.errors import MethodNotAllowed, MintageError
from mintage.gateway.credentials import BackendCredentials
from mintage.gateway.headers import (
    RawHeaders,
    to_client,
)
from mintage.gateway.http1.connection import BackendError, Connection
from mintage.gateway.http1.pool import Pool, User
from mintage.gateway.http1.request import BackendRequest, Body, ClientGone
from mintage.gateway.watch import END_OF_BODY, Check, Ended, Watch, is_event_stream
from mintage.site.resource import Resource
from mintage.web.cors import private, readable

# A backend that shows what it was sent would show the client what is only for the backend.
NEVER_PASSED: Final = frozenset({"TRACE", "TRACK", "CONNECT"})
_ALLOW: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_WITHOUT_CONTENT: Final = (204, 304)
_EVENT_STREAM: Final = b"text/event-stream"

log = logging.getLogger("mintage.gateway")

Ask: TypeAlias = Callable[
    [Resource, Pool, str, bytes, RawHeaders, Body, User], AbstractAsyncContextManager[Connection]
]
"""Makes a request to a resource's backend: from its pool, method, target, headers, body and user.

Inside the context the head of the response is there.
"""


def ask(
    _: Resource, pool: Pool, method: str, target: bytes, headers: RawHeaders, body: Body, user: User
) -> BackendRequest:
    return BackendRequest(pool, method, target, headers, body, user)


@dataclass(slots=True)
class Proxy:
    """Forwards one authenticated request to its backend, and the response back."""

    credentials: BackendCredentials
    ask: Ask = ask
    watch: Watch = field(default_factory=Watch)
    _streams: set[Connection] = field(default_factory=set)
    _draining: bool = False

    async def forward(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        resource: Resource,
        pool: Pool,
        rest: str,
        headers: RawHeaders,
        user: User,
        check: Check,
        by_cookie: bool = False,
    ) -> None:
        """Relay until the response is complete, the client disconnects, or *check* refuses.

        *rest*: the backend's part of the path. *check*: see `Watch`. *by_cookie*: a browser's
        session brought the request, so that the response is for that browser alone. Raises
        `MintageError` only before anything was sent to the client.
        """
        if scope["method"] in NEVER_PASSED:
            raise MethodNotAllowed(f"use another method than {scope['method']}", allow=_ALLOW)
        target = pool.target.at(rest, scope.get("query_string", b""))
        body = Body.of(scope["headers"], receive)
        exchange = self.ask(resource, pool, scope["method"], target, headers, body, user)
        del headers  # they are sent, and the response may last
        ended = False
        try:
            async with exchange as answer:
                await send(_start(answer, pool, resource, rest, by_cookie=by_cookie))
                try:
                    if answer.complete:
                        await self._relay(answer, pool, send, endless=False)
                    else:
                        with self.watch.over(check) as lasting:
                            lasting.begin()
                            await self._relay(answer, pool, send, endless=scope["method"] == "GET")
                except Ended as error:
                    log.info("%s: ended an answer under way: %s", scope["path"], error)
                    ended = is_event_stream(answer.headers)
                except MintageError as error:
                    # Headers are out: an answer that ends early is the only way to tell.
                    log.warning("%s: %s: %s", scope["path"], pool.where, error)
        except ClientGone:
            return
        if ended:  # the backend is rid of it already, though the client may be slow to take this
            await send(END_OF_BODY)

    async def _relay(self, answer: Connection, pool: Pool, send: Send, *, endless: bool) -> None:
        silence = pool.limits.silence
        endless = endless and _is_event_stream(answer.headers)
        if endless:
            self._streams.add(answer)
            if self._draining:
                answer.stop()
        try:
            more = True
            while more:
                if silence is None:
                    chunk = await answer.chunk()
                else:
                    async with asyncio.timeout(silence):
                        chunk = await answer.chunk()
                more = not answer.at_end()
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except TimeoutError:
            raise BackendError(504, "the backend stopped sending") from None
        finally:
            self._streams.discard(answer)

    def drain(self) -> None:
        """Close the event streams of GETs, which never end by themselves. Others may finish."""
        self._draining = True
        for stream in list(self._streams):
            stream.stop()


def _start(
    answer: Connection, pool: Pool, resource: Resource, rest: str, *, by_cookie: bool
) -> Message:
    base = pool.base
    headers = to_client(
        answer.headers,
        asked=base.rstrip("/") + rest if rest else base,
        backend=base,
        public=resource.identifier,
    )
    if answer.status in _WITHOUT_CONTENT:
        # It may state the length of another response; servers here rely on it.
        headers = [header for header in headers if header[0] != b"content-length"]
    headers = private(headers) if by_cookie else readable(headers)
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


def _is_event_stream(headers: RawHeaders) -> bool:
    """Whether the response with *headers*, whose names are in lower case, is an event stream."""
    for name, value in headers:
        if name == b"content-type":
            return value.startswith(_EVENT_STREAM)
    return False
