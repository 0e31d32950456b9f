"""The SQLite file: who may read it, what it refuses to touch, what it survives."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mintage.errors import Exists, Stale, StoreError, StoreUnavailable, StoreUnusable
from mintage.stores.opening import open_store
from mintage.stores.protocol import EVERYTHING, Index
from mintage.stores.sqlite import SQLiteStore
from mintage.stores.sqlite_schema import MIGRATIONS, connect, prepare
from mintage.stores.sqlite_writer import _TRIM_EVERY, TRIM_LOG
from mintage.testing.clock import ManualClock

FAR = 2**40


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    await store.insert(b"k", b"one", None, FAR)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    await store.close()
    assert set(modes) == {"store.db", "store.db-wal", "store.db-shm"}
    assert set(modes.values()) == {0o600}


async def test_writes_are_durable(tmp_path: Path) -> None:
    """WAL with an fsync at each commit: a write that returned is on disk."""
    store = await SQLiteStore.open(tmp_path / "store.db")
    probe: list[Any] = []

    def look(db: sqlite3.Connection) -> None:
        probe.extend(db.execute("PRAGMA journal_mode").fetchone())
        probe.extend(db.execute("PRAGMA synchronous").fetchone())

    await store._change(look)
    await store.close()
    assert probe == ["wal", 2]


async def test_concurrent_writes_share_commits(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await store._change(lambda db: db.set_trace_callback(count))
    await asyncio.gather(*(store.insert(bytes([n]), b"", None, FAR) for n in range(200)))
    await store.close()
    assert 1 <= commits <= 20


async def test_a_caller_that_goes_away_takes_nobody_along(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    calls = [asyncio.create_task(store.insert(bytes([n]), b"", None, FAR)) for n in range(10)]
    await asyncio.sleep(0)
    calls[3].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [r for r in results if r is not None and not isinstance(r, asyncio.CancelledError)] == []
    assert await store.load(bytes([9])) is not None
    await store.close()


class TestTheLogOfChanges:
    @pytest.mark.parametrize("known", [0, 3])
    async def test_says_that_everything_may_have_changed_where_it_was_trimmed(
        self, tmp_path: Path, known: int
    ) -> None:
        clock = ManualClock()
        writer = await SQLiteStore.open(tmp_path / "store.db", clock=clock)
        reader = await SQLiteStore.open(tmp_path / "store.db", clock=clock, poll=0.2)
        for number in range(known):
            await writer.insert(b"known%d" % number, b"one", None, FAR)
        heard = asyncio.ensure_future(anext(reader.changes()))
        await asyncio.sleep(0.05)
        await writer.insert(b"k", b"one", None, FAR)
        clock.advance(1000)
        await writer.sweep()
        await writer.insert(b"m", b"one", None, FAR)
        async with asyncio.timeout(5):
            assert await heard == EVERYTHING
        await writer.close()
        await reader.close()

    async def test_says_nothing_of_the_kind_when_it_is_trimmed_behind_us(
        self, tmp_path: Path
    ) -> None:
        clock = ManualClock()
        store = await SQLiteStore.open(tmp_path / "store.db", clock=clock, poll=0.01)
        heard: list[bytes] = []

        async def listen() -> None:
            heard.extend([key async for key in store.changes()])

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0.05)
        await store.insert(b"k", b"one", None, FAR)
        await asyncio.sleep(0.1)
        clock.advance(1000)
        await store.sweep()
        await asyncio.sleep(0.1)
        await store.close()
        await listener
        assert heard == [b"k"]

    async def test_does_not_outgrow_what_it_has_to_tell(self, tmp_path: Path) -> None:
        clock = ManualClock()
        store = await SQLiteStore.open(tmp_path / "store.db", clock=clock)
        for _ in range(1000):
            await store.insert(b"%d" % clock(), b"one", None, FAR)
            clock.advance(1)
        size: list[int] = []
        await store._change(
            lambda db: size.append(db.execute("SELECT count(*) FROM change").fetchone()[0])
        )
        await store.close()
        assert 299 <= size[0] <= 300 + _TRIM_EVERY

    async def test_goes_on_after_a_read_that_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = await SQLiteStore.open(tmp_path / "store.db", poll=0.01)
        heard = asyncio.ensure_future(anext(store.changes()))
        await asyncio.sleep(0.05)

        def fails(*_: object) -> None:
            raise StoreUnavailable("not now")

        with monkeypatch.context() as broken:
            broken.setattr(store, "_read", fails)
            await store.insert(b"k", b"one", None, FAR)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            assert await heard == b"k"
        await store.close()


async def test_a_fault_of_one_write_takes_no_other_along(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    results = await asyncio.gather(
        store.insert(b"a", b"", None, FAR),
        store.insert(b"b", b"", None, 2**63),
        store.insert(b"c", "no bytes", None, FAR),  # type: ignore[arg-type]
        store.insert(b"d", b"", None, FAR),
        return_exceptions=True,
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
    assert await store.load(b"b") is None
    await store.insert(b"e", b"", None, FAR)
    assert await store.load(b"d") is not None
    await store.close()


@pytest.mark.parametrize("name", ["x?y.db", "a%41.db", "a b#c.db", "ü.db"])
async def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    """What means something in a URI means nothing in a path."""
    store = await SQLiteStore.open(tmp_path / name)
    await store.insert(b"k", b"one", None, FAR)
    await store.close()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    await (await SQLiteStore.open(tmp_path / name)).close()


async def test_another_programs_database_with_an_odd_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x?y.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE diary (entry TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusable):
        await SQLiteStore.open(path)
    assert path.read_bytes() == before


class TestAFileThatIsNotOurs:
    async def refused(self, path: Path) -> str:
        """The sentence with which *path* is refused, not one byte of it changed."""
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(StoreUnusable) as refusal:
            await SQLiteStore.open(path)
        assert (path.read_bytes() if path.is_file() else None) == before
        return str(refusal.value)

    async def test_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        path.write_bytes(b"a diary, not a database")
        assert "no SQLite database" in await self.refused(path)

    async def test_another_programs(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE diary (entry TEXT)")
        db.close()
        assert "another program" in await self.refused(path)

    async def test_a_newer_mintages(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        await (await SQLiteStore.open(path)).close()
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 2}")
        db.close()
        assert "newer Mintage" in await self.refused(path)

    async def test_a_damaged_one(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        await (await SQLiteStore.open(path)).close()
        path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4000)
        assert "damaged" in await self.refused(path)

    async def test_no_directory(self, tmp_path: Path) -> None:
        assert "create it first" in await self.refused(tmp_path / "missing" / "store.db")

    async def test_a_directory(self, tmp_path: Path) -> None:
        assert "can't be opened" in await self.refused(tmp_path)


async def test_ten_processes_may_start_at_once(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from mintage.stores.sqlite import SQLiteStore\n"
        "async def main():\n"
        "    store = await SQLiteStore.open(sys.argv[1])\n"
        "    await store.insert(sys.argv[2].encode(), b'', None, 2**40)\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    path = str(tmp_path / "store.db")
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, str(n))
        for n in range(10)
    ]
    assert [await child.wait() for child in children] == [0] * 10
    store = await SQLiteStore.open(path)
    assert all([await store.load(str(n).encode()) for n in range(10)])
    await store.close()


async def test_attack_d11_a_full_disk_is_an_outage_and_passes(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    await store.insert(b"before", b"kept", None, FAR)
    await store._change(lambda db: db.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreUnavailable, match="full"):
        await store.insert(b"k", b"x" * 100_000, None, FAR)
    assert await store.load(b"k") is None
    await store._change(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
    await store.insert(b"k", b"x" * 100_000, None, FAR)
    assert await store.load(b"k") is not None
    assert await store.load(b"before") is not None
    await store.close()


async def test_attack_d11_a_write_that_fails_locks_nobody_out(tmp_path: Path) -> None:
    """Its transaction ends with it: another process writes at once, and so does the next call."""
    store = await SQLiteStore.open(tmp_path / "store.db")
    other = await SQLiteStore.open(tmp_path / "store.db")
    await store.insert(b"k", b"one", None, FAR)

    def fails(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM record")
        db.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(StoreUnavailable):
        await store._change(fails)
    await other.insert(b"l", b"two", None, FAR)
    await store.insert(b"m", b"three", None, FAR)
    assert [await other.load(key) is not None for key in (b"k", b"l", b"m")] == [True] * 3
    await store.close()
    await other.close()


async def test_attack_d11_a_read_only_database_is_an_outage(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    await store.insert(b"k", b"kept", None, FAR)
    await store._change(lambda db: db.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable):
        await store.insert(b"l", b"", None, FAR)
    assert await store.load(b"k") is not None
    await store.close()


WRITER = """
import asyncio, itertools, sys
from mintage.stores.sqlite import SQLiteStore
async def main():
    store = await SQLiteStore.open(sys.argv[1])
    for n in itertools.count():
        keys = [f"{sys.argv[2]}-{n}-{m}".encode() for m in range(4)]
        await asyncio.gather(*(store.insert(key, key * 50, None, 2**40) for key in keys))
        print("\\n".join(key.decode() for key in keys), flush=True)
