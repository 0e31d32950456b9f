"""``mintage clients list``, ``deny`` and ``admit``: which applications may be used here."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter
from rich.table import Table

from mintage.app.client_denials import KNOWN_EVERYWHERE, ClientDenials, open_denials
from mintage.cli.auditing import action, user
from mintage.cli.opening import OpenInstallation, opened
from mintage.cli.plain_text import counted
from mintage.cli.settings_file import SettingsFile
from mintage.cli.terminal import dated, harmless, print_table
from mintage.errors import ConfigError
from mintage.settings.reading import HERE

_Name: TypeAlias = Annotated[
    str,
    Parameter(help="A client_id; or a host, like app.example, *.example or cursor: (a scheme)."),
]


def list_clients(
    *,
    config: SettingsFile = HERE,
    as_json: Annotated[
        bool, Parameter(name="--json", help="One JSON object a line.", negative="")
    ] = False,
) -> int:
    """Show which applications may be used or are used, and which are denied.

    Configured clients, and all others that have live grants. Registrations are not stored, so an
    application that nobody is logged in with is not listed.
    """
    return asyncio.run(_list(config, as_json=as_json))


async def _list(path: Path, *, as_json: bool) -> int:
    async with _denials(path) as (here, denials):
        rows = await here.described.clients(denials)
    if as_json:
        for row in rows:
            print(json.dumps(row))  # noqa: T201
    else:
        print_table(_shown(rows))
    return 0


def _shown(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None)
    for heading in ("client", "kind", "logins", "leads to", "denied as", "since (UTC)"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            *map(
                harmless,
                (
                    row["name"] or row["client_id"] or "",
                    row["kind"],
                    str(row["grants"]),
                    " ".join(row["redirects_to"]),
                    row["denied_as"] or "",
                    dated(row["denied_since"]) or "",
                ),
            )
        )
    return table


def deny(client: _Name, /, *, config: SettingsFile = HERE) -> int:
    """Deny a client: nobody can log in with it, and its logins end.

    Name a client_id, or the host that the client's redirect URIs or its metadata document are at.
    Anybody can register again and get a new client_id, so for a client that registered itself only
    its host helps. Every server refuses the client after at most five seconds; the command waits
    for that, to end what was begun meanwhile.
    """
    return asyncio.run(_deny(config, client))


async def _deny(path: Path, name: str) -> int:
    async with _denials(path, acts=True) as (here, denials):
        try:
            name = denials.canonical(name)
        except ValueError as error:
            raise ConfigError("clients deny", str(error)) from None
        new = await denials.deny(name, by=user())
        ended = await denials.end_grants()
        await asyncio.sleep(KNOWN_EVERYWHERE)
        ended += await denials.end_grants()
        here.emit(action("clients deny", count=ended))
    said = "is denied" if new else "was denied before"
    print(f"{name} {said}. {counted(ended, 'grant')} ended.")  # noqa: T201
    return 0


def admit(client: _Name, /, *, config: SettingsFile = HERE) -> int:
    """Admit a client that was denied. Its users log in again.

    Name it as it was denied: `mintage clients list` shows that. The exit code is 1 if it was not
    denied under this name.
    """
    return asyncio.run(_admit(config, client))


async def _admit(path: Path, name: str) -> int:
    async with _denials(path, acts=True) as (here, denials):
        found = await denials.admit(name)
        here.emit(action("clients admit", count=int(found)))
    print(f"{name} is admitted." if found else f"{name} was not denied.")  # noqa: T201
    return 0 if found else 1


@asynccontextmanager
async def _denials(
    path: Path, *, acts: bool = False
) -> AsyncIterator[tuple[OpenInstallation, ClientDenials]]:
    async with opened(path, acts=acts) as here:
        denials = open_denials(
            here.config,
            here.vault,
            here.store,
            here.client_ids,
            emit=here.emit,
        )
        await denials.look()
        yield here, denials
