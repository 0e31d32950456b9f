"""A WebSocket through the gateway: two connections. Each message is forwarded to the other one.

The token is checked again while the WebSocket is open, as a new request's would be. If the token
has expired or the login was revoked, the gateway closes it with 1008.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import EXTERNAL_CLOSE_CODES, CloseCode
from websockets.http11 import Response as Handshake
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from mintage.errors import OAuthError
from mintage.gateway.headers import RawHeaders, to_client
from mintage.gateway.http1.connection import BackendError
from mintage.gateway.http1.pool import Pool, User

MAX_MESSAGE: Final = 16 * 1024 * 1024  # bytes; uvicorn has the same limit for clients
_MAX_REASON: Final = 120  # bytes of a close frame, less its code
LOOK_AGAIN_SECONDS = 10.0
_HANDSHAKE: Final = b"sec-websocket-"
_REFUSALS: Final = range(300, 600)

Check = Callable[[], Awaitable[object]]
End = tuple[int, str]
"""A close code (RFC 6455 §7.4) and a reason."""


class Declined(Exception):
    """The backend refuses the upgrade: its response instead."""

    def __init__(self, answer: Handshake) -> None:
        super().__init__(answer.status_code)
        self._answer = answer

    def response(self, pool: Pool, rest: str, public: str) -> Response:
        """The response for the client, which knows the backend as *public*."""
        base = pool.base
        headers = [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in self._answer.headers.raw_items()
        ]
        response = Response(bytes(self._answer.body or b""), self._answer.status_code)
        response.raw_headers += [
            header
            for header in to_client(headers, asked=base + rest, backend=base, public=public)
            if header[0] != b"content-length"
        ]
        return response


@dataclass(slots=True)
class WebSocketProxy:
    """The connection to the client."""

    scope: Scope
    receive: Receive
    send: Send
    accepted: bool = False

    async def relay(
        self, pool: Pool, rest: str, headers: RawHeaders, user: User, check: Check
    ) -> None:
        """Relay until one side closes, or until *check* raises `OAuthError`.

        Raises `BackendError`, `Declined` and `InvalidRequest` before anything is accepted.
        """
        await self.receive()  # websocket.connect
        query = self.scope.get("query_string", b"")
        target = pool.target.at(rest, query)
        with pool.counted(user):
            async with _opened(pool, target, headers, self.scope["subprotocols"]) as theirs:
                await self._accept(theirs)
                await self._relay(theirs, check)

    async def refuse(self, response: Response) -> None:
        """Answer with *response* in place of the upgrade, or close if there was one."""
        if self.accepted:
            await self._close((CloseCode.INTERNAL_ERROR, ""))
        elif "websocket.http.response" in (self.scope.get("extensions") or {}):
            await response(self.scope, self.receive, self.send)
        else:
            await self.send({"type": "websocket.close", "code": CloseCode.POLICY_VIOLATION})

    async def _accept(self, theirs: ClientConnection) -> None:
        assert theirs.response is not None  # noqa: S101  (there is one after the handshake)
        headers = [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in theirs.response.headers.raw_items()
        ]
        passed = [
            (name, value)
            for name, value in to_client(headers, asked="", backend="", public="")
            if not name.startswith(_HANDSHAKE) and name != b"server"
        ]
        await self.send(
            {"type": "websocket.accept", "subprotocol": theirs.subprotocol, "headers": passed}
        )
        self.accepted = True

    async def _relay(self, theirs: ClientConnection, check: Check) -> None:
        upward = asyncio.create_task(self._upward(theirs))
        others = {
            asyncio.create_task(self._downward(theirs)),
            asyncio.create_task(self._until_no_longer(check)),
        }
        try:
            done, _ = await asyncio.wait({upward, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (upward, *others):
                task.cancel()
            await asyncio.gather(upward, *others, return_exceptions=True)
        code, reason = end = next(iter(done)).result()
        if upward not in done:
            await self._close(end)
        await theirs.close(code, reason)

    async def _upward(self, theirs: ClientConnection) -> End:
        """From the client to the backend, until the client closes."""
        while (message := await self.receive())["type"] == "websocket.receive":
            text = message.get("text")
            try:
                await theirs.send(message["bytes"] if text is None else text)
            except ConnectionClosed as closed:
                return _end_of(closed)
        return _passed_on(message.get("code", CloseCode.NO_STATUS_RCVD), message.get("reason"))

    async def _downward(self, theirs: ClientConnection) -> End:
        """From the backend to the client, until the backend closes."""
        try:
            while True:
                message = await theirs.recv()
                kind = "text" if isinstance(message, str) else "bytes"
                await self.send({"type": "websocket.send", kind: message})
        except ConnectionClosed as closed:
            return _end_of(closed)
        except OSError:  # what servers raise where the client is gone
            return CloseCode.GOING_AWAY, ""

    async def _until_no_longer(self, check: Check) -> End:
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            try:
                await check()
            except OAuthError as refusal:
                if refusal.status in (401, 403):
                    return CloseCode.POLICY_VIOLATION, refusal.description
            except Exception:  # noqa: BLE001, S112  (an outage says nothing about the login)
                continue

    async def _close(self, end: End) -> None:
        code, reason = end
        try:
            await self.send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            return  # it was faster


@asynccontextmanager
async def _opened(
    pool: Pool, target: bytes, headers: RawHeaders, subprotocols: list[str]
) -> AsyncIterator[ClientConnection]:
    passed = [header for header in headers if not header[0].startswith(_HANDSHAKE)]
    pool.begin("GET", target, passed)  # for its checks: the library trusts what it is given
    uri = parse_uri(f"ws{'s' * pool.target.tls}://{pool.target.authority}{target.decode('ascii')}")

    def protocol() -> ClientConnection:
        offered = [Subprotocol(name) for name in subprotocols] or None
        return ClientConnection(ClientProtocol(uri, subprotocols=offered, max_size=MAX_MESSAGE))

    connection = await pool.connect(protocol)
    try:
        async with asyncio.timeout(pool.limits.answer):
            await connection.handshake(
                [(name.decode("ascii"), value.decode("latin-1")) for name, value in passed],
                user_agent_header=None,
            )
        connection.start_keepalive()
        yield connection
    except InvalidStatus as error:
        if error.response.status_code in _REFUSALS:
            raise Declined(error.response) from None
        raise BackendError(502, "the backend does not speak WebSocket here") from error
    except InvalidHandshake as error:
        raise BackendError(502, "the backend does not speak WebSocket here") from error
    except TimeoutError as error:
        raise BackendError(504, "the backend did not answer in time; try again shortly") from error
    except (OSError, EOFError) as error:
        raise BackendError(502, "the backend closed the connection") from error
    finally:
        connection.transport.abort()


def _end_of(closed: ConnectionClosed) -> End:
    """How the backend closed, to close the client's side likewise."""
    frame = closed.rcvd or closed.sent
    return (CloseCode.BAD_GATEWAY, "") if frame is None else _passed_on(frame.code, frame.reason)


def _passed_on(code: int, reason: str | None) -> End:
    """*code* if a close frame may have it; otherwise the nearest one that it may have."""
    reason = (reason or "").encode()[:_MAX_REASON].decode(errors="ignore")
    if code in EXTERNAL_CLOSE_CODES or 3000 <= code < 5000:  # noqa: PLR2004
        return code, reason
    if code == CloseCode.NO_STATUS_RCVD:
        return CloseCode.NORMAL_CLOSURE, reason
    return CloseCode.GOING_AWAY, reason
