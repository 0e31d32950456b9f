"""The page of metrics has each metric, as it is."""

from tools.metric_table import PAGE, written

from mintage.telemetry.metrics import METRICS


def test_the_table_has_each_metric_as_it_is() -> None:
    """`python -m tools.metric_table` writes it."""
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page
    assert all(f"| `{metric.name}` |" in page for metric in METRICS)
