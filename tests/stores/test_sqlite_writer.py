"""Who makes the changes of the SQLite store, and who waits for whom."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mintage.errors import StoreUnavailable
from mintage.stores import sqlite_writer
from mintage.stores.sqlite import SQLiteStore

FAR = 2**40


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """As another process would: nobody else can begin a change."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("COMMIT")
        db.close()


async def test_a_short_change_is_made_in_the_event_loop_and_a_long_one_in_the_thread(
    tmp_path: Path,
) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    short = await store._change(lambda _: threading.current_thread().name)
    long = await store._change(lambda _: threading.current_thread().name, long=True)
    await store.close()
    assert short == threading.current_thread().name
    assert long == "mintage-sqlite"


async def test_a_long_change_fails_alone(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")

    def fails(db: sqlite3.Connection) -> None:
        raise LookupError

    calls = (store._change(fails, long=True), store.insert(b"k", b"one", None, FAR))
    failed, done = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(failed, LookupError)
    assert done is None
    assert await store.load(b"k") is not None
    await store.close()


async def test_the_event_loop_goes_on_while_another_process_has_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    await store.insert(b"k", b"one", None, FAR)
    with locked(path):
        change = asyncio.create_task(store.insert(b"l", b"two", None, FAR))
        for _ in range(100):
            await asyncio.sleep(0)
            assert await store.load(b"k") is not None
        assert not change.done()
    await change
    assert await store.load(b"l") is not None
    await store.close()


async def test_a_lock_that_does_not_end_is_an_outage_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    with monkeypatch.context() as patched, locked(path):
        patched.setattr(sqlite_writer, "_BUSY_SECONDS", 0.02)
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await store.insert(b"k", b"one", None, FAR)
    await store.insert(b"l", b"two", None, FAR)
    assert await store.load(b"k") is None
    await store.close()


async def test_each_change_waits_for_the_lock_as_long_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    now = 0.0
    monkeypatch.setattr(sqlite_writer, "time", SimpleNamespace(monotonic=lambda: now))
    with locked(path):
        early = asyncio.create_task(store.insert(b"k", b"one", None, FAR))
        await asyncio.sleep(0.01)
        now = 3.9
        late = asyncio.create_task(store.insert(b"l", b"two", None, FAR))
        await asyncio.sleep(0.01)
        now = 4.1
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await early
        assert not late.done()
    await late
    await store.close()


async def test_a_long_change_that_was_given_up_before_its_turn_is_not_made(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db")
    made: list[str] = []
    first = asyncio.create_task(store._change(lambda _: made.append("first"), long=True))
    gone = asyncio.create_task(store._change(lambda _: made.append("gone"), long=True))
    await asyncio.sleep(0)
    gone.cancel()
    await first
    await store.close()
    assert made == ["first"]


async def test_a_change_that_was_given_up_before_it_began_is_never_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    with monkeypatch.context() as patched, locked(path):
        patched.setattr(sqlite_writer, "_SECONDS", 0.02)
        with pytest.raises(StoreUnavailable, match="in time"):
            await store.insert(b"k", b"one", None, FAR)
    await store.insert(b"l", b"two", None, FAR)
    assert await store.load(b"k") is None
    await store.close()


async def test_closing_waits_for_the_changes_that_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    changes = [
        asyncio.create_task(store.insert(b"%d" % number, b"kept", None, FAR))
        for number in range(300)
    ]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*changes) == [None] * 300
    again = await SQLiteStore.open(path)
    assert all([await again.load(b"%d" % number) for number in range(300)])
    await again.close()


def test_several_event_loops_change_one_store(tmp_path: Path) -> None:
    store = asyncio.run(SQLiteStore.open(tmp_path / "store.db"))

    async def insert(first: int) -> None:
        for number in range(first, first + 40, 4):
            keys = (b"%d" % key for key in range(number, number + 4))
            await asyncio.gather(*(store.insert(key, b"kept", None, FAR) for key in keys))

    threads = [
        threading.Thread(target=asyncio.run, args=(insert(first),)) for first in range(0, 160, 40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def found() -> list[bool]:
        return [await store.load(b"%d" % number) is not None for number in range(160)]

    assert asyncio.run(found()) == [True] * 160
    asyncio.run(store.close())


def test_an_event_loop_that_stands_still_holds_up_no_other(tmp_path: Path) -> None:
    store = asyncio.run(SQLiteStore.open(tmp_path / "store.db"))
    still = asyncio.new_event_loop()

    async def begin() -> "asyncio.Task[None]":
        task = asyncio.create_task(store.insert(b"k", b"one", None, FAR))
        await asyncio.sleep(0)  # it has asked, and its turn has not come
        return task

    task = still.run_until_complete(begin())
    asyncio.run(asyncio.wait_for(store.insert(b"l", b"two", None, FAR), 2))
    still.run_until_complete(task)
    still.close()
    asyncio.run(store.close())


def test_an_event_loop_that_ends_before_its_turn_holds_up_no_other(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = asyncio.run(SQLiteStore.open(path))

    async def begin() -> None:
        asyncio.create_task(store.insert(b"k", b"one", None, FAR))  # noqa: RUF006
        for _ in range(10):
            await asyncio.sleep(0)

    with locked(path):
        asyncio.run(begin())

    async def after() -> bool:
        await asyncio.wait_for(store.insert(b"l", b"two", None, FAR), 2)
        return await store.load(b"k") is None

    assert asyncio.run(after())
    asyncio.run(store.close())
