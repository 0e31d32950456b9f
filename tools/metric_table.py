"""Writes the table of metrics in docs/metrics.md: ``python -m tools.metric_table``."""

import re
from pathlib import Path
from typing import Final

from mintage.telemetry.metrics import METRICS, Metric

PAGE: Final = Path(__file__).parents[1] / "docs/metrics.md"
_BLOCK: Final = re.compile(r"(<!-- metrics: [^\n]* -->\n\n).*?(\n<!-- /metrics -->)", re.DOTALL)


def table() -> str:
    rows = ["| metric | kind | labels | what it is |", "|---|---|---|---|"]
    return "\n".join(rows + [_row(metric) for metric in METRICS]) + "\n"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    if metric.merge == "liveall":
        labels = "`worker`"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def written(page: str) -> str:
    """*page* with the table as it should be."""
    return _BLOCK.sub(lambda block: block[1] + table() + block[2], page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
