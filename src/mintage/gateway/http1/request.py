"""One request to a backend, from the client's first byte to the response's last.

A request whose body is complete when it gets here, and whose response comes soon, needs no task of
its own. For others a task sends the rest of the body, and then waits for the client to disconnect.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

import msgspec
from starlette.types import Receive

from mintage.errors import InvalidRequest
from mintage.gateway.headers import RawHeaders
from mintage.gateway.http1.connection import BackendError, Connection
from mintage.gateway.http1.pool import Pool, User

_TIMED_OUT: Final = 504
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "REPORT"})


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


class Body(msgspec.Struct):
    """The client's body: *length* bytes, or None for a chunked one."""

    receive: Receive
    length: int | None
    more: bool = True

    @classmethod
    def of(cls, headers: RawHeaders, receive: Receive) -> Self:
        """The body that *headers* describe. Their framing was checked before."""
        framing = dict(headers)
        length = framing.get(b"content-length")
        if length is not None:
            return cls(receive, int(length), more=length != b"0")
        if b"transfer-encoding" in framing:
            return cls(receive, None)
        return cls(receive, 0, more=False)

    @property
    def chunked(self) -> bool:
        return self.length is None

    async def piece(self) -> bytes:
        """The next part, framed as it is sent. Raises `ClientGone`."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        data: bytes = message.get("body", b"")
        self.more = message.get("more_body", False)
        if self.length is None:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return framed if self.more else framed + b"0\r\n\r\n"
        self.length -= len(data)
        if self.length < 0 or (self.length > 0 and not self.more):
            raise InvalidRequest("the body is not as long as its Content-Length says")
        return data

    async def disconnected(self) -> None:
        """Returns when the client has disconnected. The body must be at its end."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class BackendRequest:
    """An async context: inside it the response's head is there, and at its end all is closed."""

    def __init__(
        self,
        pool: Pool,
        method: str,
        target: bytes,
        headers: RawHeaders,
        body: Body,
        user: User,
    ) -> None:
        self._pool = pool
        self._user = user
        self._method = method
        self._head = pool.head(method, target, headers, chunked=body.chunked)
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked_at = 0.0
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        """The response, its head complete.

        Raises `BackendError`, `ClientGone`, and `InvalidRequest` for a body of another length.
        """
        first = await self._body.piece() if self._body.more else b""
        try:
            return await self._ask(first)
        except BaseException:
            self._end()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end()

    async def _ask(self, first: bytes) -> Connection:
        whole = not self._body.more
        connection = await self._send(first, fresh=False)
        try:
            await connection.head()
        except BackendError as error:
            # Most likely closed while it was idle. If it happens twice, the backend means it.
            lost = connection.reused and connection.silent and error.status != _TIMED_OUT
            if not (lost and whole and self._method in _IDEMPOTENT):
                raise
            self._end()
            connection = await self._send(first, fresh=True)
            await connection.head()
        self._head = b""  # the response may last, and nobody sends this again
        return connection

    async def _send(self, first: bytes, *, fresh: bool) -> Connection:
        self._connection = connection = await self._pool.take(self._user, fresh=fresh)
        connection.begin(self._head + first, bodiless=self._method == "HEAD")
        self._asked_at = now = self._loop.time()
        self._pool.slow.add(self, self._loop, now)
        if self._body.more:
            self._task = self._loop.create_task(self._upload(connection))
        return connection

    async def _upload(self, connection: Connection) -> None:
        try:
            while self._body.more:
                await connection.write(await self._body.piece())
            self._asked_at = self._loop.time()
            await self._body.disconnected()
            connection.fail(ClientGone())
        except BackendError:
            return  # the answer, or the lack of one, says it better
        except Exception as error:  # noqa: BLE001  (it is raised where the answer is awaited)
            connection.fail(error)

    def look(self) -> None:
        """The response takes long: watch for the client's disconnect and for the time-out."""
        connection = self._connection
        if connection is None:
            return
        if self._task is None:
            self._task = self._loop.create_task(self._upload(connection))
        left = self._pool.limits.answer
        if not self._body.more:
            left -= self._loop.time() - self._asked_at
        if connection.headed:
            self._timer = None
        elif left > 0:
            self._timer = self._loop.call_later(left, self.look)
        else:
            connection.fail(
                BackendError(_TIMED_OUT, "the backend did not answer in time; try again shortly")
            )

    def _end(self) -> None:
        self._pool.slow.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._connection is not None:
            if self._body.more:
                self._connection.close()  # the rest of the body would be taken for a request
            self._pool.give(self._connection, self._user)
            self._connection = None
