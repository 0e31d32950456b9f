"""``mintage keys status``: which root secrets there are, and how many grants need each."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from mintage.cli.opening import opened
from mintage.cli.terminal import for_tables


def status(*, config: Annotated[Path, Parameter(help="The TOML file with the settings.")]) -> int:
    """Show which root secrets logins need.

    It counts the live grants of each. A grant needs the secret that its record is sealed under,
    the one that its newest tokens are signed with, and the one that its client registered under.
    Exit code 1 if a secret is needed that is not configured, or if a grant can't be read: it may
    need any of them.
    """
    return asyncio.run(_status(config))


async def _status(path: Path) -> int:
    async with opened(path) as here:
        found = await here.needs.count()
        unread = await here.needs.unread()
        configured = len(here.config.secrets)
    table = Table(box=None)
    for heading in ("secret", "", "grants", "sealed", "tokens", "clients"):
        table.add_column(heading, justify="right" if heading not in ("secret", "") else "left")
    for number, need in enumerate(found):
        state = "in use" if number == 0 else "former" if number < configured else "MISSING"
        counts = map(str, (need.grants, need.sealed, need.signed, need.registered))
        table.add_row(need.secret_id, state, *counts)
    for_tables().print(table)
    if unread:
        print(f"{unread} grants can't be read: see mintage grants list.", file=sys.stderr)  # noqa: T201
    return 0 if len(found) == configured and not unread else 1
