"""PostgreSQL as operators have it: a role without rights, a pooler, one schema of several."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from mintage.errors import StoreUnavailable, StoreUnusable
from mintage.stores.opening import open_store
from mintage.stores.postgres_feed import Reader
from mintage.stores.postgres_schema import MIGRATIONS, as_sql
from mintage.stores.postgres_url import Place
from mintage.stores.protocol import EVERYTHING, Index, Store
from mintage.testing.clock import ManualClock
from mintage.testing.store_suite import OpenStore, SharedStoreSuite
from tests.stores.test_conformance import openings
from tests.support.servers import Server, pgbouncer, postgres_server, started

FAR = 2**40
pytestmark = [
    pytest.mark.xdist_group("postgres"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="session")
def pooler(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("pgbouncer")
    with started(pgbouncer(directory, postgres)) as server:
        yield server


@pytest.fixture
def pooler_url(pooler: Server, postgres_url: str, postgres: Server) -> str:
    return postgres_url.replace(f":{postgres.port}/", f":{pooler.port}/")


async def run(url: str, *statements: str) -> None:
    db = await asyncpg.connect(url)
    for statement in statements:
        await db.execute(statement)
    await db.close()


def as_role(url: str, role: str) -> str:
    return url.replace("//mintage@", f"//{role}@")


class TestPooled(SharedStoreSuite):
    """Behind PgBouncer in transaction mode every promise holds, with no setting."""

    @pytest.fixture
    async def open_store(self, clock: ManualClock, pooler_url: str) -> AsyncIterator[OpenStore]:
        async for opening in openings(lambda: open_store(pooler_url, clock=clock)):
            yield opening


class TestSchema(SharedStoreSuite):
    """Tables in a schema of their own: every promise holds."""

    @pytest.fixture
    async def open_store(self, clock: ManualClock, postgres_url: str) -> AsyncIterator[OpenStore]:
        url = f"{postgres_url}?schema=mine"
        async for opening in openings(lambda: open_store(url, clock=clock)):
            yield opening


async def test_a_pooler_is_noticed_and_its_cost_is_said(
    pooler_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(pooler_url, clock=time.time)
    await store.close()
    assert "transaction pooler" in caplog.text
    caplog.clear()
    store = await open_store(f"{pooler_url}?statement_cache_size=0", clock=time.time)
    await store.close()
    assert "transaction pooler" in caplog.text


async def test_two_starts_and_many_calls_through_one_pooler(pooler_url: str) -> None:
    """More calls at once than the pooler has connections to the server."""
    first = await open_store(pooler_url, clock=time.time)
    second = await open_store(pooler_url, clock=time.time)

    async def login(store: Store, number: int) -> None:
        key = b"login %d" % number
        await store.insert(key, b"code", Index(b"s", b"c", b"x"), FAR)
        seen = await store.load(key)
        assert seen is not None
        await store.replace(key, seen, b"active", FAR)

    await asyncio.gather(*(login((first, second)[n % 2], n) for n in range(100)))
    assert len((await second.list(limit=1000)).entries) == 100
    await first.close()
    await second.close()


async def test_a_direct_and_a_pooled_replica_hear_of_each_other(
    postgres_url: str, pooler_url: str
) -> None:
    direct = await open_store(postgres_url, clock=time.time)
    pooled = await open_store(pooler_url, clock=time.time)
    for writer, reader in ((direct, pooled), (pooled, direct)):
        await writer.insert(b"k", b"one", None, FAR)
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def listen(reader: Store = reader, heard: asyncio.Queue[bytes] = heard) -> None:
            async for key in reader.changes():
                heard.put_nowait(key)

        listener = asyncio.create_task(listen())
        async with asyncio.timeout(10):
            assert await heard.get() == EVERYTHING
            await writer.delete(b"k")
            while await heard.get() != b"k":
                pass
        listener.cancel()
    await direct.close()
    await pooled.close()


async def noted(url: str) -> int:
    """How many changes the table has."""
    db = await asyncpg.connect(url)
    found: int = await db.fetchval("SELECT count(*) FROM mintage_change")
    await db.close()
    return found


async def test_changes_are_written_down_only_while_somebody_reads_them(
    postgres_url: str, pooler_url: str
) -> None:
    """A row for each change makes a write a sixth dearer."""
    direct = await open_store(postgres_url, clock=time.time)
    await direct.insert(b"k", b"one", None, FAR)
    listening = direct.changes()
    assert await anext(listening) == EVERYTHING
    seen = await direct.load(b"k")
    assert seen is not None
    await direct.replace(b"k", seen, b"two", FAR)
    assert await noted(postgres_url) == 0
    pooled = await open_store(pooler_url, clock=time.time)
    reading = pooled.changes()
    assert await anext(reading) == EVERYTHING
    await direct.delete(b"k")
    assert await noted(postgres_url) == 1
    for feed in (listening, reading):
        await feed.aclose()  # type: ignore[attr-defined]
    await direct.close()
    await pooled.close()


async def test_a_reader_that_was_taken_for_gone_forgets_everything(
    postgres_url: str, pooler_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stood still: writers left no rows for it meanwhile."""
    monkeypatch.setattr("mintage.stores.postgres_feed.STAY", 0.1)
    pooled = await open_store(pooler_url, clock=time.time)
    async with asyncio.timeout(20), contextlib.aclosing(pooled.changes()) as reading:  # type: ignore[type-var]
        assert await anext(reading) == EVERYTHING
        await run(postgres_url, "UPDATE mintage_reader SET at = at - interval '2 minutes'")
        assert await anext(reading) == EVERYTHING
        await pooled.insert(b"k", b"one", None, FAR)
        await pooled.delete(b"k")
        assert await anext(reading) == b"k"
    await pooled.close()


