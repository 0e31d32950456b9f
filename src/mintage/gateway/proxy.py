"""The reverse proxy: check the token, put the right credential in its place, stream.

Bodies pass through as they come, both ways. Whoever hangs up first, the other side learns
of it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from starlette.types import Message, Receive, Scope, Send

from mintage.gateway.backend import Answer, BackendError, Backends
from mintage.gateway.headers import (
    RawHeaders,
    identity_headers,
    to_client,
)
from mintage.resource.bearer import Access
from mintage.resource.upstream_token import upstream_token
from mintage.site import Resource
from mintage.vault.values import Renew
from mintage.vault.vault import Vault

Credential = Literal["none", "identity", "upstream"]
Local = Callable[[Scope, Receive, Send, Access], Awaitable[None]]

_EVENT_STREAM: Final = b"text/event-stream"

log = logging.getLogger("mintage.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where a resource lives, and what it is told about the user.

    *credential*: ``none``; ``identity`` for the ``X-Forwarded-User`` headers; ``upstream``
    for those and the user's upstream access token as the bearer token. *local*: answers here,
    instead of whoever is at *url*.
    """

    resource: Resource
    path: str
    url: str
    credential: Credential
    local: Local | None = None

    @property
    def answers(self) -> bool:
        """Whether requests go anywhere: some resources are another proxy's to serve."""
        return self.url != "" or self.local is not None


@dataclass(frozen=True, slots=True)
class Credentials:
    """Finds what a backend is to be told about whoever holds the token."""

    vault: Vault
    renew: Renew

    async def of(self, access: Access, backend: Backend) -> tuple[dict[str, str], str | None]:
        """(identity headers, Authorization) for *backend*.

        Raises `InvalidToken` where the upstream has ended the login, `UpstreamError` where
        it can't be asked.
        """
        identity = access.opened.grant.login.identity
        match backend.credential:
            case "none":
                return {}, None
            case "identity":
                return identity_headers(identity), None
            case "upstream":
                token = await upstream_token(access.opened, self.vault, self.renew)
                return identity_headers(identity), f"Bearer {token}"


@dataclass(slots=True)
class Proxy:
    """Carries one authenticated request to its backend and the answer back."""

    credentials: Credentials
    backends: Backends
    _streams: set[asyncio.Task[None]] = field(default_factory=set)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _draining: bool = False

    async def forward(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        backend: Backend,
        url: str,
        headers: RawHeaders,
    ) -> None:
        """Relay until the answer is complete or the client is gone.

        Raises `BackendError` only as long as nothing was sent to the client.
        """
        body = RequestBody(scope, receive)
        relay = asyncio.create_task(self._relay(scope["method"], backend, url, headers, body, send))
        gone = asyncio.create_task(body.disconnected())
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            relay.cancel()  # of no effect if it is done
        try:
            await relay
        except ClientGone:
            return
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise

    async def _relay(
        self,
        method: str,
        backend: Backend,
        url: str,
        headers: RawHeaders,
        body: "RequestBody",
        send: Send,
    ) -> None:
        content = body.chunks() if body.expected else None
        async with self.backends.send(method, url, headers, content) as answer:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": to_client(
                        answer.headers,
                        asked=url,
                        backend=backend.url,
                        public=backend.resource.identifier,
                    ),
                }
            )
            try:
                endless = method == "GET" and _is_event_stream(answer.headers)
                await self._stream(answer, send, endless=endless)
            except BackendError as error:
                # Headers are out: an answer that ends early is the only way to tell.
                log.warning("%s: %s", url.partition("?")[0], error)
                return
            await send({"type": "http.response.body", "body": b""})

    async def _stream(self, answer: Answer, send: Send, *, endless: bool) -> None:
        task = asyncio.current_task()
        if task is not None and endless:
            if self._draining:
                return
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        try:
            async for chunk in answer.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except asyncio.CancelledError:
            if task is None or task not in self._ending:
                raise
            task.uncancel()  # the server is going down: end the stream in good order

    def drain(self) -> None:
        """Close the event streams of GETs, which never end by themselves; answers may finish."""
        self._draining = True
        self._ending |= self._streams
        for stream in list(self._streams):
            stream.cancel()


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class RequestBody:
    """The client's body as it arrives, and then the news that the client is gone."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        names = {name for name, _ in scope["headers"]}
        length = dict(scope["headers"]).get(b"content-length", b"0")
        self.expected = b"transfer-encoding" in names or length.strip() != b"0"
        self._complete = asyncio.Event()
        if not self.expected:
            self._complete.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message: Message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            yield message.get("body", b"")
            more = message.get("more_body", False)
        self._complete.set()

    async def disconnected(self) -> None:
        """Returns when the client has hung up."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _is_event_stream(headers: RawHeaders) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(_EVENT_STREAM)
        for name, value in headers
    )
