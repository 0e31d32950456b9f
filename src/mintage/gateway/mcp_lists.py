"""Lists of tools, prompts and resources, without what the user may not call. Pure.

A result is recognised by its shape, not by its request: a resumed event stream has responses to
requests that this process does not know.
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
    """*message*, JSON-RPC, with only the tools, prompts and resources that *may_call* allows.

    Cursors and everything else stay unchanged. Raises `UnreadableJson`.
    """
    if not _may_hold_a_list(message):
        return message
    value = read_json(message)
    messages = value if isinstance(value, list) else [value]
    changes = [_filter(each, may_call) for each in messages]
    return write_json(value) if any(changes) else message


def _may_hold_a_list(message: bytes) -> bool:
    """Whether *message* may have a list; most have none. Raises `UnreadableJson` if not UTF-8."""
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise UnreadableJson("must be encoded as UTF-8") from None
    if "\0" in text:
        raise UnreadableJson("must be encoded as UTF-8")
    return b"\\u" in message or any(mark in message for mark in _MARKS)


def _filter(message: object, may_call: MayCall) -> bool:
    """Remove from *message*, in place, what may not be called. Returns whether that changed it."""
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

    Lines leave in the order in which they came, each with one line feed at its end. Only the data
    of an event is held back, until the event is complete.
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
        """What may be forwarded after *chunk*. Raises `UnreadableJson`."""
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
        """What remains when the stream ends. Raises `UnreadableJson`."""
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
        """Handle the end of an event or of the stream."""
        if self._data:
            data = filtered(b"\n".join(self._data), self._may_call)
            out += (b"data: %b\n" % line for line in data.split(b"\n"))
        out += (b"%b\n" % line for line in self._after)
        self._data, self._after, self._size = [], [], 0
