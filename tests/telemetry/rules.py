"""What the alert rules and the dashboard ask Prometheus for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

MONITORING: Final = Path(__file__).parents[2] / "docs/monitoring"
ALERTS: Final = MONITORING / "alerts.yml"
DASHBOARD: Final = MONITORING / "grafana-dashboard.json"

_NAME: Final = re.compile(r"\bmintage_[a-z_]+(?=[{\[),\s]|$)")
_SELECTOR: Final = re.compile(r"\b(mintage_[a-z_]+)\{([^}]*)\}")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
_BY: Final = re.compile(r"\bby \(([^)]*)\)")


def alerts() -> dict[str, str]:
    """alert → its expression. The file has one form, so that no YAML parser is needed."""
    text = ALERTS.read_text(encoding="utf-8")
    found = {}
    for rule in text.split("- alert: ")[1:]:
        name, rest = rule.split("\n", 1)
        expression = rest.split("expr:", 1)[1]
        found[name.strip()] = re.split(r"\n\s+(?:for|labels|annotations):", expression)[0].strip()
    return found


def panels() -> Iterator[tuple[str, str]]:
    """(title of a panel, an expression of it), and those of the variables."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if isinstance(query := variable["query"], dict):
            yield variable["name"], query["query"]


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def names(expression: str) -> set[str]:
    """The metrics that *expression* names."""
    return set(_NAME.findall(expression))


def matchers(expression: str) -> Iterator[tuple[str, str, str, str]]:
    """(metric, label, operator, value) of each selector in *expression*."""
    for metric, inner in _SELECTOR.findall(expression):
        for label, operator, value in _MATCHER.findall(inner):
            yield metric, label, operator, value


def grouped(expression: str) -> set[str]:
    """The labels that *expression* groups by."""
    return {label.strip() for inner in _BY.findall(expression) for label in inner.split(",")}
