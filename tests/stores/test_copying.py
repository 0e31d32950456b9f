"""From any store to any other, with logins that go on afterwards."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mintage.cli import store as command
from mintage.cli.progress import Progress
from mintage.errors import ConfigError, StoreUnusable
from mintage.grants import handles
from mintage.grants.states import Reason
from mintage.stores import copying
from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store
from mintage.stores.protocol import Index, Store
from mintage.testing.clock import ManualClock
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.logins import CLIENT, IDP, logged_in, new_code, redeem, rotate, use, vault_on

KINDS = ["sqlite", "postgres", "redis"]
pytestmark = [pytest.mark.xdist_group("redis"), pytest.mark.xdist_group("postgres")]


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], str]:
    """The URL of an empty store of a kind, by a role: two of one kind share an engine."""

    def url(kind: str, role: str) -> str:
        match kind:
            case "sqlite":
                return f"sqlite://{tmp_path}/{role}.db"
            case "postgres":
                return f"{request.getfixturevalue('postgres_url')}?schema={role}"
            case _:
                return f"{request.getfixturevalue('redis_url')}?prefix={role}"

    return url


@pytest.fixture(params=[f"{a} to {b}" for a in KINDS for b in KINDS])
async def pair(
    request: pytest.FixtureRequest, url_of: Callable[[str, str], str]
) -> AsyncIterator[tuple[Store, Store]]:
    source, _, target = request.param.partition(" to ")
    stores = [
        await open_store(url_of(source, "source"), clock=time.time),
        await open_store(url_of(target, "target"), clock=time.time),
    ]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


def vault(store: Store) -> Vault:
    return vault_on(store, time.time)


async def test_logins_go_on_at_the_new_store(pair: tuple[Store, Store]) -> None:
    """Every state of a login, a claim, and what lists know: all of it comes along."""
    source, target = pair
    before, now = vault(source), int(time.time())
    many = [await logged_in(before, f"user {n}", at=n) for n in range(150)]
    alice = await logged_in(before, "alice", at=1)
    assert isinstance(await rotate(before, alice, 1), OpenGrant)
    code = await new_code(before, "bob", at=2)
    over = await logged_in(before, "carol", at=3)
    await before.revocation.revoke(handles.Handle(over.secret, 1, "access"), CLIENT)
    assert await before.single_use.claim(b"assertion", expires_at=now + 600)

    seen: list[int] = []
    rounds = await copying.copy(source, target, progress=seen.append)
    assert [one.is_quiet for one in rounds] == [False, True]
    assert rounds[0].written == rounds[0].records == 154
    assert seen[-1] == 154

    await copying.end(target)
    assert await copying.contents(source) == await copying.contents(target)
    after = vault(target)
    for login in many:
        assert isinstance(await use(after, login), OpenGrant)
    assert isinstance(await rotate(after, alice, 2), OpenGrant)
    assert isinstance(await redeem(after, code), OpenGrant)
    assert await use(after, over) == Refused(Reason.REVOKED)
    assert not await after.single_use.claim(b"assertion", expires_at=now + 600)
    listed = {grant.summary.subject async for grant in after.listing.find() if grant.summary}
    assert listed == {f"user {n}" for n in range(150)} | {"alice", "bob"}
    found = [grant async for grant in after.listing.find(subject=(IDP, "user 7"))]
    assert len(found) == 1
    await after.listing.end(found[0])
    assert not isinstance(await use(after, many[7]), OpenGrant)


async def test_what_changes_meanwhile_comes_with_the_next_round(
    pair: tuple[Store, Store],
) -> None:
    """Refreshed, ended and new while the servers worked on: nothing that ended comes back."""
    source, target = pair
    before = vault(source)
    users = ("a", "b", "c", "e")
    stays, ends, revoked, gone = [await logged_in(before, user) for user in users]
    await copying.copy(source, target)
    assert isinstance(await rotate(before, stays, 1), OpenGrant)
    async for grant in before.listing.find(subject=(IDP, "b")):
        await before.listing.end(grant)
    await before.revocation.revoke(handles.Handle(revoked.secret, 1, "access"), CLIENT)
    await source.delete(handles.store_key(gone.secret))
    new = await logged_in(before, "d")
    first, *_, last = await copying.copy(source, target)
    assert (first.written, first.removed) == (4, 1)
    assert last.is_quiet
    after = vault(target)
    assert isinstance(await rotate(after, stays, 2), OpenGrant)
    assert isinstance(await use(after, new), OpenGrant)
    assert not isinstance(await use(after, ends), OpenGrant)
    assert not isinstance(await use(after, revoked), OpenGrant)
    assert not isinstance(await use(after, gone), OpenGrant)
    assert len([grant async for grant in after.listing.find()]) == 2


async def test_a_copy_that_was_interrupted_is_begun_again() -> None:
    source, target = MemoryStore(clock=ManualClock()), MemoryStore(clock=ManualClock())
    for n in range(500):
        await source.insert(b"%d" % n, b"record", None, 2**40)

    def stop(records: int) -> None:
        if records > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copying.copy(source, target, progress=stop)
    first, last = await copying.copy(source, target)
    assert first.records == 500
    assert 0 < first.written < 500
    assert last == copying.Round(500, 0, 0)


async def test_a_source_that_keeps_changing_is_not_called_verified() -> None:
    source, target = MemoryStore(clock=ManualClock()), MemoryStore(clock=ManualClock())
    await source.insert(b"k", b"0", None, 2**40)

    def write(_: int) -> None:
        source._rows[b"k"].versioned = source._next(os.urandom(8))

    rounds = await copying.copy(source, target, progress=write)
    assert not rounds[-1].is_quiet


async def test_a_store_in_use_is_not_copied_over() -> None:
    """Neither one with records of its own, nor one that a server started on since."""
    source, target = MemoryStore(clock=ManualClock()), MemoryStore(clock=ManualClock())
    await target.insert(b"k", b"record", None, 2**40)
    with pytest.raises(StoreUnusable, match="in use"):
        await copying.copy(source, target)
    await target.delete(b"k")
    await source.insert(b"k", b"record", None, 2**40)
    await copying.copy(source, target)
    await copying.end(target)
    with pytest.raises(StoreUnusable, match="in use"):
        await copying.copy(source, target)


def test_the_command_copies_counts_and_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db"

    async def fill() -> None:
        store = await open_store(urls[0], clock=time.time)
        await asyncio.gather(*(store.insert(b"%d" % n, b"", None, 2**40) for n in range(1100)))
        await store.close()

    asyncio.run(fill())
    monkeypatch.setenv("THE_TARGET", urls[1])
    assert command.copy(urls[0], "env:THE_TARGET") == 0
    shown = capsys.readouterr()
    assert "1100 records compared, 1100 copied, 0 removed" in shown.out
    assert re.search(
        r"^Verified: both stores have the same 1100 records \(digest [0-9a-f]{32}\)\.$",
        shown.out,
        re.MULTILINE,
    )
    assert shown.err == ""  # it took less than ten seconds
    for wrong in ((urls[0], urls[0]), (f"sqlite://{tmp_path}/none.db", urls[1])):
        with pytest.raises(ConfigError):
            command.copy(*wrong)
    with pytest.raises(ConfigError, match="env:NOT_SET"):
        command.copy("env:NOT_SET", urls[1])


def test_the_command_says_how_far_it_is_and_for_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal one line for each ten seconds of a clock."""
    urls = f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db"

    async def fill() -> None:
        store = await open_store(urls[0], clock=time.time)
        await asyncio.gather(*(store.insert(b"%d" % n, b"", None, 2**40) for n in range(640)))
        await store.close()

    asyncio.run(fill())
    seconds = iter(range(0, 10_000, 4))
    monkeypatch.setattr(command, "Progress", partial(_slow, seconds))
    assert command.copy(*urls) == 0
    said = capsys.readouterr().err.splitlines()
    assert "copying: 192 of 640 (30 %), 16/s, 28 s left" in said
    assert any(line.startswith("reading the target: ") for line in said)
    assert len(said) == 15  # 640 records in steps of 64, five times


