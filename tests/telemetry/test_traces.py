"""Spans of a request, from the client's to the backend's, by the SDK's own exporter in memory."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mintage.telemetry.otel import OpenTelemetryTracer
from mintage.telemetry.telemetry import Telemetry
from mintage.testing.browser import Browser
from mintage.testing.nanoidp import free_port
from tests.support.world import THE_BACKEND, World

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
TRACEPARENT_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[13]")


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def parts(provider: TracerProvider) -> dict[str, Any]:
    return {"telemetry": Telemetry(tracer=OpenTelemetryTracer(provider))}


@pytest.fixture
def overrides() -> dict[str, Any]:
    down = f"http://127.0.0.1:{free_port()}"
    closed = {"path": "/closed", "backend": THE_BACKEND, "pass_headers": ["accept"]}
    return {
        "resource": [
            {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["tools"], "credential": "none"},
            {"path": "/down", "backend": down, "scopes": ["tools"], "credential": "none"},
            closed | {"scopes": ["tools"], "credential": "none"},
        ]
    }


async def call(
    world: World, token: str, path: str = "/mcp", headers: list[tuple[str, str]] | None = None
) -> int:
    sent = [("authorization", f"Bearer {token}"), *(headers or [])]
    return (await world.http.get(f"{world.issuer}{path}", headers=sent)).status_code


async def token_for(world: World, browser: Browser, path: str = "/mcp") -> str:
    client = await world.client()
    return str((await client.tokens(browser, resource=f"{world.issuer}{path}"))["access_token"])


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    [found] = [span for span in exporter.get_finished_spans() if span.name == name]
    return found


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return (
        trace.format_trace_id(span.context.trace_id),
        trace.format_span_id(span.context.span_id),
    )


async def test_each_stage_is_a_span_below_the_one_around_it_up_to_the_backend(
    world: World, browser: Browser, exporter: InMemorySpanExporter
) -> None:
    token = await token_for(world, browser)
    exporter.clear()
    headers = [("traceparent", TRACEPARENT), ("tracestate", "vendor=1")]
    assert await call(world, token, headers=headers) == 200
    request, admit = named(exporter, "GET /mcp"), named(exporter, "admit /mcp")
    load, backend = named(exporter, "store load"), named(exporter, "backend /mcp")
    assert {ids(span)[0] for span in (request, admit, load, backend)} == {TRACE}
    assert request.parent is not None
    assert trace.format_span_id(request.parent.span_id) == PARENT
    assert admit.parent == request.context
    assert load.parent == admit.context
    assert backend.parent == request.context
    assert (request.kind, backend.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/mcp"
    seen = world.backend.requests[-1].headers
    assert seen["traceparent"] == f"00-{TRACE}-{ids(backend)[1]}-01"
    assert seen["tracestate"] == "vendor=1"


async def test_a_login_has_spans_for_what_it_asks_the_provider(
    world: World, browser: Browser, exporter: InMemorySpanExporter
) -> None:
    await token_for(world, browser)
    callback = named(exporter, "GET callback")
    login, code = named(exporter, "provider login"), named(exporter, "provider request code")
    assert login.parent == callback.context
    assert code.parent == login.context
    assert code.attributes is not None
    assert code.attributes["server.address"] == "127.0.0.1"
    assert named(exporter, "POST token").parent is None


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [("traceparent", "00-0000-00-01")],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}-01-more")],
        [("traceparent", TRACEPARENT.upper())],
        [("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)],
    ],
)
async def test_a_trace_context_that_is_not_valid_is_neither_continued_nor_passed_on(
    world: World,
    browser: Browser,
    exporter: InMemorySpanExporter,
    sent: list[tuple[str, str]],
) -> None:
    token = await token_for(world, browser)
    exporter.clear()
    assert await call(world, token, headers=sent) == 200
    assert named(exporter, "GET /mcp").parent is None
    [seen] = world.backend.requests[-1].headers.getlist("traceparent")
    found = TRACEPARENT_FORM.fullmatch(seen)
    assert found is not None
    assert found[1] != TRACE


async def test_a_backend_that_may_not_get_trace_headers_gets_none(
    world: World, browser: Browser, exporter: InMemorySpanExporter
) -> None:
    token = await token_for(world, browser, "/closed")
    assert await call(world, token, "/closed", [("traceparent", TRACEPARENT)]) == 200
    assert "traceparent" not in world.backend.requests[-1].headers
    assert ids(named(exporter, "backend /closed"))[0] == TRACE


async def test_a_failure_is_an_error_and_its_text_is_not_told(
    world: World, browser: Browser, exporter: InMemorySpanExporter
) -> None:
    token = await token_for(world, browser, "/down")
    assert await call(world, token, "/down") == 502
    backend = named(exporter, "backend /down")
    assert not backend.status.is_ok
    assert backend.attributes is not None
    assert backend.attributes["error.type"] == "BackendError"
    assert backend.events == ()
    assert not named(exporter, "GET /down").status.is_ok


async def test_a_request_that_the_client_does_not_record_is_passed_on_so(
    world: World, browser: Browser, exporter: InMemorySpanExporter
) -> None:
    token = await token_for(world, browser)
    exporter.clear()
    assert await call(world, token, headers=[("traceparent", f"{TRACEPARENT[:-2]}00")]) == 200
    assert exporter.get_finished_spans() == ()
    seen = world.backend.requests[-1].headers["traceparent"]
    assert seen.split("-")[1] == TRACE
    assert seen.endswith("-00")


async def test_security_events_of_a_request_name_its_trace(world: World, browser: Browser) -> None:
    seen: list[str | None] = []
    world.running.events.attach(lambda event: seen.append(event.origin.trace_id))
    assert await call(world, "wrong", headers=[("traceparent", TRACEPARENT)]) == 401
    assert seen == [TRACE]


class TestInAnApplicationThatHasItsOwnSpans:
    """FastMCP and Starlette applications bring a provider, and may be in a span already."""

    async def test_its_span_is_the_parent(
        self, world: World, provider: TracerProvider, exporter: InMemorySpanExporter
    ) -> None:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": "/healthz", "raw_path": b"/healthz",
            "query_string": b"", "client": ("127.0.0.1", 1), "scheme": "http",
            "server": ("127.0.0.1", world.port),
            "headers": [(b"host", b"x"), (b"traceparent", TRACEPARENT.encode())],
        }  # fmt: skip
        with provider.get_tracer("app").start_as_current_span("the application's") as own:
            await world.app(scope, receive, send)
        assert sent[0]["status"] == 200
        assert named(exporter, "GET healthz").parent == own.get_span_context()
