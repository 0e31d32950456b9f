"""What an event stream that says nothing has no more use for is not kept to its end."""

from mintage.gateway.heads import Head
from tests.gateway.test_proxy import bearer
from tests.support.living import living, new
from tests.support.raw_backend import RawBackend
from tests.support.world import World


async def test_neither_the_first_stream_nor_one_like_it_keeps_its_head(
    world: World, raw: RawBackend
) -> None:
    headers, before = await bearer(world), living(Head)
    for _ in range(2):  # the second has a head that is known
        async with world.http.stream("GET", f"{world.resource}/events", headers=headers) as answer:
            chunks = answer.aiter_raw()
            assert await anext(chunks) == b"data: 1\n\n"
            assert new(Head, before) == []