def _slow(seconds: Iterator[int], *arguments: Any, **more: Any) -> Progress:
    """A `Progress` whose clock goes four seconds further each time it is read."""
    return Progress(*arguments, **more | {"clock": lambda: float(next(seconds))})


async def test_a_record_that_changes_after_the_last_round_is_found() -> None:
    """By the digests: the numbers are equal."""
    clock = ManualClock()
    source, target = MemoryStore(clock=clock), MemoryStore(clock=clock)
    for n in range(100):
        index = Index(b"s", b"c", b"%d" % n) if n % 2 else None
        await source.insert(b"%d" % n, b"record", index, 2**40)
    await copying.copy(source, target)
    same = await copying.contents(target)
    assert same == await copying.contents(source)
    assert same.records == 100
    rows = [row async for row in target.rows() if row.key != copying.MARK]
    row = rows[0]
    for change in (replace(row, record=b"recorD"), replace(row, expires_at=2**40 - 1)):
        other = MemoryStore(clock=clock)
        async for row in target.rows():
            kept = change if row.key == change.key else row
            if kept.key != copying.MARK:
                await other.insert(kept.key, kept.record, kept.index, kept.expires_at)
        found = await copying.contents(other)
        assert found.records == 100
        assert found.digest != same.digest


async def test_what_ends_during_the_comparison_makes_no_difference() -> None:
    clock = ManualClock()
    source, target = MemoryStore(clock=clock), MemoryStore(clock=clock)
    await source.insert(b"long", b"record", None, 2**40)
    await source.insert(b"short", b"record", None, int(clock()) + 60)
    await copying.copy(source, target)
    after = int(clock()) + copying.SOON
    there = await copying.contents(source, after=after)
    clock.advance(120)
    assert await copying.contents(target, after=after) == there
    assert there.records == 1


def test_the_command_says_that_the_stores_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that still writes to the source, after the last round."""
    urls = f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db"
    original = copying.copy

    async def copy(source: Store, target: Store, **options: Any) -> list[copying.Round]:
        rounds = await original(source, target, **options)
        await source.insert(b"late", b"", None, 2**40)
        return rounds

    async def make() -> None:
        await (await open_store(urls[0], clock=time.time)).close()

    asyncio.run(make())
    monkeypatch.setattr(copying, "copy", copy)
    assert command.copy(*urls) == 1
    said = capsys.readouterr().out
    assert "The source has 1 record, digest" in said
    assert "The target has 0 records, digest" in said
    assert "They differ" in said


def test_init_makes_the_store_or_prints_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.init(f"sqlite://{tmp_path}/new.db") == 0
    assert (tmp_path / "new.db").exists()
    capsys.readouterr()
    assert command.init("postgresql://nobody@nowhere/none?schema=mint", print_sql=True) == 0
    assert "CREATE TABLE mintage_record" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="PostgreSQL"):
        command.init(f"sqlite://{tmp_path}/new.db", print_sql=True)
    with pytest.raises(ConfigError, match="there is no such file"):
        command.init(config=tmp_path / "mintage.toml")
