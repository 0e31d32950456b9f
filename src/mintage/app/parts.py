"""The parts of a server that outlive a reload: the same settings, the same part.

A part has connections, processes or memory that should not be lost because some other setting has
changed. It is open as long as one server holds it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Part:
    settings: object
    value: Any
    closing: AsyncExitStack
    holders: int = 0


class Parts(msgspec.Struct):
    """All parts that are open."""

    _open: list[_Part] = msgspec.field(default_factory=list)

    @asynccontextmanager
    async def held(
        self, settings: object, make: Callable[[], AbstractAsyncContextManager[T]]
    ) -> AsyncIterator[T]:
        """The part with *settings*, open for the length of the block.

        The one that is open already, or else what *make* opens. *settings* begin with a word for
        the kind of part. The last holder closes it.
        """
        part = next((one for one in self._open if one.settings == settings), None)
        if part is None:
            closing = AsyncExitStack()
            part = _Part(settings, await closing.enter_async_context(make()), closing)
            self._open.append(part)
        part.holders += 1
        try:
            yield part.value
        finally:
            part.holders -= 1
            if part.holders == 0:
                self._open.remove(part)
                await part.closing.aclose()
