"""The telemetry that a configuration asks for."""

from collections.abc import Callable

from mintage.settings.opentelemetry import OpenTelemetrySection
from mintage.telemetry.metrics import Metric
from mintage.telemetry.steps import Meter, Number
from mintage.telemetry.telemetry import Telemetry


class BothMeters(Meter):
    """Tells two meters."""

    def __init__(self, first: Meter, second: Meter) -> None:
        self._first = first
        self._second = second

    def timer(self, metric: Metric, *labels: str) -> Number:
        return _both(self._first.timer(metric, *labels), self._second.timer(metric, *labels))

    def adder(self, metric: Metric, *labels: str) -> Number:
        return _both(self._first.adder(metric, *labels), self._second.adder(metric, *labels))

    def setter(self, metric: Metric, *labels: str) -> Number:
        return _both(self._first.setter(metric, *labels), self._second.setter(metric, *labels))


def _both(first: Callable[[float], None], second: Callable[[float], None]) -> Number:
    def tell(number: float) -> None:
        first(number)
        second(number)

    return tell


def with_opentelemetry(given: Telemetry, section: OpenTelemetrySection | None) -> Telemetry:
    """*given*, and what *section* asks for with the providers of this process.

    Raises `MissingExtra`.
    """
    if section is None:
        return given
    from mintage.telemetry.otel import OpenTelemetryMeter, OpenTelemetryTracer

    meter, tracer = given.meter, given.tracer
    if section.traces:
        tracer = tracer or OpenTelemetryTracer()
    if section.metrics:
        meter = OpenTelemetryMeter() if meter is None else BothMeters(meter, OpenTelemetryMeter())
    return Telemetry(meter, tracer, given.counts_grants)
