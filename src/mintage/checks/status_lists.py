"""Checks the status list against the lifetimes of the tokens that name a place in it."""

from collections.abc import AsyncIterator
from typing import Final

from mintage.checks.findings import Finding, ok, warning
from mintage.settings.load import Config

_SHORT: Final = 60  # seconds: such tokens end almost as soon as a verifier learns of the revocation


async def check_status_list(config: Config) -> AsyncIterator[Finding]:
    """What a verifier elsewhere may rely on, if *config* has a status list."""
    section = config.status_list
    if section is None:
        return
    if config.lifetimes.access <= _SHORT:
        yield warning(
            "status_list",
            f"access tokens live for {config.lifetimes.access} s: the list changes almost nothing",
            "remove the table, or let access tokens live longer",
        )
        return
    yield ok(
        "status_list",
        f"{config.issuer}/status-list, {section.size} numbers: verifiers see the end of a login "
        f"within {section.ttl + 2} s; all servers on this store need the same table",
    )