asyncio.run(main())
"""


def test_attack_d10_kill_minus_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    acknowledged: list[bytes] = []
    for round_ in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(round_)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        acknowledged += [child.stdout.readline().strip() for _ in range(40 + round_)]
        os.kill(child.pid, signal.SIGKILL)
        rest, _ = child.communicate()
        acknowledged += rest.splitlines(keepends=False)[:-1] if rest else []

    async def check() -> None:
        store = await SQLiteStore.open(path)
        for key in acknowledged:
            seen = await store.load(key)
            assert seen is not None
            assert seen.record == key * 50
        await store.close()

    assert len(acknowledged) > 400
    asyncio.run(check())


class TestURLs:
    async def test_open_the_right_store(self, tmp_path: Path) -> None:
        store = await open_store(f"sqlite://{tmp_path}/store.db", clock=ManualClock())
        assert isinstance(store, SQLiteStore)
        await store.close()

    @pytest.mark.parametrize(
        "url", ["mysql://a/b", "sqlite:", "/var/lib/mintage.db", "", "sqlite://"]
    )
    async def test_that_name_no_store_are_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"sqlite://"):
            await open_store(url, clock=ManualClock())


async def test_a_second_opening_in_one_process_costs_nobody_a_write(tmp_path: Path) -> None:
    """Closing any descriptor of a file takes all of a process's POSIX locks on it away.

    Without them another process takes itself for the last one, and removes the log that this
    process goes on writing to.
    """
    path = tmp_path / "store.db"
    first = await SQLiteStore.open(path)
    second = await SQLiteStore.open(path)
    come_and_go = f"""
