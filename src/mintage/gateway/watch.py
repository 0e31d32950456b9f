"""Ends a long response when its request would no longer be allowed.

A token may expire, or its login be revoked, while an event stream or a long download is under way.
One timer checks all of them again. A WebSocket does this for itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.errors import MintageError, OAuthError

BOUND_SECONDS: Final = 10.0
_TICK: Final = 1.0
_AT_ONCE: Final = 64
END_OF_BODY: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}
_PATIENCE: Final = 5.0  # seconds that one look may take: a store that hangs says nothing

log = logging.getLogger("mintage.gateway")

Check = Callable[[], Awaitable[object]]


class Ended(MintageError):
    """The login or the token of a response under way has ended: *refusal* says which."""

    def __init__(self, refusal: OAuthError) -> None:
        super().__init__(refusal.advice)
        self.refusal = refusal


class Watch:
    """All long responses of a process. Each is checked every ten seconds."""

    def __init__(self) -> None:
        self._open: dict[Lasting, float] = {}  # when to look at each; in this order
        self._timer: asyncio.TimerHandle | None = None
        self._round: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def over(self, check: Check) -> "Lasting":
        """A context to send a response in. It raises `Ended` once *check* raises a refusal.

        A refusal is an `OAuthError` of status 401 or 403. No other error means that a login has
        ended.
        """
        return Lasting(self, check)

    def add(self, answer: "Lasting") -> None:
        loop = asyncio.get_running_loop()
        self._open[answer] = loop.time() + BOUND_SECONDS - _TICK
        if self._timer is None:
            self._timer = loop.call_later(_TICK, self._on_time)

    def remove(self, answer: "Lasting") -> None:
        self._open.pop(answer, None)

    async def look(self, *, until: float = float("inf")) -> None:
        """Check the responses that are due before *until*."""
        due = []
        for answer, at in self._open.items():
            if at > until:
                break
            due.append(answer)
        for start in range(0, len(due), _AT_ONCE):
            some = due[start : start + _AT_ONCE]
            await asyncio.gather(*(self._look_at(answer) for answer in some))

    async def _look_at(self, answer: "Lasting") -> None:
        if self._open.pop(answer, None) is None:
            return
        self.add(answer)
        try:
            async with asyncio.timeout(_PATIENCE):
                await answer.check()
        except OAuthError as refusal:
            if refusal.status in (401, 403):
                answer.end(refusal)
        except Exception:  # noqa: BLE001  (an outage says nothing about the login)
            return

    def _on_time(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._round is None or self._round.done():
            self._round = loop.create_task(self.look(until=loop.time()))
        if self._open:
            self._timer = loop.call_later(_TICK, self._on_time)


class Lasting:
    """One response, as a context like `asyncio.timeout`: it cancels the task inside.

    It is checked from `begin` to `stop`, or to the end of the context. *refusal*: why it was ended.
    """

    __slots__ = ("_before", "_over", "_task", "_watch", "check", "refusal")

    def __init__(self, watch: Watch, check: Check) -> None:
        self._watch = watch
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._over = True
        self.check = check
        self.refusal: OAuthError | None = None

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task()
        self._before = 0 if task is None else task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not self._over:
            self.stop()
        if self.refusal is None or self._task is None:
            return
        others = self._task.uncancel() > self._before  # a stop of the server, for one
        if kind is asyncio.CancelledError and not others:
            raise Ended(self.refusal) from error

    def begin(self) -> None:
        self._over = False
        self._watch.add(self)

    def stop(self) -> None:
        self._over = True
        self._watch.remove(self)

    def end(self, refusal: OAuthError) -> None:
        # A look that was under way when the answer ended comes too late.
        if self.refusal is None and self._task is not None and not self._over:
            self.refusal = refusal
            self.stop()
            self._task.cancel()


class Sending(Lasting):
    """The response of an application, which sends it by calling this.

    When its check refuses, an event stream ends as if it were complete, and a WebSocket with 1008.
    Any other response is aborted, so that no client takes a part of it for the whole.

    *began*: the message that it began with.
    """

    __slots__ = ("_send", "_send_body", "began")

    _send: Send
    _send_body: Send
    began: Message | None

    async def run(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        send_body: Send | None = None,
    ) -> None:
        """Run *app*. Once its response has begun, end it when the check refuses.

        *send_body*: for the parts of its body, if *send* would only pass them on.
        """
        self._send, self._send_body, self.began = send, send_body or send, None
        try:
            with self:
                await app(scope, receive, self)
        except Ended:
            pass
        except OSError:
            if self.refusal is None:
                raise
        if (refusal := self.refusal) is not None:
            log.info("%s: ended an answer under way: %s", scope["path"], refusal)
            await self._finish()

    async def _finish(self) -> None:
        if self.began is not None and (ending := _ending_of(self.began)) is not None:
            await self._send(ending)

    def __call__(self, message: Message) -> Awaitable[None]:
        if self.refusal is not None:
            raise OSError("this answer was ended: its login or its token has ended")
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body", False):
                self.stop()
            return self._send_body(message)
        if kind in _BEGINNINGS:
            self.began = message
            self.begin()
        elif kind == "websocket.close":
            self.stop()
        return self._send(message)


_BEGINNINGS: Final = frozenset({"http.response.start", "websocket.accept"})


def _ending_of(began: Message) -> Message | None:
    """What ends the response that *began* in good order."""
    if began["type"] == "websocket.accept":
        return {"type": "websocket.close", "code": 1008}
    return END_OF_BODY if is_event_stream(began.get("headers", ())) else None


def is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the response with *headers* is one whose length is not stated."""
    found = {name.lower(): value for name, value in headers}
    kind = found.get(b"content-type", b"")
    return kind.startswith(b"text/event-stream") and b"content-length" not in found
