"""``[opentelemetry]``: what a live server sends to a collector."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.collector import collecting
from tests.support.command import CONFIG, mintage
from tests.support.raw_backend import RawBackend
from tests.telemetry.live import ROOT, live

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ON = "[opentelemetry]\nmetrics = true\n"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_spans_and_metrics_of_every_worker_reach_the_collector(
    tmp_path: Path, raw: RawBackend, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "login")
        async with live(tmp_path, "--workers", workers, backend=raw.port, more=ON) as server:
            tokens = await server.tokens()
            for _ in range(20):
                answer = await server.http.get(
                    f"{server.issuer}/mcp",
                    headers={
                        "authorization": f"Bearer {tokens['access_token']}",
                        "traceparent": f"00-{TRACE}-{PARENT}-01",
                    },
                )
                assert answer.status_code == 200
            server.process.terminate()
            assert await server.process.wait() == 0
        found = [span for name, span in collector.spans() if name == "login"]
        requests = [span for span in found if span.name == "GET /mcp"]
        assert len(requests) == 20
        assert {span.trace_id.hex() for span in requests} == {TRACE}
        backend = {span.span_id.hex() for span in found if span.name == "backend /mcp"}
        told = [dict(scope["headers"])[b"traceparent"].decode() for scope in raw.seen]
        assert {one.split("-")[2] for one in told} == backend
        [*measured] = (one for one in collector.measured() if one.name == "mintage.request_seconds")
        assert measured
        everything = b"".join(collector.traces + collector.metrics)
        secrets = {*server.upstream.issued, ROOT, server.upstream.client_secret}
        secrets |= {tokens["access_token"], tokens["refresh_token"]}
        assert [secret for secret in secrets if secret.encode() in everything] == []


async def test_a_collector_that_is_away_harms_no_request(
    tmp_path: Path, raw: RawBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with live(tmp_path, backend=raw.port, more=ON) as server:
        tokens = await server.tokens()
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        for _ in range(5):
            answer = await server.http.get(f"{server.issuer}/mcp", headers=headers)
            assert answer.status_code == 200
        server.process.terminate()
        async with asyncio.timeout(20):
            assert await server.process.wait() == 0


def test_an_exporter_that_is_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    file = tmp_path / "mintage.toml"
    settings = CONFIG.format(
        issuer="http://127.0.0.1:8080", directory=tmp_path, backend="http://127.0.0.1:9"
    )
    file.write_text(f"{settings}\n{ON}")
    done = mintage("serve", "--config", str(file), "--port", "0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        b"mintage: OTEL_TRACES_EXPORTER: is otlp or none"
    )


def test_without_the_setting_nothing_of_it_is_imported() -> None:
    """The core imports neither of the libraries."""
    program = (
        "import sys, mintage.cli.serve\n"
        "libraries = ('prometheus_client', 'opentelemetry')\n"
        "print(*(name for name in sys.modules if name.split('.')[0] in libraries))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b""