import asyncio
from mintage.stores.sqlite import SQLiteStore
async def main():
    await (await SQLiteStore.open({str(path)!r})).close()
asyncio.run(main())
"""
    for number in range(3):
        await first.insert(b"%d" % number, b"kept", None, FAR)
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", come_and_go)
        assert await child.wait() == 0
    third = await SQLiteStore.open(path)
    for number in range(3):
        assert await third.load(b"%d" % number) is not None
    for store in (first, second, third):
        await store.close()


def test_a_long_log_of_changes_makes_no_write_dearer(tmp_path: Path) -> None:
    """Trimming it looks at its oldest rows, however many young ones there are."""
    prepare(tmp_path / "store.db")
    db = connect(tmp_path / "store.db")
    db.execute("BEGIN")
    db.executemany("INSERT INTO change (key, at) VALUES (?, ?)", [(b"key", 1000)] * 10_000)
    db.execute("COMMIT")
    hundreds = itertools.count()
    db.set_progress_handler(lambda: next(hundreds) and 0, 100)
    db.execute(TRIM_LOG, (2, 999))
    db.set_progress_handler(None, 0)
    db.close()
    assert next(hundreds) < 5


async def test_a_clients_many_grants_make_no_login_dearer(tmp_path: Path) -> None:
    """A login looks for the grants of one user at one client, and examines no other user's."""
    store = await SQLiteStore.open(tmp_path / "store.db")
    names = [Index(b"user %d" % number, b"client", b"") for number in range(1000)]
    await asyncio.gather(*(store.insert(one.subject, b"record", one, FAR) for one in names))
    hundreds = itertools.count()
    store._reader.set_progress_handler(lambda: next(hundreds) and 0, 100)
    page = await store.list(subject=b"user 7", client=b"client")
    store._reader.set_progress_handler(None, 0)
    await store.close()
    assert [entry.key for entry in page.entries] == [b"user 7"]
    assert next(hundreds) < 5


