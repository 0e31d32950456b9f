"""Pages that show the same again and again but for one value, rendered once for all of them."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from markupsafe import escape

from mintage.concurrency.bounded_memory import BoundedMemory

_MOST: Final = 100  # pages
_LONGEST_KEY: Final = 4096  # bytes of all values that one shows
# In the place of the value while a page is rendered. Nobody can guess it, so no other value has it.
_PLACE: Final = secrets.token_hex(16)

Render = Callable[[Mapping[str, object]], str]


class RememberedPages:
    """The text of each page before and after the one value that differs each time."""

    def __init__(self) -> None:
        self._parts: BoundedMemory[bytes, list[str]] = BoundedMemory(_MOST)

    def page(
        self, render: Render, shown: tuple[str, ...], values: dict[str, object], varying: str
    ) -> str:
        """What *render* makes of *values*. It may show the one under *varying*, but not look at it.

        *shown*: what else decides what the page shows. *values* is changed.
        """
        value, values[varying] = values[varying], _PLACE
        key = msgspec.msgpack.encode((shown, values))
        parts = self._parts.get(key)
        if parts is None:
            parts = render(values).split(_PLACE)
            if len(key) <= _LONGEST_KEY:
                self._parts[key] = parts
        return str(escape(value)).join(parts)
