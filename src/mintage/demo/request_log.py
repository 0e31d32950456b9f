"""Prints each request in one readable line: the request, its result, and how long it took.

Query strings are never printed: they contain codes and states.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rich.text import Text
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.demo.show import status_style

_MAX_BODY: Final = 64 * 1024  # bytes of a body that are looked at
_MAX_WORD: Final = 60

_NOTES: Final = {
    ("/register", 201): "the client registers",
    ("/authorize", 200): "the consent page",
    ("/consent", 200): "agreed; on to the login provider",
    ("/consent", 303): "agreed; on to the login provider",
    ("/callback", 200): "logged in; the code goes to the client",
    ("/callback", 302): "logged in; the code goes to the client",
    ("/callback", 303): "logged in; the code goes to the client",
    ("/token", 200): "tokens for the client",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that was answered. *status* 0: the connection ended without an answer."""

    method: str
    path: str
    status: int
    seconds: float
    call: str = ""  # the JSON-RPC method, and the tool

    @property
    def note(self) -> str:
        """What the request is for, if its path tells."""
        if self.status == 401:  # noqa: PLR2004
            return "log in first"
        if self.path.startswith("/.well-known/"):
            return "discovery"
        return _NOTES.get((self.path, self.status), "")


def _silent(_: Seen) -> None:
    """The observer until there is one: it does nothing."""


@dataclass(slots=True)
class RequestLog:
    """Calls *observe* for each request to the application behind it."""

    observe: Callable[[Seen], None] = _silent
    clock: Callable[[], float] = field(default=time.perf_counter)

    def before(self, app: ASGIApp) -> ASGIApp:
        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._watch(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return watched

    async def _watch(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        began, body, told = self.clock(), bytearray(), False

        def tell(status: int) -> None:
            nonlocal told
            told = True
            took = self.clock() - began
            call = call_of(bytes(body)) if scope["method"] == "POST" else ""
            self.observe(Seen(scope["method"], plain(scope["path"]), status, took, call))

        async def hearing() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b"")[: _MAX_BODY + 1 - len(body)])
            return message

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                tell(message["status"])
            await send(message)

        try:
            await app(scope, hearing, answering)
        finally:
            if not told:
                tell(0)


def call_of(body: bytes) -> str:
    """``tools/call whoami`` for such a JSON-RPC request; empty for any other body."""
    if len(body) > _MAX_BODY or not body.lstrip().startswith((b"{", b"[")):
        return ""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    first = found[0] if isinstance(found, list) and found else found
    if not isinstance(first, dict):
        return ""
    parameters = first.get("params")
    name = parameters.get("name") if isinstance(parameters, dict) else None
    return " ".join(plain(word) for word in (first.get("method"), name) if isinstance(word, str))


def plain(word: str) -> str:
    """*word* for a terminal: shortened, and with control characters escaped."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in word[: _MAX_WORD + 1])
    return shown if len(shown) <= _MAX_WORD else f"{shown[:_MAX_WORD]}…"


def line(seen: Seen, at: str) -> Text:
    """*seen* as one line of a terminal; *at* is the time of day."""
    style = status_style(seen.status)
    what = f"{seen.method} {seen.path}"
    text = Text.assemble(
        (at, "dim"), "  ", (str(seen.status or "---"), style),
        (f"{seen.seconds * 1000:6.0f} ms  ", "dim"), (f"{what:<30}", style), "  ",
        seen.call or seen.note,
    )  # fmt: skip
    text.rstrip()
    text.no_wrap = True
    return text
