"""``mintage store``: create tables, copy to another store, take one over."""

import asyncio
import os
import secrets
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mintage.app.opening import vault_keys
from mintage.cli.auditing import action, audited, unrecorded
from mintage.cli.plain_text import counted
from mintage.cli.progress import Progress
from mintage.cli.settings_file import SettingsFile
from mintage.errors import ConfigError
from mintage.settings.for_the_store import load_for_the_store
from mintage.settings.reading import HERE
from mintage.stores import copying
from mintage.stores.opening import check_store_url, open_store
from mintage.stores.protocol import Store
from mintage.vault import installation


def init(
    url: Annotated[
        str | None, Parameter(help="The store's URL, or env:NAME; else that of the settings.")
    ] = None,
    /,
    *,
    config: SettingsFile = HERE,
    print_sql: Annotated[
        bool, Parameter(help="Print what an administrator must run, and do nothing.", negative="")
    ] = False,
) -> int:
    """Make the tables or the file that the server needs.

    A server makes them itself at its first start. Where its database role may not create tables,
    run this once before, with the URL of a role that may.
    """
    place = load_for_the_store(config, existing=False).store if url is None else _url(url)
    if print_sql:
        if not place.startswith("postgresql:"):
            raise ConfigError("--print-sql", "is for PostgreSQL: other stores have no tables")
        from mintage.stores.postgres_schema import as_sql
        from mintage.stores.postgres_url import Place

        print(as_sql(Place.parse(place)))  # noqa: T201
        return 0
    asyncio.run(_init(place))
    print("The store is ready.")  # noqa: T201
    return 0


async def _init(url: str) -> None:
    await (await open_store(url, clock=time.time)).close()


def copy(
    source: Annotated[str, Parameter(help="The URL to copy from, or env:NAME.")],
    target: Annotated[str, Parameter(help="The URL to copy to, or env:NAME.")],
    /,
) -> int:
    """Copy all logins from one store to another of any kind.

    Run it while the servers work on the source: that takes most of the time. Then stop them, run
    it again, and start them on the target. It can be interrupted. Standard error says how far it
    is. At the end it reads both stores once more, and compares the numbers of their records and
    digests of them. Exit code 1: the source changed meanwhile; run it again when the servers are
    stopped.
    """
    places = _url(source), _url(target)
    if places[0] == places[1]:
        raise ConfigError("store copy", "source and target are the same")
    scheme, _, path = places[0].partition("://")
    if scheme == "sqlite" and not Path(path).exists():
        raise ConfigError("store copy", f"there is no file {path}")
    return asyncio.run(_copy(*places))


async def _copy(source: str, target: str) -> int:
    async with AsyncExitStack() as stack:
        opened = []
        for url in (source, target):
            opened.append(store := await open_store(url, clock=time.time))
            stack.push_async_callback(store.close)
        number = (await _read("counting the source", opened[0])).records
        progress = Progress("copying", number, clock=time.monotonic)
        rounds = await copying.copy(*opened, progress=progress)
        progress.end()
        for count, one in enumerate(rounds, start=1):
            print(  # noqa: T201
                f"Round {count}: {one.records} records compared, {one.written} copied, "
                f"{one.removed} removed."
            )
        if rounds[-1].is_quiet:
            return await _compare(*opened)
    print("The source keeps changing: stop the servers and run it again.")  # noqa: T201
    return 1


async def _compare(source: Store, target: Store) -> int:
    """Read both stores once more. Returns the exit code."""
    after = int(time.time()) + copying.SOON
    there = await _read("reading the source", source, after=after)
    here = await _read("reading the target", target, after=after)
    if there == here:
        print(  # noqa: T201
            f"Verified: both stores have the same {counted(here.records, 'record')} "
            f"(digest {here.digest})."
        )
        return 0
    for name, found in (("source", there), ("target", here)):
        print(f"The {name} has {counted(found.records, 'record')}, digest {found.digest}.")  # noqa: T201
    print("They differ: stop the servers and run it again.")  # noqa: T201
    return 1


async def _read(step: str, store: Store, *, after: int = 0) -> copying.Contents:
    progress = Progress(step, None, clock=time.monotonic)
    found = await copying.contents(store, after=after, progress=progress)
    progress.end()
    return found


def adopt(*, config: SettingsFile = HERE) -> int:
    """Take over a store that another installation has given up.

    Its grants stay, and can't be opened without its secrets; `mintage grants end --all --force`
    ends them.
    """
    asyncio.run(_adopt(config))
    print("The store belongs to this installation now.")  # noqa: T201
    return 0


async def _adopt(path: Path) -> None:
    settings = load_for_the_store(path, unrecorded=unrecorded)
    store = await open_store(settings.store, clock=time.time, existing=True)
    try:
        ids = [keys.id for keys in vault_keys(settings.secrets)]
        with audited(settings) as emit:
            await installation.join(store, settings.issuer, ids, secrets.token_bytes, adopt=True)
            emit(action("store adopt"))
    finally:
        await store.close()


def _url(text: str) -> str:
    """*text*, or the environment variable that it names: URLs contain passwords."""
    scheme, _, name = text.partition(":")
    url = os.environ.get(name, "") if scheme == "env" else text
    try:
        check_store_url(url)
    except ValueError as error:
        raise ConfigError(text if scheme == "env" else "the store's URL", str(error)) from None
    if url == "memory://":
        raise ConfigError("memory://", "is in one process's memory: no command can reach it")
    return url
