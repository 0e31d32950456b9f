"""``mintage grants list``, ``show`` and ``end``: look at logins, and end them."""

import asyncio
import datetime as dt
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from cyclopts import Parameter
from rich.table import Table

from mintage.cli.auditing import action, has_trail, who_ended_it
from mintage.cli.opening import OpenInstallation, opened
from mintage.cli.plain_text import as_text, counted
from mintage.cli.settings_file import SettingsFile
from mintage.cli.terminal import dated, harmless, print_table
from mintage.errors import ConfigError
from mintage.grants.handles import grant_id, parse_grant_id
from mintage.settings.reading import HERE
from mintage.vault.values import Listed

_LOOKS: Final = 20
_TIMES: Final = frozenset({"since", "until", "refreshed"})
_Subject: TypeAlias = Annotated[
    str | None, Parameter(help="Of this user: the subject, as the list shows it.")
]
_Client: TypeAlias = Annotated[str | None, Parameter(help="Of the client with this client_id.")]


def list_grants(
    *,
    config: SettingsFile = HERE,
    subject: _Subject = None,
    client: _Client = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="One JSON object a line.", negative="")
    ] = False,
) -> int:
    """Show who is logged in, with which client, since when.

    No tokens are shown, and none could be: to open a grant takes a token of its client's. The
    exit code is 1 if a grant can't be read: it is listed with the reason.
    """
    return asyncio.run(_list(config, subject, client, as_json=as_json))


async def _list(path: Path, subject: str | None, client: str | None, *, as_json: bool) -> int:
    async with opened(path) as here, aclosing(here.described.find(subject, client)) as found:
        rows = [here.described.row(grant) async for grant in found]
        if not rows:
            print(await _none_found(here, subject, client), file=sys.stderr)  # noqa: T201
    unread = sum("unread" in row for row in rows)
    if unread:
        print(f"{counted(unread, 'grant')} can't be read whole.", file=sys.stderr)  # noqa: T201
    if as_json:
        for row in rows:
            print(json.dumps(row))  # noqa: T201
        return 1 if unread else 0
    print_table(shown(rows))
    return 1 if unread else 0


async def _none_found(here: OpenInstallation, subject: str | None, client: str | None) -> str:
    """Why no grant was found, and what to give instead. Lists show clients by their names."""
    if subject is client is None:
        return "There are no grants: nobody is logged in."
    named = set[str]()
    async for grant in here.vault.listing.find():
        if client is not None and grant.summary is not None:
            known = here.described.client(grant.summary.client_id)
            if known is not None and known.name == client:
                named.add(known.client_id)
    if len(named) == 1:
        return f"No grant is of that client_id. One client has this name: {as_text(named.pop())}"
    return (
        "No grant is of that user or client: give the whole subject or client_id, as "
        "`mintage grants list --json` shows them."
    )


