"""The providers of OpenTelemetry for ``mintage serve``, as the variables ``OTEL_…`` say.

Under ``opentelemetry-instrument``, or if the operator has set providers, those are used.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from mintage import __version__
from mintage.errors import ConfigError
from mintage.extras import needs
from mintage.settings.opentelemetry import OpenTelemetrySection

_EXPORTERS: Final = ("otlp", "none")


@contextmanager
def opentelemetry(section: OpenTelemetrySection | None) -> Iterator[None]:
    """In this block spans and metrics are exported. At its end what is left is sent.

    Each worker calls it after the fork: exporters have a thread. Raises `ConfigError`.
    """
    if section is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield
        return
    needs("otel")
    with ExitStack() as stack:
        if section.traces and _is_exported("OTEL_TRACES_EXPORTER"):
            _export_traces(stack)
        if section.metrics and _is_exported("OTEL_METRICS_EXPORTER"):
            _export_metrics(stack)
        yield


def _is_exported(name: str) -> bool:
    exporter = os.environ.get(name) or "otlp"
    if exporter not in _EXPORTERS:
        raise ConfigError(
            name,
            "is otlp or none; for another exporter start Mintage with opentelemetry-instrument",
        )
    return exporter == "otlp"


def _export_traces(stack: ExitStack) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return  # the operator's own
    provider = TracerProvider(resource=Resource.create(_service()))
    stack.callback(provider.shutdown)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def _export_metrics(stack: ExitStack) -> None:
    from opentelemetry import metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    if isinstance(metrics.get_meter_provider(), MeterProvider):
        return
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], resource=Resource.create(_service()))
    stack.callback(provider.shutdown)
    metrics.set_meter_provider(provider)


def _service() -> dict[str, str | int]:
    """What the operator does not say about the service."""
    found: dict[str, str | int] = {
        "service.version": __version__,
        "service.instance.id": f"{os.uname().nodename}-{os.getpid()}",
    }
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in said:
        found["service.name"] = "mintage"
    return {name: value for name, value in found.items() if f"{name}=" not in said}
