"""Spans of the login inside an application that has OpenTelemetry of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.integrations.starlette import Login
from tests.integrations.conftest import Open

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What the application's own provider exports. It can be set once in a process."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """What the application's own provider of metrics reads."""
    reader = InMemoryMetricReader()
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", MeterProvider([reader]))
    return reader


def requests_in(reader: InMemoryMetricReader) -> dict[tuple[Any, ...], int]:
    """(endpoint, resource, status) → how many requests were counted there."""
    found: dict[tuple[Any, ...], int] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == "mintage.request_seconds":
                    for point in metric.data.data_points:
                        assert isinstance(point, HistogramDataPoint)
                        labels = dict(point.attributes or {})
                        names = ("endpoint", "resource", "status")
                        key = tuple(labels.get(f"mintage.{name}") for name in names)
                        found[key] = point.count
    return found


class OwnSpans:
    """As the instrumentation of an ASGI application makes them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        with trace.get_tracer("app").start_as_current_span("own"):
            return await self._app(scope, receive, send)


async def tool(request: Request) -> Response:
    with trace.get_tracer("app").start_as_current_span("the work"):
        return PlainTextResponse("done")


def build(login: Login, *outside: Middleware) -> Starlette:
    return Starlette(
        routes=[Route("/api/tool", tool)], middleware=[*outside, Middleware(login.middleware)]
    )


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    [found] = [span for span in spans.get_finished_spans() if span.name == name]
    return found


async def test_the_work_of_a_route_is_in_the_trace_of_the_client(
    house: Open, spans: InMemorySpanExporter
) -> None:
    async with house(build, opentelemetry={}) as home:
        session = await home.log_in()
        spans.clear()
        answer = await session.get("/api/tool", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert answer.text == "done"
        request, admit = named(spans, "GET /api"), named(spans, "admit /api")
        assert request.parent is not None
        assert trace.format_span_id(request.parent.span_id) == PARENT
        assert admit.parent == request.context
        assert named(spans, "the work").parent == request.context


async def test_they_are_below_the_span_of_the_application(
    house: Open, spans: InMemorySpanExporter
) -> None:
    async with house(lambda login: build(login, Middleware(OwnSpans)), opentelemetry={}) as home:
        session = await home.log_in()
        assert any(span.name == "POST token" for span in spans.get_finished_spans())
        spans.clear()
        await session.get("/api/tool")
        own, request = named(spans, "own"), named(spans, "GET /api")
        assert request.parent == own.context
        assert named(spans, "the work").parent == request.context


async def test_without_the_section_there_are_none(house: Open, spans: InMemorySpanExporter) -> None:
    async with house(build) as home:
        session = await home.log_in()
        await session.get("/api/tool")
        assert {span.name for span in spans.get_finished_spans()} == {"the work"}


async def test_a_refused_request_has_its_span_and_its_event_the_trace(
    house: Open, spans: InMemorySpanExporter
) -> None:
    async with house(build, opentelemetry={}) as home:
        seen: list[Any] = []
        home.login.running.events.attach(seen.append)
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = await home.http.get(f"{home.origin}/api/tool", headers=headers)
        assert answer.status_code == 401
        attributes = named(spans, "GET /api").attributes
        assert attributes is not None
        assert attributes["http.response.status_code"] == 401
        assert [event.origin.trace_id for event in seen] == [TRACE]


async def test_each_request_is_counted_once_and_none_to_what_needs_no_login(
    house: Open, numbers: InMemoryMetricReader
) -> None:
    def with_open_route(login: Login) -> Starlette:
        app = build(login)
        app.routes.append(Route("/open", tool))
        return app

    async with house(with_open_route, opentelemetry={"metrics": True}) as home:
        session = await home.log_in()
        for _ in range(3):
            assert (await session.get("/api/tool")).status_code == 200
        assert (await home.http.get(f"{home.origin}/api/tool")).status_code == 401
        assert (await home.http.get(f"{home.origin}/open")).status_code == 200
        found = requests_in(numbers)
        assert found["resource", "/api", "2xx"] == 3
        assert found["resource", "/api", "4xx"] == 1
        assert found["token", None, "2xx"] == 1
        assert {endpoint for endpoint, _, _ in found} >= {"register", "authorize", "callback"}
        assert not {key for key in found if key[0] == "none"}
