"""What a newer Mintage may change in a store while an older one works on it: it only adds."""

import logging
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from mintage.crypto.sealing import record_key, seal
from mintage.errors import StoreUnusable
from mintage.grants import records
from mintage.stores import postgres_schema, sqlite_schema
from mintage.stores.opening import open_store
from mintage.stores.postgres_url import Place
from mintage.stores.protocol import Index, Store
from mintage.vault.values import Summary
from tests.support.grant_states import ACTIVE

FAR = 2**40
INDEX = Index(b"alice", b"ide", b"summary")
STEPS = {
    "sqlite": "CREATE TABLE more (key BLOB); ALTER TABLE record ADD COLUMN more INTEGER",
    "postgres": "CREATE TABLE more (key bytea); ALTER TABLE mintage_record ADD COLUMN more int;",
}
SCHEMAS = {"sqlite": sqlite_schema, "postgres": postgres_schema}


def what_does_not_add(script: str) -> str | None:
    """The first statement of *script* that an older Mintage may stumble over."""
    for statement in filter(None, (part.strip() for part in script.split(";"))):
        words = " ".join(statement.split()).upper()
        adds_column = words.startswith("ALTER TABLE") and " ADD COLUMN " in words
        if adds_column and "NOT NULL" in words and " DEFAULT " not in words:
            return statement
        if not adds_column and not words.startswith(
            ("CREATE TABLE", "CREATE INDEX", "CREATE SEQUENCE")
        ):
            return statement
    return None


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE record",
        "ALTER TABLE record DROP COLUMN summary",
        "ALTER TABLE record ADD COLUMN more INTEGER NOT NULL",
        "CREATE TABLE more (key BLOB); DROP INDEX record_by_expiry",
        "CREATE UNIQUE INDEX one ON record (subject)",
    ],
)
def test_the_rule_forbids_all_but_additions(script: str) -> None:
    assert what_does_not_add(script) is not None


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_step_of_the_tables_only_adds(schema: ModuleType) -> None:
    first, *later = schema.MIGRATIONS
    assert what_does_not_add(first) is None
    assert [what_does_not_add(script) for script in later] == [None] * len(later)


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))]
)
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ModuleType, str]:
    """URL, module with the steps, and a step more than there is."""
    kind = request.param
    url = f"sqlite://{tmp_path}/store.db"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    return url, SCHEMAS[kind], STEPS[kind]


async def all_work(*stores: Store) -> None:
    """On one record, in turn, and on records of their own."""
    for store in stores:
        seen = await store.load(b"k")
        assert seen is not None
        await store.replace(b"k", seen, b"two", FAR)
        await store.insert(repr(store).encode(), b"", INDEX, FAR)
    for store in stores:
        assert len((await store.list(subject=b"alice")).entries) == len(stores)


async def test_replicas_of_two_versions_work_on_the_same_tables(
    tables: tuple[str, ModuleType, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A newer one adds a step, one of this version starts after that, and all go on."""
    url, schema, step = tables
    old = await open_store(url, clock=time.time)
    await old.insert(b"k", b"one", None, FAR)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        new = await open_store(url, clock=time.time)
    caplog.set_level(logging.WARNING)
    restarted = await open_store(url, clock=time.time)
    assert "finish the upgrade" in caplog.text
    await all_work(old, new, restarted)
    for store in (old, new, restarted):
        await store.close()


async def test_tables_two_steps_ahead_are_refused(
    tables: tuple[str, ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, schema, step = tables
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step, "CREATE TABLE m (n int)"))
        await (await open_store(url, clock=time.time)).close()
    with pytest.raises(StoreUnusable, match="newer Mintage"):
        await open_store(url, clock=time.time)


@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("schema", ["", "mine"])
@pytest.mark.parametrize("version", range(len(postgres_schema.MIGRATIONS) + 1))
async def test_what_an_administrator_is_given_upgrades_tables_of_any_format(
    version: int, schema: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start names `--print-sql` where the tables are of an older format, too."""
    url = f"{postgres_url}?schema={schema}" if schema else postgres_url
    prefix = f"{schema}." if schema else ""
    db = await asyncpg.connect(postgres_url)
    try:
        if version:
            with monkeypatch.context() as patch:
                patch.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:version])
                await db.execute(postgres_schema.as_sql(Place.parse(url)))
        await db.execute(postgres_schema.as_sql(Place.parse(url)))
        found = await db.fetch(f"SELECT version FROM {prefix}mintage_schema")  # noqa: S608
    finally:
        await db.close()
    assert [row["version"] for row in found] == [len(postgres_schema.MIGRATIONS)]
    store = await open_store(url, clock=time.time, existing=True)
    await store.insert(b"k", b"one", INDEX, FAR)
    await store.close()


@pytest.mark.xdist_group("redis")
async def test_what_a_newer_version_adds_in_redis_is_left_alone(redis_url: str) -> None:
    """Fields of a record, and keys of other names."""
    old = await open_store(redis_url, clock=time.time)
    await old.insert(b"k", b"one", None, FAR)
    async with Redis.from_url(redis_url) as newer:
        await newer.hset("mintage:1:k", "more", "of a newer one")
        await newer.zadd("mintage:1:some newer list", {"k": 1})
        await all_work(old)
        assert await newer.hget("mintage:1:k", "more") == b"of a newer one"
        await old.sweep()
        assert await newer.exists("mintage:1:some newer list")
        found = [row.key async for row in old.rows()]
    assert sorted(found) == sorted([b"k", repr(old).encode()])
    await old.close()


def test_a_record_may_have_members_that_an_older_version_does_not_know() -> None:
    key, head = record_key(b"r" * 32, b"s" * 32), records.Head.make(b"seal", b"sign")
    newer = msgspec.msgpack.decode(msgspec.msgpack.encode(ACTIVE)) | {"more": [1, 2]}
    newer["login"]["more"] = "of a newer one"
    box = seal(msgspec.msgpack.encode(newer), key=key, context=head.raw + b"k", nonce=b"n" * 12)
    assert records.decode(head.raw + box, key=key, store_key=b"k") == ACTIVE


def test_so_may_its_summary() -> None:
    summary = Summary("https://idp.example", "alice", ACTIVE.login.client_id, 1)
    newer: list[Any] = [*msgspec.msgpack.decode(msgspec.msgpack.encode(summary)), "more"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(newer), type=Summary) == summary
