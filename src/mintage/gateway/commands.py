"""MCP servers that speak over stdio: one process for each session of each user.

The official SDK runs the process and both transports. This module decides who owns a session, how
many there may be, and when they end. Such a server keeps a session's state in its process, so
it is served in those revisions of MCP that have sessions. A newer client is told so, and falls back
to one of them.
"""

import asyncio
import contextlib
import logging
import uuid
from typing import Any, Final, Literal

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

from mintage.access.emails import verified_email
from mintage.errors import AccessDenied
from mintage.gateway.http1.pool import User
from mintage.resource.bearer import Access
from mintage.site.targets import Command
from mintage.web.edge import json_response

_MAX_BODY: Final = 4 * 1024 * 1024  # bytes
_CLOSE_SECONDS: Final = 10.0
_GONE: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError)

log = logging.getLogger("mintage.gateway")

Owner = tuple[User, str]
"""A user and a client id: whose a session is."""


class CommandSessions:
    """The live sessions of one command. It is the ASGI application of its resource."""

    def __init__(self, command: Command, *, identify: bool) -> None:
        """*identify*: whether a process gets its user in its environment."""
        self._command = command
        self._identify = identify
        self._sessions: dict[str, _Session] = {}  # those that take requests
        self._living: dict[_Session, asyncio.Task[None]] = {}  # those that have a process
        self._changing: set[User] = set()  # whose oldest process is just ending for a new one
        self._serve = RequestBodyLimitMiddleware(self._route, _MAX_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, access: Access) -> None:
        """Serve a request of the user with *access*."""
        await self._serve({**scope, "mintage.access": access}, receive, send)

    def __len__(self) -> int:
        """How many processes there are, including those that are ending."""
        return len(self._living)

    def drain(self) -> None:
        """End the streams on which clients only listen: nothing else would end them."""
        for session in self._living:
            session.transport.close_standalone_sse_stream()

    async def close(self) -> None:
        """End all processes. Those that have not exited after some seconds are killed."""
        for session in list(self._living):
            self._end(session)
        if self._living:
            await asyncio.wait(list(self._living.values()), timeout=_CLOSE_SECONDS)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        access: Access = scope["mintage.access"]
        owner = _owner(access)
        revision = _header(scope, b"mcp-protocol-version")
        name = _header(scope, b"mcp-session-id")
        if revision is not None and revision not in HANDSHAKE_PROTOCOL_VERSIONS:
            asked = _request_id(await Request(scope, receive).body())
            await _unsupported(revision, asked)(scope, receive, send)
        elif name is None:
            await self._begin(scope, receive, send, access)
        else:
            session = self._sessions.get(name)
            if session is None or session.owner != owner:  # another's is as if it were not there
                refusal = _error(404, types.INVALID_REQUEST, "there is no such session")
                await refusal(scope, receive, send)
            else:
                await session.transport.handle_request(scope, receive, send)

    async def _begin(self, scope: Scope, receive: Receive, send: Send, access: Access) -> None:
        """A new session, if this request asks for one: no other request starts a process."""
        body = await Request(scope, receive).body()
        if scope["method"] != "POST" or not _is_initialize(body):
            text = "begin with initialize, and name the session in Mcp-Session-Id from then on"
            refusal = _error(400, types.INVALID_REQUEST, text, asked=_request_id(body))
            return await refusal(scope, receive, send)
        owner = _owner(access)
        if not await self._make_room(owner[0]):
            log.warning("a session was refused: the command has all the processes it may have")
            refusal = _error(503, types.INTERNAL_ERROR, "too many sessions are open; try again")
            refusal.headers["retry-after"] = "30"
            return await refusal(scope, receive, send)
        return await self._open(scope, _again(body, receive), send, owner, access)

    async def _open(
        self, scope: Scope, receive: Receive, send: Send, owner: Owner, access: Access
    ) -> None:
        """A new session. It is kept only if its first request succeeds."""
        session = _Session(owner, self._parameters(access), self._command.idle_seconds)
        if not await self._start(session):
            refusal = _error(502, types.INTERNAL_ERROR, "the backend can't be started")
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
            session.answered = status < 400  # noqa: PLR2004
            if not session.answered:
                self._end(session)
        return None

    async def _start(self, session: "_Session") -> bool:
        started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(session.run(started))
        self._sessions[session.name], self._living[session] = session, task

        def ended(_: object) -> None:
            self._living.pop(session, None)
            self._sessions.pop(session.name, None)

        task.add_done_callback(ended)
        return await started

    def _end(self, session: "_Session") -> None:
        """Accept no more requests for it. Its process counts until it has exited."""
        self._sessions.pop(session.name, None)
        session.end()

    async def _make_room(self, user: User) -> bool:
        """Whether one more process may start now. A user who has too many loses the oldest."""
        if len(own := self._processes_of(user)) < self._command.max_sessions_per_user:
            return len(self._living) < self._command.max_sessions
        ending = [session for session in own if session.name not in self._sessions]
        spare = ending or [session for session in own if session.answered]
        if user in self._changing or not spare:
            return False
        self._changing.add(user)
        try:
            self._end(spare[0])
            await asyncio.wait([self._living[spare[0]]], timeout=_CLOSE_SECONDS)
        finally:
            self._changing.discard(user)
        few = len(self._processes_of(user)) < self._command.max_sessions_per_user
        return few and len(self._living) < self._command.max_sessions

    def _processes_of(self, user: User) -> "list[_Session]":
        return [session for session in self._living if session.owner[0] == user]

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
        self.answered = False  # whether its first request was, and well
        self.transport = StreamableHTTPServerTransport(self.name, idle_timeout=idle)
        self._both = anyio.CancelScope()
        self._parameters = parameters
        self._pending: dict[types.RequestId, None] = {}  # what the client awaits, oldest first

    def end(self) -> None:
        """End the session. The process then has some time to exit.

        Its task is never cancelled: that would leave the process running.
        """
        self._both.cancel()

    async def run(self, started: asyncio.Future[bool]) -> None:
        """Run the process from start to end. *started* gets whether it could start."""
        try:
            async with self.transport.connect() as ends:
                try:
                    await self._talk(*ends, started)
                finally:
                    # Before the block ends: without this message the SDK reports a fault.
                    await self.transport.terminate()
        except* OSError as group:
            for error in group.exceptions:
                log.error("a command can't be started: %s", error)  # noqa: TRY400
        finally:
            if not started.done():
                started.set_result(False)

    async def _talk(self, from_client: Any, to_client: Any, started: asyncio.Future[bool]) -> None:
        async with stdio_client(self._parameters) as (from_process, to_process):
            started.set_result(True)
            with self._both, self.transport.idle_scope or anyio.CancelScope():
                async with anyio.create_task_group() as ways:
                    ways.start_soon(self._inward, from_client, to_process)
                    await self._outward(from_process, to_client)
                    self._both.cancel()
            await self._give_up(to_client)

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
        """Send the client what else the process says while it waits for an answer.

        Standard output does not tell which request a message is about, so the newest one gets it.
        """
        if not self._pending:
            return None
        return ServerMessageMetadata(related_request_id=next(reversed(self._pending)))

    async def _give_up(self, target: Any) -> None:
        """The process has exited: tell every client that still waits."""
        gone = types.ErrorData(code=types.INTERNAL_ERROR, message="the backend has ended")
        for waiting in list(self._pending):
            error = types.JSONRPCError(jsonrpc="2.0", id=waiting, error=gone)
            with contextlib.suppress(*_GONE):
                await target.send(SessionMessage(error))


