"""Lists of tools, prompts and resources, without what the caller may not call. Pure.

A result is known by its shape, not by the request that it answers: an event stream that is
resumed holds answers to requests that nobody here remembers.
"""

from collections.abc import Callable
from typing import Any, Final

from mintage.gateway.json_reading import UnreadableJson, read_json, write_json

LISTS: Final = {
    "tools": ("tools/call", "name"),
    "prompts": ("prompts/get", "name"),
    "resources": ("resources/read", "uri"),
    "resourceTemplates": ("resources/read", "uriTemplate"),
}
"""Member of a result → the method that calls what it lists, and the member that names each."""
_MARKS: Final = tuple(f'"{name}"'.encode() for name in LISTS)

MayCall = Callable[[str, str], bool]
"""Whether the caller may call a method with a name."""


def filtered(message: bytes, may_call: MayCall) -> bytes:
    """*message*, JSON-RPC, with only those tools, prompts and resources that *may_call* lets.

    Cursors and everything else stay as they are. Raises `UnreadableJson`.
    """
    if not _may_hold_a_list(message):
        return message
    value = read_json(message)
    messages = value if isinstance(value, list) else [value]
    changes = [_filter(each, may_call) for each in messages]
    return write_json(value) if any(changes) else message


def _may_hold_a_list(message: bytes) -> bool:
    """A quick no for most messages. Raises `UnreadableJson` for what is no UTF-8 text."""
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise UnreadableJson("must be encoded as UTF-8") from None
    if "\0" in text:
        raise UnreadableJson("must be encoded as UTF-8")
    return b"\\u" in message or any(mark in message for mark in _MARKS)


def _filter(message: object, may_call: MayCall) -> bool:
    """Take out of *message*, in its place, what may not be called. Returns whether anything was."""
    result = message.get("result") if isinstance(message, dict) else None
    if not isinstance(result, dict):
        return False
    changed = False
    for listed, (method, naming) in LISTS.items():
        items = result.get(listed)
        if isinstance(items, list):
            kept = [item for item in items if _may_see(item, method, naming, may_call)]
            changed |= len(kept) != len(items)
            result[listed] = kept
        elif items is not None:
            raise UnreadableJson(f"must hold an array as {listed}")
    return changed


def _may_see(item: Any, method: str, naming: str, may_call: MayCall) -> bool:
    name = item.get(naming) if isinstance(item, dict) else None
    return isinstance(name, str) and may_call(method, name)


class EventFilter:
    """Filters the messages in an event stream (HTML, server-sent events), cut at any byte.

    Lines leave in the order they came, each ended by one line feed. Only the data of an event
    waits, until the event is complete.
    """

    def __init__(self, may_call: MayCall, limit: int) -> None:
        """*limit*: bytes that one event may have."""
        self._may_call = may_call
        self._limit = limit
        self._rest = bytearray()  # a line that is not complete
        self._data: list[bytes] = []
        self._after: list[bytes] = []  # other lines since the first of the data
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> bytes:
        """What may pass once *chunk* has come. Raises `UnreadableJson`."""
        out: list[bytes] = []
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._rest += chunk
        if b"\n" in chunk or b"\r" in chunk:
            self._after_cr = self._rest.endswith(b"\r")
            lines = bytes(self._rest).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self._rest = bytearray(lines.pop())
            for line in lines:
                self._take(line, out)
        if len(self._rest) + self._size > self._limit:
            raise UnreadableJson(f"must have at most {self._limit} bytes an event")
        return b"".join(out)

    def end(self) -> bytes:
        """What is left when the stream ends. Raises `UnreadableJson`."""
        out: list[bytes] = []
        if self._rest:
            self._take(bytes(self._rest), out)
            self._rest.clear()
        self._finish(out)
        return b"".join(out)

    def _take(self, line: bytes, out: list[bytes]) -> None:
        if self._at_start:
            line, self._at_start = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            self._finish(out)
            out.append(b"\n")
        elif line == b"data" or line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._size += len(line)
        elif self._data:
            self._after.append(line)
            self._size += len(line)
        else:
            out += (line, b"\n")

    def _finish(self, out: list[bytes]) -> None:
        """The event is complete, or the stream is."""
        if self._data:
            data = filtered(b"\n".join(self._data), self._may_call)
            out += (b"data: %b\n" % line for line in data.split(b"\n"))
        out += (b"%b\n" % line for line in self._after)
        self._data, self._after, self._size = [], [], 0
