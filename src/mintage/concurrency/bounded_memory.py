"""A cache that does not grow for ever."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedMemory(OrderedDict[K, V]):
    """A dict of at most *most* entries. One more drops the entry that was written longest ago.

    Writing a key again makes it the newest. Reading does not, and costs what it costs in a dict. A
    reader that calls ``move_to_end`` makes it a "least recently used" cache.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)
