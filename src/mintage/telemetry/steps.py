"""A step of the work: how long it took, how it ended, and who is told.

The wrappers of this package put a step around a request, a question to a provider, an operation of
the store and a request to a backend. A `Meter` gets the seconds, a `Tracer` makes a span of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from mintage.telemetry.metrics import Metric

Number = Callable[[float], None]
"""Takes seconds, an amount to add, or a value to set."""


class Meter(ABC):
    """Collects numbers. The *labels* of each call are those of its metric, in their order.

    `timer`, `adder` and `setter` return a function, which the fastest parts keep.
    """

    @abstractmethod
    def timer(self, metric: Metric, *labels: str) -> Number:
        """Counts one more of a histogram, which took that many seconds."""

    @abstractmethod
    def adder(self, metric: Metric, *labels: str) -> Number:
        """Adds to a counter or a gauge."""

    @abstractmethod
    def setter(self, metric: Metric, *labels: str) -> Number:
        """Sets a gauge."""

    @cached_property
    def _numbers(self) -> dict[tuple[Metric, tuple[str, ...]], Number]:
        return {}

    def time(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Count one more of a histogram, which took *seconds*."""
        self._of(self.timer, metric, labels)(seconds)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add *amount* to a counter or a gauge."""
        self._of(self.adder, metric, labels)(amount)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._of(self.setter, metric, labels)(value)

    def _of(self, make: Callable[..., Number], metric: Metric, labels: tuple[str, ...]) -> Number:
        found = self._numbers.get((metric, labels))
        if found is None:
            found = self._numbers[metric, labels] = make(metric, *labels)
        return found


class Tracer(Protocol):
    """Makes spans of steps."""

    def begin(self, step: "Step") -> None:
        """*step* begins in the current task."""

    def end(self, step: "Step", error: BaseException | None) -> None:
        """*step* has ended, in the same task; *error*: what it raised."""

    def passed_on(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """*headers* for another server, which continue the trace of the current task."""

    def trace_id(self) -> str | None:
        """The id of the trace of the current task."""


def ok_or_error(error: BaseException | None) -> str:
    """The usual outcome of a step that raised *error*, or None."""
    return "ok" if error is None else "error"


class Kind:
    """A kind of steps: its name in traces, its histogram, and how to call an outcome.

    *metric*: its last label is the outcome; None if only traces show the step, with *labels*.
    *outcome_of* gets what the step raised, or None.
    """

    __slots__ = ("labels", "metric", "name", "outcome_of")

    def __init__(
        self,
        name: str,
        metric: Metric | None,
        outcome_of: Callable[[BaseException | None], str] = ok_or_error,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.metric = metric
        self.labels = labels if metric is None else metric.labels[:-1]
        self.outcome_of = outcome_of


class Step:
    """A context. Set *outcome* inside it; otherwise its kind says what it is.

    *names* are the values of its kind's labels. *detail* is for the tracer: what the step is about.
    *status*: of HTTP, if there is one. *span* belongs to the tracer.
    """

    __slots__ = (
        "_began", "_is_measured", "_meter", "_tracer", "detail", "kind", "names", "outcome", "span",
        "status",
    )  # fmt: skip

    def __init__(
        self,
        kind: Kind,
        names: tuple[str, ...],
        meter: Meter | None,
        tracer: Tracer | None,
        detail: Any = None,
    ) -> None:
        self.kind = kind
        self.names = names
        self.outcome = ""
        self.status = 0
        self.detail = detail
        self.span: Any = None
        self._meter = meter
        self._tracer = tracer
        self._is_measured = False

    def __enter__(self) -> Self:
        if self._tracer is not None:
            self._tracer.begin(self)
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not self.outcome:
            self.outcome = self.kind.outcome_of(error)
        self.measure()
        if self._tracer is not None:
            self._tracer.end(self, error)

    def measure(self) -> None:
        """Take the time now, and not at the end: what follows does not count."""
        if self._is_measured:
            return
        self._is_measured = True
        metric = self.kind.metric
        if self._meter is not None and metric is not None:
            self._meter.time(metric, perf_counter() - self._began, *self.names, self.outcome)


class Probe(msgspec.Struct, frozen=True):
    """What the wrappers report to."""

    meter: Meter | None = None
    tracer: Tracer | None = None

    def step(self, kind: Kind, *names: str, detail: Any = None) -> Step:
        return Step(kind, names, self.meter, self.tracer, detail)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        if self.meter is not None:
            self.meter.add(metric, amount, *labels)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        if self.meter is not None:
            self.meter.set(metric, value, *labels)
