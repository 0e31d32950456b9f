"""What an operator does to a running system: each change is made, lived with, and undone."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from mintage.errors import Stale
from mintage.stores.opening import open_store
from mintage.stores.protocol import Index
from stress.installation import PATHS, Installation, new_secret, patiently
from stress.users import Ledger

Change = Callable[[Installation, Ledger, float], Awaitable[None]]


@asynccontextmanager
async def without(ledger: Ledger, path: str) -> AsyncIterator[None]:
    """Answers that were under way when the resource came back may still miss it."""
    ledger.missing.add(path)
    try:
        yield
        await asyncio.sleep(0.5)
    finally:
        ledger.missing.discard(path)


async def a_resource_leaves_and_comes_back(
    house: Installation, ledger: Ledger, pause: float
) -> None:
    path = house.random_bytes.choice(PATHS)
    async with without(ledger, path):
        house.settings.paths = tuple(kept for kept in PATHS if kept != path)
        await house.restart()
        await asyncio.sleep(pause)
        house.settings.paths = PATHS
        await house.restart()


async def a_resource_is_renamed_and_named_back(
    house: Installation, ledger: Ledger, pause: float
) -> None:
    path = house.random_bytes.choice(PATHS)
    async with without(ledger, path):
        house.settings.paths = tuple("/renamed" if kept == path else kept for kept in PATHS)
        await house.restart()
        await asyncio.sleep(pause)
        house.settings.paths = PATHS
        await house.restart()


async def one_replica_lacks_a_resource(house: Installation, ledger: Ledger, pause: float) -> None:
    path = house.random_bytes.choice(PATHS)
    async with without(ledger, path):
        house.settings.paths = tuple(kept for kept in PATHS if kept != path)
        await house.restart(1)
        await asyncio.sleep(pause)
        house.settings.paths = PATHS
        await house.restart(1)


async def a_scope_leaves_and_comes_back(house: Installation, _: Ledger, pause: float) -> None:
    before = dict(house.settings.scopes)
    house.settings.scopes["/notes"] = ("read",)
    await house.restart()
    await asyncio.sleep(pause)
    house.settings.scopes = before
    await house.restart()


async def one_replica_lacks_a_scope(house: Installation, _: Ledger, pause: float) -> None:
    before = dict(house.settings.scopes)
    house.settings.scopes["/notes"] = ("read",)
    await house.restart(0)
    await asyncio.sleep(pause)
    house.settings.scopes = before
    await house.restart(0)


async def a_secret_is_staged_and_rotated(house: Installation, _: Ledger, pause: float) -> None:
    new, old = new_secret(), house.settings.secrets
    house.settings.secrets = (*old, new)
    await house.restart()
    house.settings.secrets = (new, *old)
    await house.restart()
    await asyncio.sleep(pause)


async def one_replica_has_a_secret_that_the_other_lacks(
    house: Installation, _: Ledger, pause: float
) -> None:
    house.settings.secrets = (new_secret(), *house.settings.secrets)
    await house.restart(0)
    await asyncio.sleep(pause)
    await house.restart(1)


async def a_secret_is_removed_too_early(house: Installation, _: Ledger, pause: float) -> None:
    kept = house.settings.secrets
    house.settings.secrets = (new_secret(),)
    await house.restart()
    await asyncio.sleep(pause)
    house.settings.secrets = (*house.settings.secrets, *kept)
    await house.restart()


async def secrets_are_retired(house: Installation, ledger: Ledger, pause: float) -> None:
    """The command takes away what no grant needs, and nothing while a record can't be read."""
    unneeded = new_secret()
    house.settings.secrets = (*house.settings.secrets, unneeded)
    await house.restart()
    _, output = await house.command("keys", "retire")
    house.settings.secrets = house.secrets_of_the_file()
    if unneeded in house.settings.secrets and "can't be read" not in output:
        ledger.blame(f"a secret that nothing needs was kept: {output}")
    await asyncio.sleep(pause)
    await house.restart()


async def the_provider_is_another_one(house: Installation, _: Ledger, pause: float) -> None:
    before = house.settings
    other = house.other_upstream
    house.settings = replace(before, upstream=other, upstream_secret=other.client_secret)
    await house.restart()
    await asyncio.sleep(pause)
    house.settings = replace(house.settings, upstream=before.upstream,
                             upstream_secret=before.upstream_secret)  # fmt: skip
    await house.restart()


async def one_replica_has_another_provider(house: Installation, _: Ledger, pause: float) -> None:
    before = house.settings
    other = house.other_upstream
    house.settings = replace(before, upstream=other, upstream_secret=other.client_secret)
    await house.restart(1)
    await asyncio.sleep(pause)
    house.settings = before
    await house.restart(1)


