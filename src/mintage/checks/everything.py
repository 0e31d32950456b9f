"""All checks of one configuration file, one after the other."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, TypeAlias

from mintage.checks.access import check_access
from mintage.checks.addresses import check_addresses
from mintage.checks.backends import check_backends
from mintage.checks.findings import Finding
from mintage.checks.stores import check_store
from mintage.checks.upstreams import check_upstreams
from mintage.settings.environment import check_environment
from mintage.settings.load import Config, load

Check: TypeAlias = Callable[[Config], AsyncIterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    check_access,
    check_store,
    check_upstreams,
    check_backends,
    check_addresses,
)


async def check_file(path: Path) -> AsyncIterator[Finding]:
    """The findings about the configuration file *path*, each as it comes.

    Raises `ConfigError` for a file with which no server can start.
    """
    check_environment(os.environ)
    config = load(path, writes=False)
    for check in CHECKS:
        async for finding in check(config):
            yield finding
