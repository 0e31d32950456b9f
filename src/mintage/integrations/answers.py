"""The response of an application behind a login, and the refusal that takes its place."""

from collections.abc import Awaitable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mintage.web.cors import readable
from mintage.web.references import reference_of_response, referring, without_reference

_BEGINS: Final = frozenset({"websocket.accept", "websocket.close", "websocket.http.response.start"})


class Outward:
    """*send* for what begins a response: pages of any origin may read it.

    It gets the *nonce* for the client's next proof, and the reference of its request. *begun*:
    whether the response has begun, so that it can't be refused any more.
    """

    __slots__ = ("_send", "begun", "nonce")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.nonce: str | None = None

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            self.begun = True
            headers = readable(without_reference(message.get("headers", ())))
            headers += reference_of_response(message["status"], headers)
            if self.nonce is not None:
                headers.append((b"dpop-nonce", self.nonce.encode()))
            message = {**message, "headers": headers}
        elif kind in _BEGINS:
            self.begun = True
            return referring(self._send)(message)
        return self._send(message)


def as_request(scope: Scope) -> Request:
    """A request for the log. A WebSocket begins as a GET (RFC 6455 §4.1)."""
    return Request(scope if scope["type"] == "http" else {**scope, "type": "http", "method": "GET"})


async def answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send *response*. A WebSocket gets the same one if the server supports that."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get(
        "extensions", {}
    ):
        return await send({"type": "websocket.close", "code": 4000 + response.status_code})
    return await response(scope, receive, send)
