"""What each grant type beside a login asks of the store: the figures of docs/scaling.md."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from mintage.testing.assertion_issuer import AssertionIssuer
from mintage.testing.counting_store import CountingStore
from mintage.testing.oauth_client import OAuthClient
from tests.server.test_device_authorization import approve, asked, device, error_of, poll
from tests.server.test_pushed_requests import push
from tests.support.dpop import BoundClient
from tests.support.trusting import SECRET, jag, redeem, settings, workload
from tests.support.world import World

BOT = "bot"

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def overrides(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    enterprise: AssertionIssuer,
    platform: AssertionIssuer,
) -> dict[str, Any]:
    found = settings(tmp_path, enterprise.url, platform.url)
    found["grant_types"] |= {"client_credentials": {}, "device_code": {}}
    found["client"].append(
        {
            "client_id": BOT,
            "client_secret": "file:assistant",
            "grant_types": ["client_credentials"],
            "resources": ["/mcp"],
            "scopes": ["tools"],
        }
    )
    found["trusted_issuer"][1]["single_use"] = "for_one_use" in request.node.name
    return found


@pytest.fixture
def store(stores: list[CountingStore], world: World) -> CountingStore:
    """That of `world`, which has read what it needs to begin."""
    assert world.port
    (opened,) = stores
    opened.forget()
    return opened


async def test_client_credentials_write_once_and_read_nothing(
    store: CountingStore, world: World
) -> None:
    form = {"grant_type": "client_credentials", "resource": world.resource}
    answer = await world.http.post(f"{world.issuer}/token", data=form, auth=(BOT, SECRET))
    assert answer.status_code == 200
    assert store.seen == {"insert": 1}


async def test_an_id_jag_reads_twice_and_writes_twice(
    store: CountingStore, world: World, enterprise: AssertionIssuer
) -> None:
    """Whether it was used, whether the user has logged out; the grant, and that it is used."""
    once = jag(world, enterprise)
    assert (await redeem(world, once)).status_code == 200
    assert store.seen == {"load": 2, "insert": 2}
    store.forget()
    assert (await redeem(world, once)).status_code == 400
    assert store.seen == {"load": 1}, "used again, it costs one read"


async def test_a_workload_writes_once_and_reads_nothing(
    store: CountingStore, world: World, platform: AssertionIssuer
) -> None:
    answer = await redeem(world, workload(world, platform), auth=None, resource=world.resource)
    assert answer.status_code == 200
    assert store.seen == {"insert": 1}


async def test_a_workload_with_an_assertion_for_one_use_reads_once_and_writes_twice(
    store: CountingStore, world: World, platform: AssertionIssuer
) -> None:
    answer = await redeem(world, workload(world, platform), auth=None, resource=world.resource)
    assert answer.status_code == 200
    assert store.seen == {"load": 1, "insert": 2}


async def test_a_device_reads_at_each_poll_and_writes_twice_in_all(
    store: CountingStore, world: World
) -> None:
    client = await device(world)
    codes = await asked(world, client)
    assert store.seen == {"insert": 1}
    store.forget()
    assert error_of(await poll(client, codes["device_code"])) == "authorization_pending"
    assert store.seen == {"load": 1}
    store.forget()
    async with world.browser() as browser:
        assert (await approve(world, browser, codes["user_code"])).status == 200
    assert store.seen == {"load": 4, "list": 2, "insert": 2, "delete": 1}
    store.forget()
    world.clock.advance(5)
    assert (await poll(client, codes["device_code"])).status_code == 200
    assert store.seen == {"load": 1, "replace": 1}


async def test_a_pushed_request_is_stored_nowhere_and_its_login_reads_once_more(
    store: CountingStore, world: World
) -> None:
    """Whether its request_uri was used: nothing else of it is in the store."""
    client = await world.client()
    pushed = (await push(world, client)).raise_for_status().json()
    assert store.seen == {}
    query = {"client_id": client.client_id, "request_uri": pushed["request_uri"]}
    answer = await world.http.get(f"{world.issuer}/authorize?{urlencode(query)}")
    assert (answer.status_code, store.seen) == (200, {"load": 1})


async def test_a_refresh_of_a_bound_token_costs_what_every_refresh_does(
    store: CountingStore, world: World
) -> None:
    client = OAuthClient(world.issuer, world.http, world.resource)
    bound = BoundClient(await client.register(), world.clock)
    async with world.browser() as browser:
        tokens = await bound.tokens(browser)
    store.forget()
    answer = await bound.refresh(tokens["refresh_token"])
    assert answer.json()["token_type"] == "DPoP"
    assert store.seen == {"load": 1, "replace": 1}
