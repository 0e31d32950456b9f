"""The alert rules and the dashboard of the manual, against a live server."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mintage.endpoints import ENDPOINTS
from mintage.errors.oauth import Stage
from mintage.telemetry.metrics import METRICS
from tests.support.raw_backend import RawBackend
from tests.telemetry.live import live
from tests.telemetry.rules import ALERTS, alerts, board, grouped, matchers, names, panels

MANUAL = Path(__file__).parents[2] / "docs/how-to/watch-an-installation.md"
ASKED = [*alerts().items(), *panels()]
ADDED = {"instance", "job", "le", "worker"}
"""Labels that Prometheus and the page add."""
WORDS = {
    "endpoint": {"resource", "none", ".well-known", *(one.name for one in ENDPOINTS)},
    "stage": set(get_args(Stage)),
    "status": {"none", "1xx", "2xx", "3xx", "4xx", "5xx"},
    "result": {"hit", "miss"},
    "operation": {"insert", "load", "replace", "delete", "list", "sweep", "status"},
}


def base_of(name: str) -> str:
    """The metric that the series *name* belongs to."""
    return re.sub(r"_(?:bucket|count|sum)$", "", name)


@pytest.fixture
def promtool() -> str:
    """Prometheus's own checker. Without it the test skips; in CI it fails."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not installed")
        pytest.skip("promtool is not installed")
    return found


async def test_each_metric_that_they_name_is_on_the_page_of_a_live_server(
    tmp_path: Path, raw: RawBackend
) -> None:
    async with live(tmp_path, backend=raw.port) as server:
        tokens = await server.tokens()
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        await server.http.get(f"{server.issuer}/mcp", headers=headers)
        families = text_string_to_metric_families(await server.page())
        shown: set[str] = set()
        for family in families:
            of = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
            shown |= {family.name + end for end in of.get(family.type, ("",))}
    asked = {name for _, expression in ASKED for name in names(expression)}
    assert len(asked) > 20
    assert asked - shown == set()


@pytest.mark.parametrize(("where", "expression"), ASKED)
def test_they_use_labels_that_the_metrics_have(where: str, expression: str) -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    for metric, label, _, value in matchers(expression):
        assert label in labels[base_of(metric)] | ADDED, (where, metric, label)
        for word in value.split("|"):
            assert word in WORDS.get(label, {word}), (where, label, word)
    of_all = {
        label
        for name in names(expression)
        for label in labels[re.sub(r"_(?:bucket|count|sum)$", "", name)]
    }
    assert grouped(expression) <= of_all | ADDED, where


def test_each_metric_is_on_the_dashboard() -> None:
    """What nobody looks at need not be counted."""
    asked = {name for _, expression in panels() for name in names(expression)}
    assert {metric.name for metric in METRICS} - {base_of(name) for name in asked} == set()


def test_the_panels_do_not_overlap_and_fill_their_rows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in board()["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("alert", alerts())
def test_the_manual_says_what_to_do_about_each_alert(alert: str) -> None:
    assert f"| `{alert}` |" in MANUAL.read_text(encoding="utf-8")


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(alerts())} rules found" in done.stdout


def test_the_alerts_fire_when_they_should_and_not_otherwise(promtool: str, tmp_path: Path) -> None:
    """In Prometheus's own tests of rules: an hour of each fault, and an hour of none."""
    file = tmp_path / "cases.yml"
    source = Path(__file__).with_name("alert_cases.yml").read_text(encoding="utf-8")
    file.write_text(source.replace("ALERTS", str(ALERTS)))
    done = subprocess.run(
        [promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", alerts())
def test_each_alert_has_a_case_in_which_it_fires(alert: str) -> None:
    cases = Path(__file__).with_name("alert_cases.yml").read_text(encoding="utf-8")
    assert f"alertname: {alert}\n" in cases
