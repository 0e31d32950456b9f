"""A response names the reference of its request, as ``X-Request-ID``."""

from collections.abc import Awaitable, Iterable, Mapping
from functools import partial
from typing import Final, TypeAlias

from starlette.types import Message, Send

from mintage.web.current_request import CURRENT, CurrentRequest, Lasting

Header: TypeAlias = tuple[bytes, bytes]

REQUEST_ID: Final = b"x-request-id"
_BEGINNINGS: Final = {
    "http.response.start": 200,
    "websocket.http.response.start": 200,
    "websocket.accept": 101,
}
_DECLINED: Final = 403  # what a client gets whose WebSocket is closed before it is accepted


def reference_of_response(status: int, headers: Iterable[Header] = ()) -> tuple[Header, ...]:
    """The header for the response to the current request, which begins now.

    It begins with *status* and *headers*, which is noted. Outside of a request there is no header.
    """
    request = CURRENT.get()
    if request is None:
        return ()
    request.status = status
    if request.tally is not None:
        request.answered(status, _lasting(dict(headers)))
    return ((REQUEST_ID, request.reference.encode()),)


def without_reference(headers: Iterable[Header]) -> list[Header]:
    """*headers* of a response that has a reference of its own, less that."""
    found = [*headers]  # ASGI allows an iterator
    if REQUEST_ID not in dict(found):
        return found
    return [header for header in found if header[0] != REQUEST_ID]


def referring(send: Send) -> Send:
    """*send*, which adds the reference of the current request to the response."""
    request = CURRENT.get()
    # A closure would take more memory, for as long as a stream lasts.
    return send if request is None else partial(_refer, request, send)


def _refer(request: CurrentRequest, send: Send, message: Message) -> Awaitable[None]:
    kind = message["type"]
    if kind == "http.response.body":
        return send(message)
    if (usual := _BEGINNINGS.get(kind)) is None:
        if kind == "websocket.close" and request.status is None:
            request.answered(_DECLINED)
        return send(message)
    request.status = message.get("status", usual)
    headers = without_reference(message.get("headers", ()))
    if request.tally is not None:
        accepted = kind == "websocket.accept"
        request.answered(request.status, "websocket" if accepted else _lasting(dict(headers)))
    headers.append((REQUEST_ID, request.reference.encode()))
    return send({**message, "headers": headers})


def _lasting(headers: Mapping[bytes, bytes]) -> Lasting:
    is_stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
    return "stream" if is_stream else ""
