"""``mintage grants list`` and ``end``: who is logged in, and putting an end to it."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from mintage.cli.opening import Opened, opened
from mintage.cli.terminal import harmless
from mintage.errors import ConfigError
from mintage.upstream.presets import find_preset
from mintage.upstream.provider import settle
from mintage.values import ClientId
from mintage.vault.values import Listed

_Config: TypeAlias = Annotated[Path, Parameter(help="The TOML file with the settings.")]
_Subject: TypeAlias = Annotated[
    str | None, Parameter(help="Of this user: the subject, as the list shows it.")
]
_Client: TypeAlias = Annotated[str | None, Parameter(help="Of the client with this client_id.")]


def list_grants(
    *,
    config: _Config,
    subject: _Subject = None,
    client: _Client = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="One JSON object a line.", negative="")
    ] = False,
) -> int:
    """Show the live grants: who, with which client, since and until when.

    No tokens are shown, and none could be: to open a grant takes a token of its client's.
    """
    return asyncio.run(_list(config, subject, client, as_json=as_json))


async def _list(path: Path, subject: str | None, client: str | None, *, as_json: bool) -> int:
    async with opened(path) as here, aclosing(_find(here, subject, client)) as found:
        rows = [_row(here, grant) async for grant in found]
    if as_json:
        for row in rows:
            print(json.dumps(row))  # noqa: T201
        return 0
    Console().print(shown(rows))
    return 0


def shown(rows: list[dict[str, Any]]) -> Table:
    """*rows* as a table. What users and clients call themselves is text in it, and nothing else."""
    table = Table(box=None)
    for heading in ("grant", "subject", "name", "client", "since", "until"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        client = row.get("client") or row.get("client_id")
        who = (row["grant"], row.get("subject", "?"), row.get("name"), client)
        when = (_date(row.get("since")), _date(row["until"]))
        table.add_row(*(harmless(cell or "") for cell in (*who, *when)))
    return table


def end(
    grants: Annotated[
        tuple[str, ...], Parameter(help="Grants by their ids, as the list and logs show them.")
    ] = (),
    /,
    *,
    config: _Config,
    subject: _Subject = None,
    client: _Client = None,
    every: Annotated[bool, Parameter(name="--all", help="Every grant.", negative="")] = False,
) -> int:
    """End grants: some by id, all of a user, all of a client, or every one.

    Their tokens are refused from now on, everywhere. Exit code 1 if a named grant is not there.
    """
    if sum([bool(grants), subject is not None or client is not None, every]) != 1:
        raise ConfigError("grants end", "name grants, or give --subject or --client, or --all")
    return asyncio.run(_end(config, grants, subject, client))


async def _end(path: Path, names: tuple[str, ...], subject: str | None, client: str | None) -> int:
    async with opened(path) as here:
        listing = here.vault.listing
        if names:
            looked_up = [await listing.get(name) for name in names]
            found = [grant for grant in looked_up if grant is not None]
        else:
            found = [grant async for grant in _find(here, subject, client)]
        for grant in found:
            await listing.end(grant)
    print(f"{len(found)} grants ended.")  # noqa: T201
    return 0 if not names or len(found) == len(names) else 1


async def _find(
    here: Opened, subject: str | None, client: str | None
) -> AsyncGenerator[Listed, None]:
    """By who and which client. Which provider calls a user so is not asked: each is looked at."""
    of_client = None if client is None else ClientId(client)
    if subject is None:
        async for found in here.vault.listing.find(subject=None, client=of_client):
            yield found
        return
    issuers = {settle(find_preset(up.preset), up).issuer for up in here.config.upstreams}
    for issuer in sorted(issuers):
        async for found in here.vault.listing.find(subject=(issuer, subject), client=of_client):
            yield found


def _row(here: Opened, grant: Listed) -> dict[str, Any]:
    row: dict[str, Any] = {"grant": grant.id, "until": grant.expires_at}
    if (who := grant.summary) is None:
        return row | {"needs_secret": grant.sealed_under.hex()}
    client = here.client_ids.read(who.client_id)
    return row | {
        "subject": who.subject,
        "name": who.name,
        "client": None if client is None else client.name,
        "client_id": who.client_id,
        "since": who.created_at,
    }


def _date(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")
