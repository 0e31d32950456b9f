"""Which connection gives way when all places are taken: never one that has something to do."""

from contextlib import AsyncExitStack

from starlette.responses import Response

from mintage.serving.settings import ServerSection
from tests.serving.conftest import GET, staged
from tests.serving.test_protocol import settled, used_and_kept

LARGE = 16 * 1024 * 1024  # bytes: more than a client gets that does not read


async def test_one_that_worked_since_somebody_looked_is_not_closed_before_an_idle_one() -> None:
    bounds = ServerSection(max_connections=3)
    async with staged(bounds) as stage, AsyncExitStack() as stack:
        first = await used_and_kept(stage, stack)
        stage.seconds(1)
        regular = await used_and_kept(stage, stack)
        stage.seconds(1)
        idle = await used_and_kept(stage, stack)
        stage.seconds(1)
        await used_and_kept(stage, stack)
        assert await first.rest() == b""
        stage.seconds(10)
        regular.writer.write(GET)
        assert await regular.chunked()
        await used_and_kept(stage, stack)
        assert await idle.rest() == b""
        regular.writer.write(GET)
        assert await regular.chunked()


async def test_one_that_has_just_been_answered_is_not_closed_in_the_second_of_a_look() -> None:
    async with staged(ServerSection(max_connections=2)) as stage, AsyncExitStack() as stack:
        await used_and_kept(stage, stack)
        stage.seconds(1)
        regular = await used_and_kept(stage, stack)
        stage.seconds(1)
        await used_and_kept(stage, stack)
        regular.writer.write(GET)
        assert await regular.chunked()
        assert (await stage.ask(GET)).startswith(b"HTTP/1.1 503")
        regular.writer.write(GET)
        assert await regular.chunked()


async def test_attack_e14_one_that_does_not_read_its_answer_keeps_its_place() -> None:
    """Closed for another, it would stay open beyond the bound until the client has all of it."""
    bounds, app = ServerSection(max_connections=1), Response(bytes(LARGE))
    async with staged(bounds, app=app) as stage, stage.connected() as client:
        client.writer.write(GET)
        await client.head()
        await settled()
        stage.seconds(2)
        assert (await stage.ask(GET)).startswith(b"HTTP/1.1 503")
        assert len(stage.places) == 1
        await client.reader.readexactly(LARGE)
        client.writer.write(GET)
        assert (await client.head()).startswith(b"HTTP/1.1 200")