def shown(rows: list[dict[str, Any]]) -> Table:
    """*rows* as a table. Names that users and clients chose are printed as plain text."""
    table = Table(box=None)
    table.add_column("grant", no_wrap=True)  # to be copied whole
    for heading in ("subject", "name", "client", "since (UTC)", "until (UTC)"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        client = row.get("client") or row.get("client_id")
        who = (row["grant"], row.get("subject", "?"), row.get("name"), client)
        when = (dated(row.get("since")), dated(row["until"]))
        table.add_row(*(harmless(cell or "") for cell in (*who, *when)))
    return table


def show(
    grant: Annotated[str, Parameter(help="A grant by its id, as the list and logs show it.")],
    /,
    *,
    config: SettingsFile = HERE,
    as_json: Annotated[
        bool, Parameter(name="--json", help="One JSON object.", negative="")
    ] = False,
) -> int:
    """Show one login: all that is known of it without a token.

    The provider's tokens, and when they were last renewed, are in the part of the record that only
    a token of the client decrypts. A grant that has ended is not found by its id any more: the
    answer then says where it is recorded who ended it. Exit code 1 if no live grant has this id.
    """
    return asyncio.run(_show(config, grant, as_json=as_json))


async def _show(path: Path, name: str, *, as_json: bool) -> int:
    async with opened(path) as here:
        found = await here.vault.listing.get(name)
        row = None if found is None else here.described.whole(found)
    if row is None:
        print(f"{name}: {_why_not_found(name, path)}", file=sys.stderr)  # noqa: T201
        return 1
    if as_json:
        print(json.dumps(row))  # noqa: T201
        return 0
    for label, value in row.items():
        shown = " ".join(value) if isinstance(value, list) else value
        if label in _TIMES:
            shown = f"{dated(value)} UTC"
        print(f"{label.replace('_', ' ')}: {as_text('-' if shown is None else str(shown))}")  # noqa: T201
    return 0


def _why_not_found(name: str, path: Path) -> str:
    """Why no grant is called *name*. *path*: the settings."""
    if parse_grant_id(name) is None:
        return "this is no id of a grant: give one as the list and logs show it"
    return (
        f"no live grant has this id. If it was one, it has ended: {who_ended_it(path)}. "
        "`mintage token inspect` says what became of a token of it"
    )


def end(
    grants: Annotated[
        tuple[str, ...], Parameter(help="Grants by their ids, as the list and logs show them.")
    ] = (),
    /,
    *,
    config: SettingsFile = HERE,
    subject: _Subject = None,
    client: _Client = None,
    before: Annotated[
        str | None,
        Parameter(help="Logged in before this time: 2026-01-31T08:00:00Z, or seconds."),
    ] = None,
    every: Annotated[bool, Parameter(name="--all", help="Every grant.", negative="")] = False,
    force: Annotated[
        bool,
        Parameter(help="Also those under a secret that is not configured here.", negative=""),
    ] = False,
) -> int:
    """End logins: by id, of a user, of a client, or all.

    A login is a grant here: a user and a client. With --before, only those from before a time.
    Their tokens are refused from now on, everywhere. What can't be read is ended too; what is
    under a secret that is not configured here may be another installation's and takes --force.
    Exit code 1 if a named grant is not there, if --subject or --client finds none, or if any was
    skipped.
    """
    filtered = any(one is not None for one in (subject, client, before))
    if sum([bool(grants), filtered, every]) > 1:
        raise ConfigError(
            "grants end",
            "give only one of: ids of grants; --all; or --subject, --client and --before, which "
            "go together",
        )
    if not (grants or filtered or every):
        raise ConfigError(
            "grants end", "name grants, or give --subject, --client or --before, or --all"
        )
    wanted = _Wanted(subject, client, None if before is None else _time(before), force=force)
    return asyncio.run(_end_named(config, grants, wanted) if grants else _end(config, wanted))


class _Wanted(msgspec.Struct, frozen=True):
    subject: str | None
    client: str | None
    before: int | None
    force: bool

    def why_not(self, grant: Listed) -> str | None:
        """Why *grant*, which was found, is not ended; None if it is."""
        if grant.foreign and not self.force:
            return f"{grant.unread}; --force ends it too"
        if self.before is not None and grant.summary is None:
            return f"{grant.unread}, so that it does not say since when"
        return None

    def leaves(self, grant: Listed) -> bool:
        """Whether *grant* is from a later time than the command was given."""
        return (
            self.before is not None
            and grant.summary is not None
            and grant.summary.created_at >= self.before
        )


async def _end_named(path: Path, names: tuple[str, ...], wanted: _Wanted) -> int:
    async with opened(path, acts=True) as here:
        looked_up = [await here.vault.listing.get(name) for name in names]
        found = [grant for grant in looked_up if grant is not None]
        skipped = await _end_all(here, found, wanted)
        here.emit(action("grants end", count=len(found) - len(skipped)))
    _tell_ended(len(found) - len(skipped), path, recorded=here.recorded)
    for name, one in zip(names, looked_up, strict=True):
        if one is None:
            print(f"{name}: there is no such grant", file=sys.stderr)  # noqa: T201
    _tell(skipped)
    return 1 if skipped or len(found) < len(names) else 0


async def _end(path: Path, wanted: _Wanted) -> int:
    """End grants until none is found: users may log in while the command runs."""
    ended, skipped = 0, dict[bytes, str]()
    async with opened(path, acts=True) as here:
        for _ in range(_LOOKS):
            looked = here.described.find(wanted.subject, wanted.client)
            found = [grant async for grant in looked if not wanted.leaves(grant)]
            skipped = await _end_all(here, found, wanted)
            ended += len(found) - len(skipped)
            if len(found) == len(skipped):
                break
        here.emit(action("grants end", count=ended))
        if len(found) > len(skipped):
            print("Logins keep coming: run it again.", file=sys.stderr)  # noqa: T201
            return 1
        nothing = not ended and not skipped and not (wanted.subject is wanted.client is None)
        why = await _none_found(here, wanted.subject, wanted.client) if nothing else None
    _tell_ended(ended, path, recorded=here.recorded)
    _tell(skipped)
    if why is not None:
        print(why, file=sys.stderr)  # noqa: T201
        return 1
    return 1 if skipped else 0


async def _end_all(
    here: OpenInstallation, found: list[Listed], wanted: _Wanted
) -> dict[bytes, str]:
    """End *found*. Returns those that were skipped, and why."""
    skipped = {grant.key: why for grant in found if (why := wanted.why_not(grant)) is not None}
    for grant in found:
        if grant.key not in skipped:
            await here.vault.listing.end(grant)
    return skipped


def _tell_ended(count: int, path: Path, *, recorded: bool) -> None:
    """Say how many were ended, and where that is recorded. *path*: the settings."""
    print(f"{counted(count, 'grant')} ended.")  # noqa: T201
    where = None
    if recorded:
        where = "Recorded in the audit trail"
    elif not has_trail(path):  # if there is one, it was said why it has no record
        where = "Recorded nowhere: [audit] is not set"
    if count and where is not None:
        print(f"{where}. The server's log does not show what a command ends.", file=sys.stderr)  # noqa: T201


def _tell(skipped: dict[bytes, str]) -> None:
    for key, why in skipped.items():
        print(f"skipped {grant_id(key)}: {why}", file=sys.stderr)  # noqa: T201


def _time(text: str) -> int:
    """Seconds since the epoch. A time without a zone is UTC."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--before", f"{text!r} is no time: 2026-01-31T08:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())
