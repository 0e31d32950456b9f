"""A root secret is removed too early, or is not everywhere yet: nobody loses a login."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mintage.grants.handles import make_jti
from mintage.jwt.keyring import KeyRing
from mintage.jwt_issuer import JWTIssuer
from mintage.testing.oauth_client import OAuthClient
from tests.support.replicas import Replica, replica
from tests.support.world import SECRET, World

NEW = "Xw3dT8pLr0sVbNq5zKfYhC2mJ7gEaU9iO1tRlQxWeZk"


@pytest.fixture
def world_store(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/mintage.db"


@dataclass
class User:
    client: OAuthClient
    access: str
    refresh: str


async def logged_in(world: World, client: OAuthClient) -> User:
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    return User(client, tokens["access_token"], tokens["refresh_token"])


async def answers(user: User, at: Replica) -> dict[str, int]:
    """What each endpoint says to *user* at replica *at*."""
    client = at.seen_by(user.client)
    url = client.authorization().url
    return {
        "call": (await client.call(user.access)).status_code,
        "authorize": (await at.http.get(url)).status_code,
        "revoke": (await client.revoke(user.access)).status_code,
        "refresh": (await client.refresh(user.refresh)).status_code,
    }


async def test_a_secret_removed_too_early_is_an_outage_and_no_refusal(world: World) -> None:
    user = await logged_in(world, await world.client())
    async with replica(world, secret=NEW) as without:
        assert set((await answers(user, without)).values()) == {503}
        refused = await without.seen_by(user.client).refresh(user.refresh)
        assert refused.json()["error"] == "temporarily_unavailable"
        assert int(refused.headers["retry-after"]) > 0
    async with replica(world, secret=f"{NEW}\n{SECRET}") as put_back:
        client = put_back.seen_by(user.client)
        assert (await client.call(user.access)).status_code == 200
        assert (await client.refresh(user.refresh)).status_code == 200


async def test_a_secret_that_has_not_reached_every_replica(world: World) -> None:
    """One replica uses the new secret already; *world* has not heard of it."""
    async with replica(world, secret=f"{NEW}\n{SECRET}") as ahead:
        client = ahead.seen_by(await world.client())
        await client.register()
        url = client.authorization().url
        assert (await ahead.http.get(url)).status_code == 200
        # Registered under the new secret: no grant has been written under it yet.
        assert (await world.http.get(url)).status_code == 503


async def test_the_log_names_the_missing_secret_and_the_grant(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    user = await logged_in(world, await world.client())
    async with replica(world, secret=NEW) as without:
        caplog.clear()
        await without.seen_by(user.client).call(user.access)
    [line] = [r for r in caplog.records if r.levelname == "ERROR" and "stage store" in r.message]
    assert "needs the secret" in line.message
    assert "put it back" in line.message


async def test_made_up_tokens_and_client_ids_are_refused_as_ever(world: World) -> None:
    """Whoever has never had a login here can't make the server doubt its secrets."""
    user = await logged_in(world, await world.client())
    forger = JWTIssuer(world.issuer, world.resource, KeyRing(b"f" * 31 + b"g"), clock=world.clock)
    forged = forger.issue_access_token("ide", ["tools"], make_jti(b"?" * 16, 1, "access"))
    made_up = "mc2." + "A" * 120
    async with replica(world, secret=NEW) as without:
        client = without.seen_by(user.client)
        assert (await client.call(forged)).status_code == 401
        client.client_id = made_up
        answer = await client.refresh("anything")
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_grant_that_is_over_is_no_reason_to_doubt(world: World) -> None:
    user = await logged_in(world, await world.client())
    assert (await user.client.revoke(user.refresh)).status_code == 200
    async with replica(world, secret=NEW) as without:
        assert (await without.seen_by(user.client).call(user.access)).status_code == 401


async def test_with_the_secret_given_up_clients_register_and_log_in_again(world: World) -> None:
    user = await logged_in(world, await world.client())
    async with replica(world, secret=NEW) as without:
        needs = without.running.secret_needs
        [need] = await needs.missing()
        assert (need.grants, need.sealed, need.signed, need.registered) == (1, 1, 1, 0)
        assert await needs.give_up([bytes.fromhex(need.secret_id)]) == 1
        assert await needs.missing() == []
    async with replica(world, secret=NEW) as started_again:
        client = started_again.seen_by(user.client)
        assert (await client.call(user.access)).status_code == 401
        answer = await client.refresh(user.refresh)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_secret_that_nothing_needs_is_forgotten_after_a_day(world: World) -> None:
    client = await world.client()
    async with replica(world, secret=NEW) as without:
        needs = without.running.secret_needs
        await needs.review(now=world.clock())
        assert len(await needs.register.missing()) == 1  # it may be the newer one
        await needs.review(now=world.clock() + 86400)
        assert await needs.register.missing() == {}
    async with replica(world, secret=NEW) as started_again:
        answer = await started_again.seen_by(client).refresh("anything")
        assert answer.json()["error"] == "invalid_client"
