"""One request to a backend, from the client's first byte to the response's last.

A request whose body is complete when it gets here needs no task of its own. For others a task sends
the rest of the body. If the response takes long, the server tells when the client disconnects; a
task waits for that where the server does not (see `mintage.web.disconnects`).
"""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final, Protocol, Self

import msgspec
from starlette.types import Receive

from mintage.errors import InvalidRequest
from mintage.gateway.http1.connection import BackendError, Connection
from mintage.gateway.http1.pool import Pool, User
from mintage.web.disconnects import disconnect_hook

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
    def of(cls, receive: Receive, length: bytes | None, *, chunked: bool) -> Self:
        """The body of a request whose ``Content-Length`` is *length*, or that is *chunked*."""
        if length is not None:
            return cls(receive, int(length), more=length != b"0")
        return cls(receive, None) if chunked else cls(receive, 0, more=False)

    async def piece(self) -> bytes:
        """The next part, framed as it is sent. Raises `ClientGone`."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        data: bytes = message.get("body", b"")
        self.more = more = message.get("more_body", False)
        if self.length is None:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return framed if more else framed + b"0\r\n\r\n"
        self.length = left = self.length - len(data)
        if left and (left < 0 or not more):
            raise InvalidRequest("the body is not as long as its Content-Length says")
        return data


class Tally(Protocol):
    """Counts the requests to one backend, and the seconds to the head of each response."""

    @property
    def of_status(self) -> Mapping[int, Callable[[float], None]]:
        """By the status of a response: what takes its seconds."""

    def failed(self, error: BaseException, seconds: float) -> None:
        """A request ended with *error* before there was a response."""


class BackendRequest(msgspec.Struct, eq=False):
    """A request with *head*. Call `end` when all is done, whatever happened."""

    pool: Pool
    method: str
    head: bytes
    body: Body
    user: User
    tally: Tally | None = None
    _loop: asyncio.AbstractEventLoop = msgspec.field(default_factory=asyncio.get_running_loop)
    _task: asyncio.Task[None] | None = None
    _timer: asyncio.TimerHandle | None = None
    _connection: Connection | None = None
    _has_place: bool = False
    _began: float = msgspec.field(default_factory=perf_counter)
    _asked_at: float = 0.0

    async def answer(self) -> Connection:
        """The response, its head complete.

        Raises `BackendError`, `ClientGone`, and `InvalidRequest` for a body of another length.
        """
        try:
            body = self.body
            first = await body.piece() if body.more else b""
            whole = not body.more
            taken = self.pool.take(self.user)
            self._has_place = True
            connection = taken or await self.pool.connect(Connection)
            self._send(connection, first)
            try:
                while not connection.headed:
                    await connection.news()
            except BackendError as error:
                connection = await self._again(connection, error, first, whole=whole)
        except BaseException as error:
            if self.tally is not None:
                self.tally.failed(error, perf_counter() - self._began)
            raise
        if (tally := self.tally) is not None:
            tally.of_status[connection.status](perf_counter() - self._began)
        self.head = b""  # the response may last, and nobody sends this again
        return connection

    async def _again(
        self, lost: Connection, error: BackendError, first: bytes, *, whole: bool
    ) -> Connection:
        """The response on a new connection, or *error* again if the backend may have seen it.

        *whole*: whether *first* was all of the body.
        """
        # Most likely closed while it was idle. If it happens twice, the backend means it.
        unseen = lost.reused and lost.silent and error.status != _TIMED_OUT
        if not (unseen and whole and self.method in _IDEMPOTENT):
            raise error
        self.end()
        self.pool.count(self.user)
        self._has_place = True
        connection = await self.pool.connect(Connection)
        self._send(connection, first)
        await connection.head()
        return connection

    def _send(self, connection: Connection, first: bytes) -> None:
        self._connection = connection
        connection.begin(self.head + first, bodiless=self.method == "HEAD")
        self._asked_at = now = self._loop.time()
        self.pool.slow.add(self, self._loop, now)
        if self.body.more:
            self._task = self._loop.create_task(self._upload(connection))

    async def _upload(self, connection: Connection) -> None:
        try:
            while self.body.more:
                await connection.write(await self.body.piece())
            self._asked_at = self._loop.time()
            if not self._will_be_told():
                while (await self.body.receive())["type"] != "http.disconnect":
                    pass
                self._leave()
        except BackendError:
            return  # the answer, or the lack of one, says it better
        except Exception as error:  # noqa: BLE001  (it is raised where the answer is awaited)
            connection.fail(error)

    def _will_be_told(self) -> bool:
        """Whether `_leave` will be called when the client disconnects, which may be now."""
        if (when_disconnected := disconnect_hook(self.body.receive)) is None:
            return False
        when_disconnected(self._leave)
        return True

    def _leave(self) -> None:
        """The client has disconnected. After `end` the connection may serve another request."""
        if self._connection is not None:
            self._connection.fail(ClientGone())

    def look(self) -> None:
        """The response takes long: watch for the client's disconnect and for the time-out."""
        connection = self._connection
        if connection is None:
            return
        if self._task is None and not self._will_be_told():
            self._task = self._loop.create_task(self._upload(connection))
        left = self.pool.limits.answer
        if not self.body.more:
            left -= self._loop.time() - self._asked_at
        if connection.headed:
            self._timer = None
        elif left > 0:
            self._timer = self._loop.call_later(left, self.look)
        else:
            connection.fail(
                BackendError(_TIMED_OUT, "the backend did not answer in time; try again shortly")
            )

    def end(self) -> None:
        """Give back its connection, or close it if the response is not complete."""
        self.pool.slow.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._has_place:
            self._has_place = False
            connection, self._connection = self._connection, None
            if connection is not None and self.body.more:
                connection.close()  # the rest of the body would be taken for a request
            self.pool.give(connection, self.user)
