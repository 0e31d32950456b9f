"""Attacks on what is counted and traced: secrets in it, and more series than a server can keep."""

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mintage.events.logins import LoginRefused
from mintage.events.requests import RequestRefused
from mintage.telemetry.cells import Cells
from mintage.telemetry.otel import OpenTelemetryTracer
from mintage.telemetry.security import SecurityCounters
from mintage.telemetry.telemetry import Telemetry
from mintage.testing.browser import Browser
from tests.support.world import World
from tests.telemetry.scrape import Numbers, series

METHODS = ("GET", "PUT", "PROPFIND", "REPORT", "MKCOL", "SEARCH", "LINK", "TRACE")


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def parts(cells: Cells, exporter: InMemorySpanExporter) -> dict[str, Any]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return {"telemetry": Telemetry(cells, OpenTelemetryTracer(provider))}


async def test_attack_d07_a_thousand_strange_requests_make_no_series(
    world: World, numbers: Numbers
) -> None:
    """Paths, methods, client ids and headers are the client's: none of them is a label."""

    async def ask(number: int) -> None:
        name = f"strange-{number}"
        method = METHODS[number % len(METHODS)]
        await world.http.request(method, f"{world.issuer}/{name}")
        await world.http.get(f"{world.issuer}/mcp/{name}", headers={name: name})
        await world.http.get(f"{world.issuer}/authorize", params={"client_id": name})

    await ask(0)
    await ask(1)
    before = series(numbers.page)
    for start in range(0, 1000, 20):
        await asyncio.gather(*(ask(number) for number in range(start, start + 20)))
    assert "strange" not in numbers.page
    assert series(numbers.page) == before
    assert numbers("mintage_request_seconds_count", endpoint="none") == 1002


async def test_attack_d07_no_secret_and_no_user_is_in_a_metric_or_a_span(
    world: World, browser: Browser, numbers: Numbers, exporter: InMemorySpanExporter
) -> None:
    client = await world.client()
    tokens = await client.tokens(browser)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    for path in (f"/mcp?code={tokens['refresh_token']}", f"/mcp/{tokens['refresh_token']}"):
        await world.http.get(f"{world.issuer}{path}", headers=headers)
    await client.refresh(tokens["refresh_token"])
    await client.refresh(tokens["refresh_token"] + "x")
    await client.revoke(tokens["refresh_token"])
    shown = numbers.page + "".join(span.to_json() for span in exporter.get_finished_spans())
    secrets = {
        tokens["access_token"], tokens["refresh_token"], world.upstream.client_secret,
        *world.upstream.issued, client.client_id, "alice",
    }  # fmt: skip
    assert [secret for secret in secrets if secret in shown] == []
    assert "?" not in "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "code=" not in shown


def test_attack_d07_a_word_that_is_not_known_is_no_label(numbers: Numbers) -> None:
    """Whatever a later part of the program reports, labels stay few."""
    count = SecurityCounters(numbers.cells)
    for number in range(100):
        count(RequestRefused(endpoint=f"/{number}", stage="new", code=f"{number}", status=400))
        count(LoginRefused(stage=f"rule {number}", reason=f"user {number}"))
    assert numbers("mintage_refusals_total", endpoint="other", stage="other", error="other") == 100
    assert numbers("mintage_logins_total", outcome="refused", stage="other") == 100
