"""``mintage keys status``: which root secrets there are, and how many grants need each."""

import asyncio
import sys
from pathlib import Path

from rich.table import Table

from mintage.cli.opening import opened
from mintage.cli.settings_file import HERE, SettingsFile
from mintage.cli.terminal import counted, for_tables
from mintage.settings.load import Config
from mintage.settings.secret_file import SecretFile


def status(*, config: SettingsFile = HERE) -> int:
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
        states = _states(here.config)
    table = Table(box=None)
    for heading in ("secret", "", "grants", "sealed", "tokens", "clients"):
        table.add_column(heading, justify="right" if heading not in ("secret", "") else "left")
    for number, need in enumerate(found):
        state = states[number] if number < len(states) else "MISSING"
        counts = map(str, (need.grants, need.sealed, need.signed, need.registered))
        table.add_row(need.secret_id, state, *counts)
    for_tables().print(table)
    if unread:
        said = f"{counted(unread, 'grant')} can't be read: see mintage grants list."
        print(said, file=sys.stderr)  # noqa: T201
    return 0 if len(found) == len(states) and not unread else 1


def _states(config: Config) -> list[str]:
    """What each configured secret is for, in order. A staged one is the last."""
    states = ["in use", *["former"] * (len(config.secrets) - 1)]
    if config.secret_file is not None and SecretFile.read(config.secret_file).staged is not None:
        states[-1] = "staged"
    return states