async def test_a_write_under_way_as_a_reader_enrols_is_not_missed(
    postgres_url: str, pooler_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may leave no row: as soon as it must be over, everything is forgotten once more."""
    monkeypatch.setattr("mintage.stores.postgres_feed._LATE", 1.0)
    pooled = await open_store(pooler_url, clock=time.time)
    async with asyncio.timeout(10), contextlib.aclosing(pooled.changes()) as reading:  # type: ignore[type-var]
        assert [await anext(reading), await anext(reading)] == [EVERYTHING, EVERYTHING]
    await pooled.close()


async def test_a_feed_that_hears_nothing_for_long_stays_on_its_line(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks the server whether the line lives, again and again, and connects only once."""
    monkeypatch.setattr("mintage.stores.postgres_feed.HEARTBEAT", 0.5)
    store = await open_store(postgres_url, clock=time.time)
    await store.insert(b"k", b"one", None, FAR)
    heard: list[bytes] = []

    async def listen() -> None:
        async for key in store.changes():
            heard.append(key)
            if key == b"k":
                return

    listener = asyncio.create_task(listen())
    await asyncio.sleep(2)
    await store.delete(b"k")
    await asyncio.wait_for(listener, 10)
    assert heard == [EVERYTHING, b"k"]
    await store.close()


async def test_a_role_without_create_works_once_the_tables_are_there(postgres_url: str) -> None:
    """And is told what to do before."""
    role, url = "least", as_role(postgres_url, "least")
    await run(
        postgres_url,
        f"DROP ROLE IF EXISTS {role}",
        f"CREATE ROLE {role} LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM public",
    )
    with pytest.raises(StoreUnusable, match=r"may not make them.*store init"):
        await open_store(url, clock=time.time)
    text = as_sql(Place.parse(postgres_url))
    grants = [line[3:] for line in text.splitlines() if line.startswith("-- GRANT")]
    await run(postgres_url, text, *(grant.replace("the_role", role) for grant in grants))
    store = await open_store(url, clock=time.time)
    await store.insert(b"k", b"one", Index(b"s", b"c", b"x"), FAR)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"two", FAR)
    await store.delete(b"k")
    await store.sweep()
    await store.close()
    await run(postgres_url, f"REVOKE DELETE ON mintage_record FROM {role}")
    with pytest.raises(StoreUnusable, match="may not DELETE in mintage_record"):
        await open_store(url, clock=time.time)


async def test_a_command_that_looks_makes_no_tables(postgres_url: str) -> None:
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="there are no tables of Mintage in this database"):
            await open_store(postgres_url, clock=time.time, existing=True)
    await (await open_store(postgres_url, clock=time.time)).close()
    await (await open_store(postgres_url, clock=time.time, existing=True)).close()


async def test_the_printed_sql_makes_a_schema_that_a_start_accepts(postgres_url: str) -> None:
    await run(postgres_url, as_sql(Place.parse(f"{postgres_url}?schema=other")))
    store = await open_store(f"{postgres_url}?schema=other", clock=time.time)
    await store.insert(b"k", b"one", None, FAR)
    await store.close()


async def test_two_schemas_share_a_database_and_nothing_else(postgres_url: str) -> None:
    first = await open_store(f"{postgres_url}?schema=first", clock=time.time)
    second = await open_store(f"{postgres_url}?schema=second", clock=time.time)
    await first.insert(b"k", b"one", Index(b"s", b"c", b"x"), FAR)
    assert await second.load(b"k") is None
    assert (await second.list()).entries == ()
    await first.close()
    await second.close()


async def test_isolation_is_ours_whatever_the_database_says(postgres_url: str) -> None:
    """Under a stricter default a lost race would be an error of the server, and so a 503."""
    name = postgres_url.rpartition("/")[2]
    await run(
        postgres_url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    )
    store = await open_store(postgres_url, clock=time.time)
    await store.insert(b"k", b"zero", None, FAR)
    seen = await store.load(b"k")
    assert seen is not None
    outcomes = await asyncio.gather(
        *(store.replace(b"k", seen, bytes([n]), FAR) for n in range(100)), return_exceptions=True
    )
    assert {type(outcome).__name__ for outcome in outcomes} == {"Stale", "NoneType"}
    assert outcomes.count(None) == 1
    await store.close()


