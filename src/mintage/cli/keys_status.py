"""``mintage keys status``: which root secrets there are, and how many grants need each."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from mintage.cli.opening import opened
from mintage.cli.plain_text import counted
from mintage.cli.settings_file import SettingsFile
from mintage.cli.terminal import print_table
from mintage.settings.load import Config
from mintage.settings.reading import HERE
from mintage.settings.secret_file import SecretFile


def status(
    *,
    config: SettingsFile = HERE,
    as_json: Annotated[
        bool, Parameter(name="--json", help="One JSON object a line.", negative="")
    ] = False,
) -> int:
    """Show which root secrets logins need.

    It counts the live grants of each. A grant needs the secret that its record is sealed under,
    the one that its newest tokens are signed with, and the one that its client registered under.
    Exit code 1 if a secret is needed that is not configured, or if a grant can't be read: it may
    need any of them.
    """
    return asyncio.run(_status(config, as_json=as_json))


async def _status(path: Path, *, as_json: bool) -> int:
    async with opened(path) as here:
        found = await here.needs.count()
        unread = await here.needs.unread()
        states = _states(here.config)
    rows: list[dict[str, str | int]] = [
        {
            "secret": need.secret_id,
            "state": states[number] if number < len(states) else "MISSING",
            "grants": need.grants,
            "sealed": need.sealed,
            "tokens": need.signed,
            "clients": need.registered,
        }
        for number, need in enumerate(found)
    ]
    if as_json:
        for row in rows:
            print(json.dumps(row))  # noqa: T201
    else:
        print_table(_table(rows))
    if unread:
        said = f"{counted(unread, 'grant')} can't be read: see mintage grants list."
        print(said, file=sys.stderr)  # noqa: T201
    return 0 if len(found) == len(states) and not unread else 1


def _table(rows: list[dict[str, str | int]]) -> Table:
    table = Table(box=None)
    for heading in ("secret", "state", "grants", "sealed", "tokens", "clients"):
        table.add_column(heading, justify="left" if heading in ("secret", "state") else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table


def _states(config: Config) -> list[str]:
    """What each configured secret is for, in order. A staged one is the last."""
    states = ["in use", *["former"] * (len(config.secrets) - 1)]
    if config.secret_file is not None and SecretFile.read(config.secret_file).staged is not None:
        states[-1] = "staged"
    return states
