"""Servers that speak over their standard input: a process for each session of each user.

The process and both transports are the official SDK's. What is here is who owns a session, how
many there may be, and when they end. Such a server keeps a session's state in its process, so
it is served in the revisions of MCP that have sessions; a newer client is told so, and
takes one of those.
"""

import asyncio
import contextlib
import logging
import uuid
from typing import Any, Final

import anyio
import mcp_types as types
import msgspec
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.transport_security import RequestBodyLimitMiddleware
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types.jsonrpc import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mintage.emails import verified_email
from mintage.gateway.settings import Command
from mintage.resource.bearer import Access
from mintage.server.http import json_response

_MAX_BODY: Final = 4 * 1024 * 1024  # bytes
_CLOSE_SECONDS: Final = 10.0
_GONE: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError)

log = logging.getLogger("mintage.gateway")

Owner = tuple[str, str, str]
"""(issuer, subject, client id): whose a session is."""


class CommandSessions:
    """The live sessions of one command, as the ASGI end of its resource."""

    def __init__(self, command: Command, *, identify: bool) -> None:
        """*identify*: whether a process is told, in its environment, whose it is."""
        self._command = command
        self._identify = identify
        self._sessions: dict[str, _Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # also of those that are just ending
        self._serve = RequestBodyLimitMiddleware(self._route, _MAX_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, access: Access) -> None:
        """Serve a request of the user that *access* is about."""
        await self._serve({**scope, "mintage.access": access}, receive, send)

    def __len__(self) -> int:
        return len(self._sessions)

    async def close(self) -> None:
        """End all processes. Those that won't go within seconds are killed."""
        for session in self._sessions.values():
            session.end()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_CLOSE_SECONDS)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        access: Access = scope["mintage.access"]
        owner = _owner(access)
        revision = _header(scope, b"mcp-protocol-version")
        name = _header(scope, b"mcp-session-id")
        if revision is not None and revision not in HANDSHAKE_PROTOCOL_VERSIONS:
            asked = _request_id(await Request(scope, receive).body())
            await _unsupported(revision, asked)(scope, receive, send)
        elif name is None:
            await self._open(scope, receive, send, owner, access)
        else:
            session = self._sessions.get(name)
            if session is None or session.owner != owner:  # another's is as if it were not there
                refusal = _error(404, types.INVALID_REQUEST, "there is no such session")
                await refusal(scope, receive, send)
            else:
                await session.transport.handle_request(scope, receive, send)

    async def _open(
        self, scope: Scope, receive: Receive, send: Send, owner: Owner, access: Access
    ) -> None:
        """A new session, if this request begins one: it stays only if it is answered well."""
        if not self._make_room(owner):
            refusal = _error(503, types.INTERNAL_ERROR, "too many sessions are open; try again")
            refusal.headers["retry-after"] = "30"
            return await refusal(scope, receive, send)
        session = _Session(owner, self._parameters(access), self._command.idle_seconds)
        self._sessions[session.name] = session
        if not await self._start(session):
            refusal = _error(502, types.INTERNAL_ERROR, "the server behind can't be started")
            return await refusal(scope, receive, send)
        status = 500

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await session.transport.handle_request(scope, receive, watching)
        finally:
            if status >= 400:  # noqa: PLR2004
                session.end()
        return None

    async def _start(self, session: "_Session") -> bool:
        started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(session.run(started))
        self._tasks.add(task)

        def ended(_: object) -> None:
            self._tasks.discard(task)
            self._sessions.pop(session.name, None)

        task.add_done_callback(ended)
        return await started

    def _make_room(self, owner: Owner) -> bool:
        """Whether one more may start. A user who has too many loses the oldest."""
        own = [session for session in self._sessions.values() if session.owner == owner]
        if len(own) >= self._command.max_sessions_per_user:
            own[0].end()
            del self._sessions[own[0].name]
        return len(self._sessions) < self._command.max_sessions

    def _parameters(self, access: Access) -> StdioServerParameters:
        program, *arguments = self._command.run
        environ = {
            name: secret.reveal().decode("utf-8", "surrogateescape")
            for name, secret in self._command.environ.items()
        }
        if self._identify:
            environ |= _identity(access)
        return StdioServerParameters(command=program, args=arguments, env=environ)


