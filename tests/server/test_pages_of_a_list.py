"""A list of logins from a store that returns less than it was asked for."""

import pytest

from mintage.stores.protocol import Cursor, Page
from tests.support.world import World


async def test_an_empty_page_is_not_the_last_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        await client.tokens(browser)
    store, asked = world.running.store, list[Cursor | None]()
    whole = store.list

    async def list_(*, after: Cursor | None = None, **wanted: int) -> Page:
        asked.append(after)
        if len(asked) == 1:
            return Page((), Cursor(b"\0"))
        return await whole(after=after, limit=wanted["limit"])

    monkeypatch.setattr(store, "list", list_)
    found, more = await world.running.vault.listing.page()
    assert (len(found), more) == (1, None)
    assert asked == [None, b"\0"]
