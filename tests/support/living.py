"""Objects that are alive in this process, wherever something holds them."""

import gc
from typing import TypeVar

T = TypeVar("T")


def living(kind: type[T]) -> list[T]:
    """All objects of exactly this *kind*: none of a subclass, and no weak proxies."""
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is kind]


def new(kind: type[T], before: list[T]) -> list[T]:
    """Those that were not there *before*: other tests of this process may have left some."""
    known = {id(one) for one in before}
    return [one for one in living(kind) if id(one) not in known]
