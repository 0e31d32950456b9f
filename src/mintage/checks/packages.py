"""Checks that the packages are installed that sections of the settings need."""

from collections.abc import AsyncIterator

from mintage.checks.findings import Finding, error
from mintage.extras import MissingExtra, needs
from mintage.settings.load import Config


async def check_packages(config: Config) -> AsyncIterator[Finding]:
    """An error for each section of *config* without whose packages no server starts."""
    for name, section, extra in (
        ("metrics", config.metrics, "metrics"),
        ("opentelemetry", config.opentelemetry, "otel"),
    ):
        if section is None:
            continue
        try:
            needs(extra)
        except MissingExtra as missing:
            yield error(name, missing.advice, f"install it, or remove the table [{name}]")
