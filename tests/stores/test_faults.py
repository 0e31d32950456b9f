"""What a store that others keep does when it dies, freezes or is cut off: 503, and on by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mintage.errors import Stale, StoreError, StoreUnavailable
from mintage.stores.opening import open_store
from mintage.stores.protocol import EVERYTHING, Store
from tests.support.servers import Server, Wire, postgres_server, redis_server, started

FAR = 2**40
ENGINES = [
    pytest.param((redis_server, "redis://127.0.0.1:{}/0"), id="redis"),
    pytest.param((postgres_server, "postgresql://mintage@127.0.0.1:{}/postgres"), id="postgres"),
]
pytestmark = [
    pytest.mark.parametrize("engine", ENGINES),
    # A driver leaves the sockets of broken connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Engine = tuple[Callable[[Path], Server], str]


@pytest.fixture
def server(engine: Engine, tmp_path: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        yield stack.enter_context(started(engine[0](tmp_path / "engine")))


@pytest.fixture
async def wire(server: Server) -> AsyncIterator[Wire]:
    async with Wire(server.port).running() as wire:
        yield wire


@pytest.fixture
async def store(engine: Engine, wire: Wire) -> AsyncIterator[Store]:
    store = await open_store(engine[1].format(wire.port), clock=time.time)
    yield store
    await store.close()


async def until_it_answers(store: Store) -> None:
    """The same store object, with no restart of ours."""
    async with asyncio.timeout(20):
        while True:
            try:
                await store.load(b"anything")
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_cut_line_is_an_outage_and_heals(store: Store, wire: Wire) -> None:
    await store.insert(b"before", b"kept", None, FAR)
    wire.cut = True
    wire.break_off()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.insert(b"during", b"", None, FAR)
    wire.cut = False
    await until_it_answers(store)
    seen = await store.load(b"before")
    assert seen is not None
    await store.replace(b"before", seen, b"changed", FAR)


async def test_attack_d10_kill_minus_nine_loses_nothing_acknowledged(
    store: Store, server: Server
) -> None:
    """The server dies in full traffic, and starts again on what it had written."""
    acknowledged: list[bytes] = []

    async def write(writer: int) -> None:
        for number in range(10**6):
            key = f"{writer}-{number}".encode()
            try:
                await store.insert(key, key * 20, None, FAR)
            except StoreError:
                return
            acknowledged.append(key)

    traffic = [asyncio.create_task(write(n)) for n in range(8)]
    await asyncio.sleep(0.5)
    server.kill()
    await asyncio.gather(*traffic)
    await asyncio.to_thread(server.start)
    await until_it_answers(store)
    assert len(acknowledged) > 20
    for key in acknowledged:
        seen = await store.load(key)
        assert seen is not None, key
        assert seen.record == key * 20


async def test_attack_d10_nothing_is_acknowledged_that_the_server_has_not_confirmed(
    store: Store, server: Server
) -> None:
    """After a write that it did confirm, it holds its connections and says nothing."""
    await store.insert(b"before", b"kept", None, FAR)
    seen = await store.load(b"before")
    assert seen is not None
    server.freeze()
    try:
        outcomes = await asyncio.gather(
            store.insert(b"during", b"", None, FAR),
            store.replace(b"before", seen, b"changed", FAR),
            store.delete(b"before"),
            return_exceptions=True,
        )
    finally:
        server.thaw()
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    await until_it_answers(store)


async def test_a_frozen_server_is_an_outage_within_seconds(store: Store, server: Server) -> None:
    await store.insert(b"before", b"kept", None, FAR)
    server.freeze()
    try:
        async with asyncio.timeout(6):
            with pytest.raises(StoreUnavailable):
                await store.load(b"before")
    finally:
        server.thaw()
    await until_it_answers(store)
    assert await store.load(b"before") is not None


async def test_a_feed_that_was_cut_says_so_and_goes_on(
    engine: Engine, store: Store, wire: Wire, server: Server
) -> None:
    other = await open_store(engine[1].format(server.port), clock=time.time)
    await other.insert(b"k", b"one", None, FAR)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen() -> None:
        async with contextlib.aclosing(store.changes()) as changes:  # type: ignore[type-var]
            async for key in changes:
                heard.put_nowait(key)

    async def change_until(expected: bytes) -> None:
        async with asyncio.timeout(20):
            while True:
                seen = await other.load(b"k")
                assert seen is not None
                await other.replace(b"k", seen, b"two", FAR)
                while not heard.empty():
                    if heard.get_nowait() == expected:
                        return
                await asyncio.sleep(0.05)

    listener = asyncio.create_task(listen())
    await change_until(b"k")
    wire.break_off()
    await change_until(EVERYTHING)
    await change_until(b"k")
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    await other.close()


async def test_a_feed_that_falls_silent_is_left_within_five_seconds(
    engine: Engine, store: Store, wire: Wire, server: Server
) -> None:
    """Nobody tells it that the line is dead; on a new one it says that it missed something."""
    other = await open_store(engine[1].format(server.port), clock=time.time)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen() -> None:
        async for key in store.changes():
            heard.put_nowait(key)

    listener = asyncio.create_task(listen())
    async with asyncio.timeout(5):
        assert await heard.get() == EVERYTHING, "what came before, nobody heard"
    wire.swallow()
    await other.insert(b"k", b"one", None, FAR)
    await other.delete(b"k")
    await asyncio.sleep(0.1)
    wire.forget()  # the old lines stay dead; new ones are carried
    async with asyncio.timeout(5):
        assert await heard.get() == EVERYTHING
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    await other.close()


async def test_no_call_waits_longer_than_five_seconds_for_a_silent_server(
    store: Store, wire: Wire
) -> None:
    """Also with more callers than there are connections."""
    await store.insert(b"k", b"one", None, FAR)
    wire.swallow()
    async with asyncio.timeout(6):
        outcomes = await asyncio.gather(
            *(store.load(b"k") for _ in range(100)), return_exceptions=True
        )
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    wire.mend()
    await until_it_answers(store)
    assert await store.load(b"k") is not None


async def test_after_a_lost_answer_the_store_tells_what_is_so(store: Store, wire: Wire) -> None:
    await store.insert(b"k", b"zero", None, FAR)
    seen = await store.load(b"k")
    assert seen is not None
    await store.replace(b"k", seen, b"one", FAR)  # by now its statement is prepared
    seen = await store.load(b"k")
    assert seen is not None
    wire.lose = 1
    with pytest.raises(StoreUnavailable):
        await store.replace(b"k", seen, b"two", FAR)
    await until_it_answers(store)
    now = await store.load(b"k")
    assert now is not None
    assert now.record == b"two"
    with pytest.raises(Stale):
        await store.replace(b"k", seen, b"three", FAR)