def _owner(access: Access) -> Owner:
    return access.user, access.client_id


def _identity(access: Access) -> dict[str, str]:
    """The user, for the process's environment.

    Raises `AccessDenied` for a subject that an environment variable can't contain. A process that
    did not get its user could take the session for one without a user.
    """
    who = access.opened.grant.login.identity
    if "\0" in who.subject:
        raise AccessDenied(
            "this user's name can't be passed to the backend; ask the operator of this server",
            reason="the subject holds a NUL character, which no environment variable may",
        )
    found = {"MINTAGE_USER": who.subject}
    told = {"EMAIL": verified_email(who.claims), "NAME": who.claims.get("name")}
    for name, value in told.items():
        if isinstance(value, str):
            found[f"MINTAGE_USER_{name}"] = value
    for name in [name for name, value in found.items() if "\0" in value]:
        log.warning("%s was left out of a command's environment: it holds a NUL character", name)
        del found[name]
    return found


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return None


class _Envelope(msgspec.Struct):
    id: str | int | None = None


class _Initialize(msgspec.Struct):
    id: str | int
    jsonrpc: Literal["2.0"]
    method: Literal["initialize"]
    params: dict[str, Any]


def _is_initialize(body: bytes) -> bool:
    """Whether *body* is one JSON-RPC request that begins a session."""
    try:
        msgspec.json.decode(body, type=_Initialize)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _again(body: bytes, receive: Receive) -> Receive:
    """*receive*, which first returns *body*, which was already read."""
    read = False

    async def again() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _request_id(body: bytes) -> str | int | None:
    try:
        return msgspec.json.decode(body, type=_Envelope).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unsupported(requested: str, asked: str | int | None) -> Response:
    """The response that makes a client of a newer revision fall back to one that has sessions."""
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