class _Session:
    """One process and one client, and the messages between them."""

    def __init__(self, owner: Owner, parameters: StdioServerParameters, idle: float) -> None:
        self.name = uuid.uuid4().hex
        self.owner = owner
        self.transport = StreamableHTTPServerTransport(self.name, idle_timeout=idle)
        self._both = anyio.CancelScope()
        self._parameters = parameters
        self._pending: dict[types.RequestId, None] = {}  # what the client awaits, oldest first

    def end(self) -> None:
        """Ends the talk. The process is then given the time that it may take to leave.

        Its task is never cancelled: that would leave a process behind.
        """
        self._both.cancel()

    async def run(self, started: asyncio.Future[bool]) -> None:
        """From the process's start to its end. *started* is told whether it could start."""
        try:
            async with (
                self.transport.connect() as (from_client, to_client),
                stdio_client(self._parameters) as (from_process, to_process),
            ):
                started.set_result(True)
                with self._both, self.transport.idle_scope or anyio.CancelScope():
                    async with anyio.create_task_group() as ways:
                        ways.start_soon(self._inward, from_client, to_process)
                        await self._outward(from_process, to_client)
                        self._both.cancel()
                await self._give_up(to_client)
        except OSError as error:
            log.error("a command can't be started: %s", error.strerror)  # noqa: TRY400
        finally:
            await self.transport.terminate()
            if not started.done():
                started.set_result(False)

    async def _inward(self, source: Any, target: Any) -> None:
        """Client → process, until the client ends the session."""
        with contextlib.suppress(*_GONE):
            async for item in source:
                if isinstance(item, SessionMessage):
                    if isinstance(item.message, types.JSONRPCRequest):
                        self._pending[item.message.id] = None
                    await target.send(item)
        self._both.cancel()

    async def _outward(self, source: Any, target: Any) -> None:
        """Process → client, until the process ends."""
        with contextlib.suppress(*_GONE):
            async for item in source:
                if isinstance(item, SessionMessage):
                    await target.send(self._addressed(item.message))
                else:
                    log.warning("a command wrote a line that is no message; it is left out")

    def _addressed(self, message: types.JSONRPCMessage) -> SessionMessage:
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            self._pending.pop(message.id, None)  # type: ignore[arg-type]
            return SessionMessage(message)
        return SessionMessage(message, metadata=self._on_the_way())

    def _on_the_way(self) -> ServerMessageMetadata | None:
        """With the answer that the client awaits it gets what else the process says meanwhile.

        Standard output does not tell which request a message is about: the newest is likeliest.
        """
        if not self._pending:
            return None
        return ServerMessageMetadata(related_request_id=next(reversed(self._pending)))

    async def _give_up(self, target: Any) -> None:
        """The process is gone: whoever still waits is told."""
        gone = types.ErrorData(code=types.INTERNAL_ERROR, message="the server behind has ended")
        for waiting in list(self._pending):
            error = types.JSONRPCError(jsonrpc="2.0", id=waiting, error=gone)
            with contextlib.suppress(*_GONE):
                await target.send(SessionMessage(error))


def _owner(access: Access) -> Owner:
    login = access.opened.grant.login
    return login.identity.issuer, login.identity.subject, login.client_id


def _identity(access: Access) -> dict[str, str]:
    """Who the user is, for the process's environment."""
    who = access.opened.grant.login.identity
    found = {"MINTAGE_USER": who.subject}
    told = {"EMAIL": verified_email(who.claims), "NAME": who.claims.get("name")}
    for name, value in told.items():
        if isinstance(value, str):
            found[f"MINTAGE_USER_{name}"] = value
    return {name: value for name, value in found.items() if "\0" not in value}


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return None


class _Envelope(msgspec.Struct):
    id: str | int | None = None


def _request_id(body: bytes) -> str | int | None:
    try:
        return msgspec.json.decode(body, type=_Envelope).id
    except msgspec.DecodeError:
        return None


def _unsupported(requested: str, asked: str | int | None) -> Response:
    """What makes a client of a newer revision fall back to one that has sessions."""
    data = {"supported": list(HANDSHAKE_PROTOCOL_VERSIONS), "requested": requested[:32]}
    text = "this server speaks revisions with sessions"
    return _error(400, UNSUPPORTED_PROTOCOL_VERSION, text, asked=asked, data=data)


def _error(
    status: int,
    code: int,
    text: str,
    *,
    asked: str | int | None = None,
    data: dict[str, Any] | None = None,
) -> Response:
    error = {"code": code, "message": text} | ({} if data is None else {"data": data})
    return json_response({"jsonrpc": "2.0", "id": asked, "error": error}, status=status)
