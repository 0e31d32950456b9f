"""All checks of one configuration file, one after the other."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from mintage.checks.access import check_access
from mintage.checks.addresses import check_addresses
from mintage.checks.backends import check_backends
from mintage.checks.findings import Finding, warning
from mintage.checks.granting import check_granting
from mintage.checks.other_servers import check_exchanging, check_other_servers
from mintage.checks.packages import check_packages
from mintage.checks.status_lists import check_status_list
from mintage.checks.stores import check_store
from mintage.checks.trusted import check_trusted
from mintage.checks.upstreams import check_upstreams
from mintage.settings.environment import check_environment
from mintage.settings.load import Config, load

Check: TypeAlias = Callable[[Config], AsyncIterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    check_packages,
    check_access,
    check_store,
    check_upstreams,
    check_other_servers,
    check_exchanging,
    check_granting,
    check_trusted,
    check_backends,
    check_addresses,
    check_status_list,
)


async def check_file(path: Path) -> AsyncIterator[Finding]:
    """The findings about the configuration file *path*, each as it comes.

    Raises `ConfigError` for a file with which no server can start.
    """
    check_environment(os.environ)
    with _heard() as shared:
        config = load(path, writes=False)
    for key, file in shared:
        yield warning(key, f"every user of this machine can read {file}", f"chmod o-r {file}")
    for check in CHECKS:
        async for finding in check(config):
            yield finding


@contextmanager
def _heard() -> Iterator[list[tuple[str, Path]]]:
    """(setting, file) of each secret that everybody can read, in place of a line in the log."""
    found: list[tuple[str, Path]] = []

    def hear(record: logging.LogRecord) -> bool:
        shared: tuple[str, Path] | None = getattr(record, "shared_secret", None)
        if shared is not None:
            found.append(shared)
        return shared is None

    log = logging.getLogger("mintage")
    log.addFilter(hear)
    try:
        yield found
    finally:
        log.removeFilter(hear)