async def test_a_call_waits_for_a_connection_while_the_server_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = postgres_server(tmp_path / "small")
    server.command += ["-c", "max_connections=8", "-c", "superuser_reserved_connections=0"]
    with started(server):
        url = f"postgresql://mintage@127.0.0.1:{server.port}/postgres"
        store = await open_store(f"{url}?pool_size=3", clock=time.time)
        others = [await asyncpg.connect(url) for _ in range(7)]
        waiting = asyncio.gather(*(store.insert(bytes([n]), b"", None, FAR) for n in range(20)))
        await asyncio.sleep(0.3)
        for other in others:
            await other.close()
        await waiting
        others = []
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                others.append(await asyncpg.connect(url))
        with pytest.raises(StoreUnavailable, match="no connection free"):
            await open_store(url, clock=time.time)
        for other in others:
            await other.close()
        await store.close()


async def test_the_pool_is_no_larger_than_the_url_says(postgres_url: str) -> None:
    store = await open_store(f"{postgres_url}?pool_size=2", clock=time.time)
    await asyncio.gather(*(store.insert(bytes([n]), b"", None, FAR) for n in range(50)))
    db = await asyncpg.connect(postgres_url)
    count = await db.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )
    await db.close()
    await store.close()
    assert count <= 3


@pytest.mark.parametrize(
    "setting", ["pool_size=0", "pool_size=x", "schema=a.b", "schema=Drop", "pooler=maybe"]
)
async def test_a_setting_that_can_not_be_meant_is_named(postgres_url: str, setting: str) -> None:
    with pytest.raises(StoreUnusable, match=setting.partition("=")[0]):
        await open_store(f"{postgres_url}?{setting}", clock=time.time)


async def test_a_database_of_the_first_format_is_brought_up(postgres_url: str) -> None:
    await run(
        postgres_url,
        "CREATE TABLE mintage_schema (version int NOT NULL)",
        "INSERT INTO mintage_schema VALUES (1)",
        MIGRATIONS[0],
        "INSERT INTO mintage_record VALUES ('\\x6b', 1, '\\x01', 9999999999, NULL, NULL, NULL)",
    )
    store = await open_store(postgres_url, clock=time.time)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"two", FAR)
    await store.close()


async def test_a_full_queue_of_notices_is_a_warning(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener that never ends its transaction keeps every notice in the queue."""
    monkeypatch.setattr("mintage.stores.postgres._QUEUE_USED", 1e-5)
    store = await open_store(postgres_url, clock=time.time)
    found = await store.status()
    assert (found.warnings, found.notification_queue_usage) == ((), 0.0)
    hanging = await asyncpg.connect(postgres_url)
    await hanging.execute("LISTEN mintage_changes")
    await hanging.execute("BEGIN")
    db = await asyncpg.connect(postgres_url)
    await db.execute(
        "SELECT pg_notify('mintage_changes', repeat('x', 7000) || n) FROM generate_series(1, 99) n"
    )
    found = await store.status()
    [warning] = found.warnings
    assert "queue of notices" in warning
    assert found.notification_queue_usage is not None
    assert 1e-5 <= found.notification_queue_usage < 1
    await hanging.close()
    await db.close()
    await store.close()


def test_changes_that_commit_late_are_read_once_and_none_is_missed() -> None:
    reader = Reader(10)
    assert reader.read([(11, b"a"), (13, b"c")], now=0) == [b"a", b"c"]
    assert reader.floor == 11
    assert reader.read([(13, b"c")], now=1) == []
    assert reader.read([(12, b"b"), (13, b"c"), (15, b"e")], now=2) == [b"b", b"e"]
    assert reader.floor == 13, "14 may still come"
    assert reader.read([(15, b"e")], now=11) == []
    assert reader.read([(15, b"e")], now=12) == [], "14 was rolled back"
    assert reader.floor == 15


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
async def test_a_clients_many_grants_make_no_login_dearer(postgres_url: str, plans: str) -> None:
    """A login looks for the grants of one user at one client, and reads no other user's.

    It must hold before the database has gathered statistics, and for a plan that serves any values.
    """
    options = f"?options=-c%20plan_cache_mode%3D{plans}"
    store = await open_store(postgres_url + options, clock=time.time)
    names = [Index(b"user %d" % number, b"client", b"") for number in range(2000)]
    for start in range(0, len(names), 50):
        some = names[start : start + 50]
        await asyncio.gather(*(store.insert(one.subject, b"record", one, FAR) for one in some))
    before = await read_rows(postgres_url)
    for _ in range(10):
        page = await store.list(subject=b"user 7", client=b"client")
        assert [entry.key for entry in page.entries] == [b"user 7"]
    await store.close()
    assert await read_rows(postgres_url) - before < 50


async def read_rows(url: str) -> int:
    """How many rows of the table all that has ended its connection has read."""
    db = await asyncpg.connect(url)
    found: int = await db.fetchval(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) "
        "FROM pg_stat_user_tables WHERE relname = 'mintage_record'"
    )
    await db.close()
    return found
