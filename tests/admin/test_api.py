"""What operators can see and do."""

import asyncio
from typing import Any

import httpx2
import pytest

from mintage.admin.site import AdminSite
from mintage.events import operation
from mintage.testing.oauth_client import OAuthClient
from tests.support.world import World, every_store


async def logged_in(world: World, user: str = "alice") -> tuple[OAuthClient, dict[str, Any]]:
    world.upstream.user = user
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def get(admin: httpx2.AsyncClient, path: str, **query: str) -> Any:
    return (await admin.get(path, params=query)).raise_for_status().json()


@every_store
async def test_grants_are_listed_a_page_at_a_time(world: World, admin: httpx2.AsyncClient) -> None:
    for user in ("alice", "bob", "carol"):
        await logged_in(world, user)
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = await get(admin, "/grants", **query)
        seen += [row["subject"] for row in page["grants"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert sorted(seen) == ["alice", "bob", "carol"]


async def test_grants_of_one_user_or_one_client(world: World, admin: httpx2.AsyncClient) -> None:
    alices, _ = await logged_in(world, "alice")
    await logged_in(world, "bob")
    (alice,) = (await get(admin, "/grants", subject="alice"))["grants"]
    assert alice["client_id"] == alices.client_id
    assert (await get(admin, "/grants", client=alices.client_id))["grants"] == [alice]
    both = await get(admin, "/grants", client=alices.client_id, subject="bob")
    assert both == {"grants": [], "next": None}


async def test_a_grant_is_shown_whole_and_without_secrets(
    world: World, admin: httpx2.AsyncClient
) -> None:
    client, tokens = await logged_in(world)
    (row,) = (await get(admin, "/grants"))["grants"]
    answer = await admin.get(f"/grants/{row['grant']}")
    shown = answer.json()
    assert row.items() <= shown.items()
    assert (shown["state"], shown["client_id"]) == ("active", client.client_id)
    assert shown["scopes"] == ["tools"]
    assert shown["resources"] == [world.resource]
    for secret in (tokens["access_token"], tokens["refresh_token"], world.upstream.client_secret):
        assert secret not in answer.text


async def test_an_ended_grant_is_refused_at_once(world: World, admin: httpx2.AsyncClient) -> None:
    client, tokens = await logged_in(world)
    events: list[operation.AdminAction] = []
    world.running.events.attach(
        lambda event: events.append(event) if isinstance(event, operation.AdminAction) else None
    )
    (row,) = (await get(admin, "/grants"))["grants"]
    assert (await admin.delete(f"/grants/{row['grant']}")).json() == {"ended": 1}
    assert (await client.call(tokens["access_token"])).status_code == 401
    again = await admin.delete(f"/grants/{row['grant']}")
    assert (again.status_code, again.json()["error"]) == (404, "not_found")
    (event,) = events
    assert (event.operation, event.via, event.operator, event.count) == (
        "grants end", "api", None, 1,
    )  # fmt: skip
    assert event.origin.reference


async def test_all_grants_of_a_user_end_together(world: World, admin: httpx2.AsyncClient) -> None:
    for user in ("alice", "alice", "bob"):
        await logged_in(world, user)
    assert (await admin.delete("/grants?subject=alice")).json() == {"ended": 2}
    (left,) = (await get(admin, "/grants"))["grants"]
    assert left["subject"] == "bob"


@pytest.mark.parametrize(
    "query", ["", "subject=", "subjekt=alice", "subject=&client=x", "client=x&all=yes"]
)
async def test_a_wrong_filter_ends_nothing(
    world: World, admin: httpx2.AsyncClient, query: str
) -> None:
    await logged_in(world)
    refused = await admin.delete(f"/grants?{query}")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert len((await get(admin, "/grants"))["grants"]) == 1


async def test_a_client_is_denied_and_admitted(
    world: World, admin: httpx2.AsyncClient, site: AdminSite
) -> None:
    client, tokens = await logged_in(world)
    denied = await admin.put("/denials", params={"name": client.client_id})
    assert denied.json() == {
        "name": client.client_id, "denied": True, "changed": True, "ended": 1,
    }  # fmt: skip
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.json()["error"] == "unauthorized_client"
    assert [one["name"] for one in (await get(admin, "/denials"))["denied"]] == [client.client_id]
    (row,) = (await get(admin, "/clients"))["clients"]
    assert (row["denied_as"], row["grants"]) == (client.client_id, 0)
    admitted = await admin.delete("/denials", params={"name": client.client_id})
    assert admitted.json()["denied"] is False
    again = await admin.delete("/denials", params={"name": client.client_id})
    assert again.status_code == 404
    await site.api.close()


async def test_what_a_slow_server_began_is_ended_a_moment_later(
    world: World, admin: httpx2.AsyncClient, site: AdminSite
) -> None:
    """A server may not know of the denial yet when it answers the last login."""
    client, known_everywhere = await world.client(), asyncio.Event()
    site.api.wait = lambda _: known_everywhere.wait()
    async with world.browser() as browser:
        await client.tokens(browser)
        await admin.put("/denials", params={"name": client.client_id})
        world.running.client_denials.denied.update([])  # as on another server
        await client.tokens(browser)
    assert len((await get(admin, "/grants"))["grants"]) == 1
    known_everywhere.set()
    await asyncio.gather(*site.api._sweeps)
    assert (await get(admin, "/grants"))["grants"] == []


async def test_nobody_denies_every_desktop_app(admin: httpx2.AsyncClient) -> None:
    refused = await admin.put("/denials", params={"name": "127.0.0.1"})
    assert refused.status_code == 400
    assert "deny a client_id" in refused.json()["error_description"]


async def test_a_denial_is_kept_as_it_is_compared(admin: httpx2.AsyncClient) -> None:
    denied = await admin.put("/denials", params={"name": "APP.Example."})
    assert denied.json()["name"] == "app.example"
    assert [one["name"] for one in (await get(admin, "/denials"))["denied"]] == ["app.example"]
    admitted = await admin.delete("/denials", params={"name": "APP.Example."})
    assert admitted.json()["changed"] is True


@pytest.mark.parametrize("name", ["https://", "*", "*.*", "*.", "app.example/x", "mc2.AAAA"])
async def test_a_denial_that_would_cover_nothing_is_refused(
    admin: httpx2.AsyncClient, name: str
) -> None:
    refused = await admin.put("/denials", params={"name": name})
    assert refused.status_code == 400
    assert (await get(admin, "/denials"))["denied"] == []


@pytest.mark.parametrize("cursor", ["zzz", "a" * 17, "1" * 16])
async def test_a_cursor_that_no_page_gave_is_refused(
    admin: httpx2.AsyncClient, cursor: str
) -> None:
    refused = await admin.get("/grants", params={"cursor": cursor})
    assert refused.status_code == 400
    assert refused.json()["error_description"].startswith("cursor is")


async def test_the_status_says_how_the_parts_are(world: World, admin: httpx2.AsyncClient) -> None:
    client, _ = await logged_in(world)
    await client.refresh("wrong")
    status = await get(admin, "/status")
    assert (status["store"], status["grants"], status["denied_clients"]) == ("ok", 1, 0)
    assert [(one["name"], one["status"]) for one in status["providers"]] == [("oidc", "ok")]
    assert status["process"]["last_5_minutes"]["login"] == 1
    assert status["process"]["refusals_last_hour"] == [
        {"stage": "grant", "error": "invalid_grant", "count": 1}
    ]
    world.clock.advance(301)
    status = await get(admin, "/status")
    assert "login" not in status["process"]["last_5_minutes"]
    assert status["process"]["last_hour"]["login"] == 1
    world.clock.advance(3600)
    assert (await get(admin, "/status"))["process"]["last_hour"] == {}


async def test_the_status_is_told_while_the_store_is_away(
    world: World, admin: httpx2.AsyncClient
) -> None:
    await world.running.store.close()
    status = await get(admin, "/status")
    assert (status["store"], status["grants"]) == ("unavailable", None)
    refused = await admin.get("/grants")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert (await admin.get("/")).status_code == 200
