"""The head of a response as bytes, and what it says of the body. Pure."""

import http
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.web.header_lines import BREAK, beginnings, control_characters, templates

Header: TypeAlias = tuple[bytes, bytes]

_STATUS_LINES: Final = {
    each.value: b"HTTP/1.1 %d %b" % (each, each.phrase.encode()) for each in http.HTTPStatus
}
_LENGTH: Final = b"\r\ncontent-length: "
_CODING: Final = b"\r\ntransfer-encoding: "
_CONNECTION: Final = b"\r\nconnection: "
_ABOUT_THE_BODY: Final = frozenset({_LENGTH, _CODING, _CONNECTION})
_USUAL_NAMES: Final = 1024  # bytes of all names of a response that are remembered
_IN_CHUNKS: Final = _CODING + b"chunked"
_LAST: Final = _CONNECTION + b"close"
_END: Final = b"\r\n\r\n"
_BODILESS: Final = frozenset({204, 304})


class _Layout(NamedTuple):
    """All lines with ``%b`` for each value, and the control characters of a head of them.

    *length_at*: which line alone says how long the body is, if one.
    """

    template: bytes
    controls: int
    length_at: int | None


class _Layouts(BoundedMemory[tuple[bytes, ...], _Layout]):
    """By the names of headers. Applications send the same few."""

    def __missing__(self, names: tuple[bytes, ...]) -> _Layout:
        starts = [beginnings[name] for name in names]
        about = [start for start in starts if start in _ABOUT_THE_BODY]
        length_at = starts.index(_LENGTH) if about == [_LENGTH] else None
        layout = _Layout(templates[names], BREAK * len(names) + len(_END), length_at)
        if len(b"".join(names)) <= _USUAL_NAMES:
            self[names] = layout
        return layout


_layouts: Final = _Layouts(512)


def head_of(
    status: int,
    headers: Sequence[Header],
    keep_alive: bool = True,  # noqa: FBT001, FBT002  (by position: a request pays for each name)
    for_head: bool = False,  # noqa: FBT001, FBT002
    plain: bool = False,  # noqa: FBT001, FBT002
) -> tuple[bytes, int | None, bool, bool]:
    """(head, length of the body, whether it is sent in chunks, whether the connection stays open).

    A body that has neither a length nor chunks ends when the connection closes. *for_head*: the
    request was a HEAD. *plain*: the client speaks HTTP/1.0, which has no chunks (RFC 9112 §6.3).
    Raises ``ValueError`` for a name that is none, and for a control character in a value: that
    could begin a line of its own.
    """
    if plain:
        headers = [header for header in headers if header[0].lower() != b"transfer-encoding"]
    # For the usual headers there is no step of Python for each.
    names, values = zip(*headers) if headers else ((), ())  # noqa: B905  (they are pairs)
    template, controls, length_at = _layouts[names]
    lines = template % values
    length: int | None
    if length_at is not None:
        length, chunked, closes = int(values[length_at]), False, False
    else:
        length, chunked, closes = _stated(headers)
    if length is None and not chunked:
        if for_head or status in _BODILESS:
            length = 0
        elif not plain:
            chunked = True
            lines += _IN_CHUNKS
            controls += BREAK
    if not (keep_alive or closes):
        lines += _LAST
        controls += BREAK
    head = b"%b%b\r\n\r\n" % (_STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status, lines)
    # Each line begins with one line break, and two come at the end. Any other is of a value.
    if control_characters(head) != controls:
        raise ValueError("the value of a header holds a control character")
    return head, length, chunked, keep_alive and not closes


def _stated(headers: Iterable[Header]) -> tuple[int | None, bool, bool]:
    """(length, chunked, whether the connection closes) as *headers* say."""
    length, chunked, closes = None, False, False
    for name, value in headers:
        beginning = beginnings[name]
        if beginning == _LENGTH:
            length = int(value) if length is None else length
        elif beginning == _CODING:
            chunked = chunked or value.lower() == b"chunked"
        elif beginning == _CONNECTION:
            closes = closes or b"close" in [word.strip().lower() for word in value.split(b",")]
    return (None if chunked else length), chunked, closes
