"""Pushed requests and devices where two servers share a store: each step at another one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest

from mintage.clients.client import DEVICE_CODE
from mintage.grants.pkce import s256
from mintage.testing.oauth_client import REDIRECT_URI, answer_of, approve
from tests.support.replicas import Replica, replica
from tests.support.world import World

ON: dict[str, Any] = {"grant_types": {"device_code": {}}}

shared_stores = pytest.mark.parametrize(
    "world_store",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ],
    indirect=True,
)


@pytest.fixture
def overrides() -> dict[str, Any]:
    return ON


@pytest.fixture
async def other(world: World) -> AsyncIterator[Replica]:
    async with replica(world, **ON) as one:
        yield one


@shared_stores
async def test_attack_f30_a_request_uri_is_used_at_two_servers(
    world: World, other: Replica
) -> None:
    """Pushed at one, opened at both: one login comes of it."""
    client = await world.client()
    form = {
        "client_id": client.client_id,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "code_challenge": s256("v" * 43),
        "code_challenge_method": "S256",
    }
    answer = await other.http.post(f"{other.issuer}/par", data=form)
    assert answer.status_code == 201
    query = {"client_id": client.client_id, "request_uri": answer.json()["request_uri"]}
    path = f"/authorize?{urlencode(query)}"
    assert (await other.http.get(other.issuer + path)).status_code == 200
    async with world.browser() as browser:
        assert "code" in answer_of(await approve(browser, world.issuer + path))
    assert (await other.http.get(other.issuer + path)).status_code == 400


@shared_stores
async def test_attack_f45_ten_polls_at_two_servers_get_one_login(
    world: World, other: Replica
) -> None:
    """Asked at one, approved at the other, polled at both at once: one set of tokens."""
    client = await world.client(
        grant_types=[DEVICE_CODE, "refresh_token"], response_types=[], redirect_uris=[]
    )
    there = other.seen_by(client)
    form = {"client_id": client.client_id, "resource": client.resource}
    asked = (await other.http.post(f"{other.issuer}/device_authorization", data=form)).json()
    async with world.browser() as browser:
        page = await browser.open(f"{world.issuer}/device")
        page = await browser.submit(page, {"user_code": asked["user_code"]})
        page = await browser.submit(page, {"decision": "approve"})
        assert "Your device is connected" in page.text
    poll = {"grant_type": DEVICE_CODE, "device_code": asked["device_code"]}
    polls = [each.token(**poll) for each in (client, there) for _ in range(5)]
    answers = await asyncio.gather(*polls)
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert 1 <= len(good) <= 2, "one for each server at most"
    assert len({answer["access_token"] for answer in good}) == 1
    others = {answer.json()["error"] for answer in answers if answer.status_code != 200}
    assert others == {"slow_down"}
    assert (await there.refresh(good[0]["refresh_token"])).status_code == 200


@shared_stores
async def test_a_denial_at_one_server_is_told_by_the_other(world: World, other: Replica) -> None:
    client = await world.client(grant_types=[DEVICE_CODE], response_types=[], redirect_uris=[])
    form = {"client_id": client.client_id}
    asked = (await other.http.post(f"{other.issuer}/device_authorization", data=form)).json()
    async with world.browser() as browser:
        page = await browser.open(f"{world.issuer}/device")
        page = await browser.submit(page, {"user_code": asked["user_code"]})
        await browser.submit(page, {"decision": "deny"})
    poll = {"grant_type": DEVICE_CODE, "device_code": asked["device_code"]}
    answer = await other.seen_by(client).token(**poll)
    assert (answer.status_code, answer.json()["error"]) == (400, "access_denied")


@shared_stores
async def test_attack_f40_a_code_of_a_server_with_another_secret(world: World) -> None:
    """It opens nothing here, and its request_uri neither."""
    client = await world.client(grant_types=[DEVICE_CODE], response_types=[], redirect_uris=[])
    from mintage.app.devices import device_codes
    from mintage.server.device_codes import DeviceCodes

    real = device_codes(world.config, lambda size: b"r" * size)
    foreign = DeviceCodes((type(real.keys[0])(b"k" * 32),), world.issuer, real.random_bytes)
    until = int(world.clock()) + 600
    for codes, error in ((real, "authorization_pending"), (foreign, "invalid_grant")):
        _, code = codes.make(client_id=client.client_id, expires_at=until)
        answer = await client.token(grant_type=DEVICE_CODE, device_code=code)
        assert answer.json()["error"] == error
