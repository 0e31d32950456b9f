"""A collector of OpenTelemetry: it takes what exporters send, and keeps it."""

import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving


@dataclass
class Collector:
    url: str
    traces: list[bytes] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)

    def spans(self) -> Iterator[tuple[str, Span]]:
        """(name of the service, span)."""
        for body in self.traces:
            for of in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {one.key: one.value.string_value for one in of.resource.attributes}
                for scope in of.scope_spans:
                    for span in scope.spans:
                        yield named["service.name"], span

    def measured(self) -> Iterator[Metric]:
        for body in self.metrics:
            for of in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in of.scope_metrics:
                    yield from scope.metrics


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    port = free_port()
    collector = Collector(f"http://127.0.0.1:{port}")

    async def take(request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        kept = collector.traces if request.url.path == "/v1/traces" else collector.metrics
        kept.append(body)
        return Response(b"", media_type="application/x-protobuf")

    app = Starlette(
        routes=[Route(path, take, methods=["POST"]) for path in ("/v1/traces", "/v1/metrics")]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        yield collector
