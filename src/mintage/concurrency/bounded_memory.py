"""What a process remembers to save itself work, without growing for ever."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedMemory(OrderedDict[K, V]):
    """A dict of at most *most* entries: with one more, the one written longest ago goes.

    Writing a key again makes it the newest. Reading does not, and costs what it does in a dict;
    a reader that calls ``move_to_end`` makes it "least recently used out first".
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)