@pytest.mark.parametrize("how", ["replaced", "removed", "renamed"])
async def test_a_file_that_is_replaced_under_a_running_server_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """A write that went to the old file would be lost: it is an outage, and said once."""
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    await store.insert(b"k", b"one", None, 2**40)
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    match how:
        case "replaced":
            backup.rename(path)
        case "removed":
            path.unlink()
        case _:
            path.rename(tmp_path / "elsewhere.db")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="restart the servers"):
            await store.insert(b"l", b"two", None, 2**40)
        with pytest.raises(StoreUnavailable, match="restart the servers"):
            await store.load(b"k")
        with pytest.raises(StoreUnavailable, match="restart the servers"):
            await store.status()
    assert caplog.text.count("is not the file that was opened") == 1
    await store.close()


async def test_a_replaced_file_is_noticed_by_reads_alone(tmp_path: Path) -> None:
    """The feed of changes looks at the path too."""
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path, poll=0.01)
    await store.insert(b"k", b"one", None, 2**40)

    async def listen() -> None:
        async for _ in store.changes():
            pass

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.05)
    path.rename(tmp_path / "elsewhere.db")

    async def read() -> None:
        while True:
            await store.load(b"k")
            await asyncio.sleep(0.01)

    with pytest.raises(StoreUnavailable, match="restart the servers"):
        await asyncio.wait_for(read(), 5)
    listener.cancel()
    await store.close()


async def test_a_swap_compares_and_a_failed_transaction_is_rolled_back(tmp_path: Path) -> None:
    """Within one process and one transaction: the loser changes nothing, the next one works."""
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    await store.insert(b"k", b"one", None, 2**40)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"two", 2**40)
    with pytest.raises(Stale):
        await store.replace(b"k", seen, b"three", 2**40)
    now = await store.load(b"k")
    assert now is not None
    assert now.record == b"two"
    await store.close()


async def test_a_statement_that_is_broken_off_takes_its_transaction_back(tmp_path: Path) -> None:
    """A damaged page can end a statement half-way, so nothing of its transaction may stay."""
    store = await SQLiteStore.open(tmp_path / "store.db")
    await store.insert(b"k", b"one", None, FAR)

    def breaks_off(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM record")
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(StoreError):
        await store._change(breaks_off)
    assert await store.load(b"k") is not None
    await store.close()


async def test_a_write_that_is_refused_is_in_no_log(tmp_path: Path) -> None:
    """Other processes read their records again for each entry."""
    store = await SQLiteStore.open(tmp_path / "store.db")
    await store.insert(b"k", b"one", None, FAR)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"two", FAR)
    with pytest.raises(Stale):
        await store.replace(b"k", seen, b"three", FAR)
    with pytest.raises(Exists):
        await store.insert(b"k", b"four", None, FAR)
    await store.delete(b"nothing")
    logged: list[bytes] = []
    await store._change(
        lambda db: logged.extend(key for (key,) in db.execute("SELECT key FROM change"))
    )
    await store.close()
    assert logged == [b"k", b"k"]


async def test_a_refresh_writes_no_list_of_names_anew(tmp_path: Path) -> None:
    """Only what a list shows has changed: the lists' own pages stay as they are."""
    store = await SQLiteStore.open(tmp_path / "store.db")
    names = Index(b"user", b"client", b"seen yesterday")
    await store.insert(b"k", b"one", names, FAR)
    seen = await store.load(b"k")
    assert seen is not None
    statements: list[str] = []
    await store._change(lambda db: db.set_trace_callback(statements.append))
    await store.replace(b"k", seen, b"two", FAR, Index(b"user", b"client", b"seen today"))
    await store._change(lambda db: db.set_trace_callback(None))
    [updated] = [statement for statement in statements if statement.startswith("UPDATE")]
    assert "subject" not in updated.partition("WHERE")[0]
    [entry] = (await store.list(subject=b"user", client=b"client")).entries
    assert entry.summary == b"seen today"
    await store.close()
