"""The numbers of one process, in memory: each count costs a fraction of a microsecond.

A `Snapshot` holds them all, as bytes that another process can read.
"""

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

import msgspec

from mintage.telemetry.metrics import BUCKETS, Metric
from mintage.telemetry.steps import Meter

Key = tuple[str, tuple[str, ...]]
"""The name of a metric, and the values of its labels."""


class Times(msgspec.Struct, array_like=True):
    """How often something took how long: by bucket, and the sum of seconds."""

    buckets: list[int]
    seconds: float


class Count(msgspec.Struct):
    """The value of a counter, where it is added to."""

    value: float


class Level(msgspec.Struct, array_like=True):
    """The value of a gauge, and when it was set (seconds since the epoch)."""

    value: float
    at: float


class Snapshot(msgspec.Struct, array_like=True):
    """All numbers of a process."""

    counts: list[tuple[Key, float]] = []
    levels: list[tuple[Key, Level]] = []
    times: list[tuple[Key, Times]] = []


_DECODER: Final = msgspec.msgpack.Decoder(Snapshot)


def decode(data: bytes) -> Snapshot:
    """Raises `msgspec.MsgspecError`."""
    return _DECODER.decode(data)


def encode(snapshot: Snapshot) -> bytes:
    return msgspec.msgpack.encode(snapshot)


class Cells(Meter):
    """A `Meter` in memory. *changed* is called at the first change after each `snapshot`."""

    def __init__(self, changed: Callable[[], None] | None = None) -> None:
        self._changed = changed
        self._is_clean = changed is not None
        self._counts: dict[Key, Count] = {}
        self._levels: dict[Key, Level] = {}
        self._times: dict[Key, Times] = {}

    def timer(self, metric: Metric, *labels: str) -> Callable[[float], None]:
        times = self._times.setdefault((metric.name, labels), Times([0] * (len(BUCKETS) + 1), 0.0))
        buckets = times.buckets

        def observe(seconds: float) -> None:
            buckets[bisect_left(BUCKETS, seconds)] += 1
            times.seconds += seconds
            if self._is_clean:
                self._soil()

        return observe

    def adder(self, metric: Metric, *labels: str) -> Callable[[float], None]:
        key = (metric.name, labels)
        if metric.kind == "gauge":
            level = self._levels.setdefault(key, Level(0.0, time.time()))

            def raise_by(amount: float) -> None:
                level.value += amount
                if self._is_clean:
                    self._soil()

            return raise_by
        count = self._counts.setdefault(key, Count(0.0))

        def add(amount: float) -> None:
            count.value += amount
            if self._is_clean:
                self._soil()

        return add

    def setter(self, metric: Metric, *labels: str) -> Callable[[float], None]:
        level = self._levels.setdefault((metric.name, labels), Level(0.0, 0.0))

        def put(value: float) -> None:
            if level.value != value or not level.at:
                level.value, level.at = float(value), time.time()
                if self._is_clean:
                    self._soil()

        return put

    def resume(self, former: Snapshot) -> None:
        """Continue the counts of a process that has ended. Its gauges ended with it."""
        self._counts |= {key: Count(value) for key, value in former.counts}
        self._times |= dict(former.times)

    def snapshot(self) -> Snapshot:
        self._is_clean = self._changed is not None
        counts = [(key, count.value) for key, count in self._counts.items()]
        return Snapshot(counts, list(self._levels.items()), list(self._times.items()))

    def _soil(self) -> None:
        self._is_clean = False
        if self._changed is not None:
            self._changed()
