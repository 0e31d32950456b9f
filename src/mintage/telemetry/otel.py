"""OpenTelemetry: a span for each stage of a request, and the metrics.

Spans have words of this program and names in the settings, methods and statuses. They have no URL
path or query, no header, no user and no token.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from mintage.extras import extra
from mintage.telemetry.metrics import BUCKETS, Metric
from mintage.telemetry.steps import Meter, Number, Step, Tracer
from mintage.upstream.protocol import HttpRequest

with extra("otel"):
    from opentelemetry import context, metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import Getter
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_NAME: Final = "mintage"
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
_FAILED: Final = frozenset(
    {"5xx", "busy", "error", "fault", "timeout", "unavailable", "unknown", "unreachable"}
)
_TRACEPARENT: Final = b"traceparent"
PROPAGATED: Final = (_TRACEPARENT, b"tracestate")
"""The headers of W3C Trace Context."""

RawHeaders = list[tuple[bytes, bytes]]

_W3C: Final = TraceContextTextMapPropagator()


class _Headers(Getter[Iterable[tuple[bytes, bytes]]]):
    """Reads raw headers. A ``traceparent`` that is there twice is none (Trace Context §3.2)."""

    def get(self, carrier: Iterable[tuple[bytes, bytes]], key: str) -> list[str] | None:
        name = key.encode()
        found = [value.decode("latin-1") for header, value in carrier if header == name]
        if name == _TRACEPARENT and len(found) > 1:
            return None
        return found or None

    def keys(self, carrier: Iterable[tuple[bytes, bytes]]) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_HEADERS: Final = _Headers()


class OpenTelemetryTracer(Tracer):
    """Makes spans with *provider*; None: the application's own.

    A stage without a request around it, as a chore's, makes no span, and neither does a stage of a
    request that is not recorded.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=provider)

    def begin(self, step: Step) -> None:
        around: Context | None = None
        if step.kind.name == "request":
            around = _parent_of(step.detail["headers"])
        elif not trace.get_current_span().is_recording():
            return
        span = self._tracer.start_span(_name_of(step), around, _kind_of(step))
        if span.is_recording():
            span.set_attributes(_attributes(step))
        step.span = (span, context.attach(trace.set_span_in_context(span, around)))

    def end(self, step: Step, error: BaseException | None) -> None:
        if step.span is None:
            return
        span, token = step.span
        context.detach(token)
        if not span.is_recording():
            return
        span.set_attribute("mintage.outcome", step.outcome)
        if step.status:
            span.set_attribute("http.response.status_code", step.status)
        if step.outcome in _FAILED:
            # Only the kind of the error: its text may hold what a stranger wrote.
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__name__ if error else step.outcome)
        span.end()

    def passed_on(self, headers: RawHeaders) -> RawHeaders:
        """*headers* with the current span in place of the client's trace context."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        kept = [header for header in headers if header[0] not in PROPAGATED]
        return kept + [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]

    def trace_id(self) -> str | None:
        """The id of the current trace, as logs show it."""
        found = trace.get_current_span().get_span_context()
        return trace.format_trace_id(found.trace_id) if found.is_valid else None


def _parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Context | None:
    """Where a request's span belongs: below the application's own span, else the client's."""
    if trace.get_current_span().get_span_context().is_valid:
        return None
    return _W3C.extract(headers, getter=_HEADERS)


def _method(step: Step) -> str | None:
    match step.kind.name, step.detail:
        case "request", detail:
            found = detail.get("method", "GET")  # a WebSocket begins as a GET
        case "backend", (method, _):
            found = method
        case "provider request", HttpRequest() as request:
            found = request.method
        case _:
            return None
    return found if found in _METHODS else "_OTHER"


def _name_of(step: Step) -> str:
    place = next((name for name in reversed(step.names) if name), "")
    method = _method(step)
    if step.kind.name == "request":
        return f"{method} {place}"
    return f"{step.kind.name} {place}".strip()


def _kind_of(step: Step) -> SpanKind:
    match step.kind.name:
        case "request":
            return SpanKind.SERVER
        case "backend" | "provider request" | "store":
            return SpanKind.CLIENT
        case _:
            return SpanKind.INTERNAL


def _attributes(step: Step) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {
        f"mintage.{label}": name
        for label, name in zip(step.kind.labels, step.names, strict=True)
        if name
    }
    if (method := _method(step)) is not None:
        found["http.request.method"] = method
    match step.detail:
        case HttpRequest() as request:
            found |= _server(request.url)
        case (_, str() as url):
            found |= _server(url)
        case _:
            pass
    if step.kind.name == "request":
        found["http.route"] = step.names[1] or f"/{step.names[0]}"
    return found


def _server(url: str) -> dict[str, str | int]:
    parts = urlsplit(url)
    found: dict[str, str | int] = {"server.address": parts.hostname or ""}
    if parts.port is not None:
        found["server.port"] = parts.port
    return found


class OpenTelemetryMeter(Meter):
    """Records the metrics with *provider*; None: the application's own.

    Their names have dots: ``mintage.request_seconds``.
    """

    def __init__(self, provider: metrics.MeterProvider | None = None) -> None:
        self._meter = metrics.get_meter(_NAME, meter_provider=provider)
        self._made: dict[str, Any] = {}

    def timer(self, metric: Metric, *labels: str) -> Number:
        histogram = self._once(
            metric,
            lambda name: self._meter.create_histogram(
                name, "s", metric.help, explicit_bucket_boundaries_advisory=BUCKETS
            ),
        )
        attributes = _labelled(metric, labels)
        return lambda seconds: histogram.record(seconds, attributes)

    def adder(self, metric: Metric, *labels: str) -> Number:
        counter = self._once(
            metric,
            lambda name: (
                self._meter.create_up_down_counter(name, description=metric.help)
                if metric.kind == "gauge"
                else self._meter.create_counter(name, description=metric.help)
            ),
        )
        attributes = _labelled(metric, labels)
        return lambda amount: counter.add(amount, attributes)

    def setter(self, metric: Metric, *labels: str) -> Number:
        gauge = self._once(
            metric, lambda name: self._meter.create_gauge(name, description=metric.help)
        )
        attributes = _labelled(metric, labels)
        return lambda value: gauge.set(value, attributes)

    def _once(self, metric: Metric, make: Callable[[str], Any]) -> Any:
        if metric.name not in self._made:
            name = metric.name.removeprefix("mintage_").removesuffix("_total")
            self._made[metric.name] = make(f"{_NAME}.{name}")
        return self._made[metric.name]


def _labelled(metric: Metric, labels: tuple[str, ...]) -> Mapping[str, str]:
    named = {f"{_NAME}.{label}": value for label, value in zip(metric.labels, labels, strict=True)}
    return MappingProxyType({name: value for name, value in named.items() if value})
