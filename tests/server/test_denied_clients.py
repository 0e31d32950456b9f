"""A client that an operator denied: no login, no refresh, no request; on every replica."""

from pathlib import Path
from typing import Any

import pytest

from mintage.clients.client import DEVICE_CODE
from mintage.events.clients import ClientDenied
from mintage.events.event import Event
from mintage.events.grants import GrantEnded
from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import OAuthClient
from mintage.values import ClientId
from tests.support import exchanging
from tests.support.replicas import elsewhere
from tests.support.world import World, every_store


async def at_a_web_address(world: World, host: str = "app.evil.example") -> OAuthClient:
    client = OAuthClient(
        world.issuer, world.http, world.resource, redirect_uri=f"https://{host}/callback"
    )
    return await client.register()


async def asks_to_log_in(world: World, client: OAuthClient) -> Page:
    async with world.browser() as browser:
        return await browser.open(client.authorization().url)


@every_store
async def test_attack_d20_a_denied_client_is_refused_at_each_door_of_another_replica(
    world: World,
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
        login, code = await client.log_in(browser)
    assert (await client.call(tokens["access_token"])).status_code == 200

    assert await elsewhere(world).deny(client.client_id, by="alice")
    await world.running.client_denials.follow()

    assert (await client.call(tokens["access_token"])).status_code == 401
    for answer in (
        await client.refresh(tokens["refresh_token"]),
        await client.redeem(login, code),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"] == "unauthorized_client"
    page = await asks_to_log_in(world, client)
    assert page.status == 400
    assert "This app may not be used here" in page.text


class TestIntrospection:
    @pytest.fixture
    def overrides(self, tmp_path: Path) -> dict[str, Any]:
        found = exchanging.settings(tmp_path)
        found["client"][2]["introspects"] = ["/mcp", "/files"]
        return found

    async def test_attack_d20_a_denied_client_and_a_denied_backend(self, world: World) -> None:
        """At once, and not when all of its grants have been found and ended."""
        client = await world.client()
        async with world.browser() as browser:
            token = (await client.tokens(browser, scope="tools files.read"))["access_token"]
        answer = await exchanging.exchanged(world, "notes", token, "/files")

        async def active(token: str) -> bool:
            asked = await world.http.post(
                f"{world.issuer}/introspect",
                data={"token": token},
                auth=("mail", exchanging.SECRETS["mail"]),
            )
            return bool(asked.json()["active"])

        assert await active(token)
        assert await active(answer["access_token"])
        await world.running.client_denials.deny("notes", by=None)
        assert await active(token)
        assert not await active(answer["access_token"])
        await world.running.client_denials.deny(client.client_id, by=None)
        assert not await active(token)


async def test_its_grants_end_and_stay_ended_when_it_is_admitted(world: World) -> None:
    events = list[Event]()
    world.running.events.attach(events.append)
    client, other = await world.client(), await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
        others = await other.tokens(browser)
    here = world.running.client_denials
    await here.deny(client.client_id, by="alice")
    assert await here.end_grants() == 1
    assert await here.end_grants() == 0
    assert (await other.call(others["access_token"])).status_code == 200

    assert await here.admit(client.client_id)
    assert not await here.admit(client.client_id)
    assert (await client.call(tokens["access_token"])).status_code == 401
    assert (await client.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    async with world.browser() as browser:
        again = await client.tokens(browser)
    assert (await client.call(again["access_token"])).status_code == 200
    told = [event for event in events if isinstance(event, ClientDenied)]
    assert [(event.name, event.denied) for event in told] == [
        (client.client_id, True),
        (client.client_id, False),
    ]
    (end,) = [event for event in events if isinstance(event, GrantEnded)]
    assert (end.by, end.reason) == ("operator", "client_denied")
    assert end.party.client_id == client.client_id


async def test_attack_d20_a_denied_host_does_not_come_back_with_a_new_id(
    world: World,
) -> None:
    client = await at_a_web_address(world)
    await world.running.client_denials.deny("app.evil.example", by=None)
    assert (await asks_to_log_in(world, client)).status == 400
    refused = await world.http.post(
        f"{world.issuer}/register",
        json={"redirect_uris": ["https://app.evil.example/another", "https://good.example/cb"]},
    )
    assert refused.status_code == 400
    assert refused.json()["error"] == "invalid_redirect_uri"
    assert (
        await asks_to_log_in(world, await at_a_web_address(world, "good.example"))
    ).status == 200


async def test_what_is_known_stays_denied_while_the_store_does_not_answer(world: World) -> None:
    client = await world.client()
    here = world.running.client_denials
    await here.deny(client.client_id, by=None)
    await world.running.store.close()
    await here.follow()
    assert here.denied.covers(ClientId(client.client_id))


class TestOnADevice:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"grant_types": {"device_code": {}}}

    @pytest.mark.parametrize("steps", [0, 1, 2])
    async def test_attack_d20_denied_since_its_device_asked(self, world: World, steps: int) -> None:
        """Nobody is asked about it any more, and no login is made for it."""
        client = await world.client(grant_types=[DEVICE_CODE], redirect_uris=[], response_types=[])
        asked = await world.http.post(
            f"{world.issuer}/device_authorization", data={"client_id": client.client_id}
        )
        forms = [{"user_code": asked.json()["user_code"]}, {"decision": "approve"}]
        async with Browser(stop_at=(f"{world.issuer}/callback",)) as browser:
            page = await browser.open(f"{world.issuer}/device")
            for form in forms[:steps]:
                page = await browser.submit(page, form)
            await world.running.client_denials.deny(client.client_id, by=None)
            browser.stop_at = ()
            if steps < len(forms):
                page = await browser.submit(page, forms[steps])
            else:
                page = await browser.open(page.url)
        assert page.status == 400
        assert "This app may not be used here" in page.text
        subject = (world.upstream.issuer, "alice")
        assert not [one async for one in world.running.vault.listing.find(subject=subject)]