async def the_client_secret_changes_at_the_provider(
    house: Installation, _: Ledger, pause: float
) -> None:
    """Its settings follow later: until then the provider refuses us, and not the users."""
    upstream = house.settings.upstream
    upstream.client_secret = secrets.token_urlsafe(16)
    await asyncio.sleep(pause)
    house.settings.upstream_secret = upstream.client_secret
    await house.restart()


async def a_clock_is_set(house: Installation, _: Ledger, pause: float) -> None:
    """On PostgreSQL and Redis that of one replica; on SQLite both are on one machine."""
    step = house.random_bytes.choice([-3600, -30, -7, 7, 90, 3600])
    one_machine = house.settings.store.startswith("sqlite")
    moved = house.replicas if one_machine else (house.random_bytes.choice(house.replicas),)
    for offset in (step, 0):
        for replica in moved:
            replica.offset = offset
        house.clocks_set_at = time.monotonic()
        if offset:
            await asyncio.sleep(pause)


async def a_newer_mintage_wrote_a_record(house: Installation, _: Ledger, pause: float) -> None:
    store = await patiently(lambda: open_store(house.settings.store, clock=time.time))
    try:
        index = Index(secrets.token_bytes(32), secrets.token_bytes(32), b"\xff")
        key = hashlib.sha256(secrets.token_bytes(8)).digest()
        await store.insert(key, b"\xff" + secrets.token_bytes(64), index, int(time.time()) + 60)
    finally:
        await store.close()
    await asyncio.sleep(pause)


async def a_newer_mintage_wrote_a_login(house: Installation, _: Ledger, pause: float) -> None:
    """Its user gets 503 until all servers are new, or the old one has its record back."""
    store = await patiently(lambda: open_store(house.settings.store, clock=time.time))
    try:
        page = await store.list(limit=1)
        for entry in page.entries:
            seen = await store.load(entry.key)
            if seen is None:
                continue
            newer = b"\xff" + secrets.token_bytes(64)
            with suppress(Stale):
                await store.replace(entry.key, seen, newer, entry.expires_at)
            await asyncio.sleep(pause)
            planted = await store.load(entry.key)
            if planted is not None and planted.record == newer:
                await store.replace(entry.key, planted, seen.record, entry.expires_at)
    finally:
        await store.close()


async def the_store_moves(house: Installation, _: Ledger, pause: float) -> None:
    await house.move()
    await asyncio.sleep(pause)


async def a_backup_is_restored(house: Installation, ledger: Ledger, pause: float) -> None:
    """What was made after it is lost. What was there goes on, also if it was refreshed since."""
    async with _restored(house, ledger, pause) as made:
        for user in ledger.users:
            user.ended = [(at, token) for at, token in user.ended if at < made]


async def a_backup_is_restored_and_all_from_before_is_ended(
    house: Installation, ledger: Ledger, pause: float
) -> None:
    async with _restored(house, ledger, pause):
        before = str(int(time.time()) + 1)
        code, output = await house.command("grants", "end", "--before", before)
        # The record that another change planted may still be there; it names no moment.
        skipped = [line for line in output.splitlines() if line.startswith("skipped ")]
        if code and not (skipped and all("record version 255" in line for line in skipped)):
            ledger.blame(f"not all was ended: {output}")
        ledger.ended_before = time.monotonic()
        await asyncio.sleep(1)


@asynccontextmanager
async def _restored(house: Installation, ledger: Ledger, pause: float) -> AsyncIterator[float]:
    """Yields when the backup was made, with the servers stopped and their store restored.

    The provider keeps its refresh tokens meanwhile: one that rotates has spent those that the
    backup holds, and says so at the next renewal.
    """
    upstream = house.settings.upstream
    upstream.rotates = False
    try:
        backup, made = await house.back_up()
        await asyncio.sleep(pause)
        await house.stop()
        house.settings.store = backup
        # A user may note a moment later that it was logged in. Nobody is until the restart.
        ledger.lost.append((made, time.monotonic() + 0.2))
        yield made
        await house.restart()
        await asyncio.sleep(pause)
    finally:
        upstream.rotates = True


CHANGES: Final[tuple[Change, ...]] = (
    a_resource_leaves_and_comes_back,
    a_resource_is_renamed_and_named_back,
    one_replica_lacks_a_resource,
    a_scope_leaves_and_comes_back,
    one_replica_lacks_a_scope,
    a_secret_is_staged_and_rotated,
    one_replica_has_a_secret_that_the_other_lacks,
    a_secret_is_removed_too_early,
    secrets_are_retired,
    the_provider_is_another_one,
    one_replica_has_another_provider,
    the_client_secret_changes_at_the_provider,
    a_clock_is_set,
    a_newer_mintage_wrote_a_record,
    a_newer_mintage_wrote_a_login,
    the_store_moves,
    a_backup_is_restored,
    a_backup_is_restored_and_all_from_before_is_ended,
)
