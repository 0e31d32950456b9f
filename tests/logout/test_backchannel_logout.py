"""``/backchannel-logout``: a logout at the provider ends logins here, on every replica."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from joserfc import jwk

from mintage.errors import StoreUnavailable
from mintage.events.event import Event, Subject
from mintage.events.grants import GrantEnded
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import OAuthClient, approve
from tests.support.logout_tokens import logout_claims, logout_token, signed
from tests.support.replicas import Replica, replica
from tests.support.world import World

SHARED = pytest.mark.parametrize(
    "world_store",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ],
    indirect=True,
)
SOON = 1.0  # seconds until the other replica refuses


@dataclass
class LoggedIn:
    client: OAuthClient
    tokens: dict[str, Any]

    async def status(self, at: Replica | None = None) -> int:
        """What a request with the access token gets: at the world's server, or *at* a replica."""
        client = self.client if at is None else at.seen_by(self.client)
        return (await client.call(self.tokens["access_token"])).status_code

    async def is_refused(self, at: Replica | None = None) -> bool:
        """Whether the access token is refused within `SOON`, and then the refresh token."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SOON
        while await self.status(at) != 401:
            if loop.time() > until:
                return False
            await asyncio.sleep(0.01)
        client = self.client if at is None else at.seen_by(self.client)
        refused = await client.refresh(self.tokens["refresh_token"])
        return refused.status_code == 400 and refused.json()["error"] == "invalid_grant"


async def log_in(world: World, *, sid: str | None = None, user: str = "alice") -> LoggedIn:
    world.upstream.user = user
    world.upstream.claims["sid"] = sid
    client = await world.client()
    async with world.browser() as browser:
        return LoggedIn(client, await client.tokens(browser))


async def send(
    world: World, token: str, at: Replica | None = None, **fields: str
) -> httpx2.Response:
    http = world.http if at is None else at.http
    form = {"logout_token": token} | fields
    return await http.post(f"{world.issuer}/backchannel-logout", data=form)


@pytest.fixture
async def other(world: World) -> AsyncIterator[Replica]:
    async with replica(world) as running:
        yield running


@SHARED
class TestOverTwoReplicas:
    @pytest.mark.parametrize(
        "named", [{"sub": "alice"}, {"sub": None, "sid": "s1"}, {"sub": "alice", "sid": "s1"}]
    )
    async def test_a_logout_is_noticed_on_both_replicas(
        self, world: World, other: Replica, named: dict[str, Any]
    ) -> None:
        alice = await log_in(world, sid="s1")
        bob = await log_in(world, sid="s2", user="bob")
        for each in (alice, bob):
            assert [await each.status(), await each.status(other)] == [200, 200]
        answer = await send(world, logout_token(world.upstream, **named), other)
        assert (answer.status_code, answer.content) == (200, b"")
        assert "no-store" in answer.headers["cache-control"]
        assert await alice.is_refused(other)
        assert await alice.is_refused()
        assert [await bob.status(), await bob.status(other)] == [200, 200]

    async def test_attack_b15_a_token_works_once_on_whatever_replica(
        self, world: World, other: Replica
    ) -> None:
        token = logout_token(world.upstream)
        assert (await send(world, token)).status_code == 200
        world.clock.advance(1)
        again = await log_in(world)
        for at in (None, other):
            refused = await send(world, token, at)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
        assert await again.status() == 200


async def test_one_session_ends_and_the_users_other_session_does_not(world: World) -> None:
    first, second = await log_in(world, sid="s1"), await log_in(world, sid="s2")
    assert (await send(world, logout_token(world.upstream, sid="s1"))).status_code == 200
    assert await first.is_refused()
    assert await second.status() == 200


async def test_all_clients_of_a_session_are_logged_out(world: World) -> None:
    logins = [await log_in(world, sid="s1") for _ in range(3)]
    await send(world, logout_token(world.upstream, sub=None, sid="s1"))
    assert [await each.is_refused() for each in logins] == [True] * 3


async def test_a_login_that_does_not_say_its_session_ends_with_any(world: World) -> None:
    """One from before an upgrade, or at a provider that puts no sid into id_tokens."""
    unknown = await log_in(world)
    await send(world, logout_token(world.upstream, sid="s1"))
    assert await unknown.is_refused()


async def test_the_session_of_a_login_is_kept_through_refreshes(world: World) -> None:
    login = await log_in(world, sid="s1")
    world.upstream.claims["sid"] = "another"
    world.clock.advance(3590)  # the provider's token is renewed too
    login.tokens = (await login.client.refresh(login.tokens["refresh_token"])).json()
    await send(world, logout_token(world.upstream, sub=None, sid="s1"))
    assert await login.is_refused()


async def test_the_providers_tokens_are_revoked(world: World) -> None:
    login = await log_in(world, sid="s1")
    assert await login.status() == 200
    await send(world, logout_token(world.upstream, sid="s1"))
    await world.running.revoker.drain()
    assert world.upstream.seen["revoke"] == 1
    assert not any(map(world.upstream.is_live, world.upstream.issued))


async def test_each_login_that_ends_is_a_security_event(world: World) -> None:
    await log_in(world, sid="s1")
    await log_in(world, sid="s1")
    events: list[Event] = []
    world.running.events.attach(events.append)
    await send(world, logout_token(world.upstream, sid="s1"))
    assert [type(event) for event in events] == [GrantEnded, GrantEnded]
    for event in events:
        assert isinstance(event, GrantEnded)
        assert (event.by, event.reason) == ("provider", "backchannel_logout")
        assert event.party.subject == Subject(world.upstream.issuer, "alice")


async def test_a_logout_of_somebody_who_is_not_logged_in_succeeds(world: World) -> None:
    for named in ({"sub": "nobody"}, {"sub": None, "sid": "unknown"}):
        assert (await send(world, logout_token(world.upstream, **named))).status_code == 200


async def test_a_code_that_was_not_redeemed_yet_is_worth_nothing(world: World) -> None:
    world.upstream.claims["sid"] = "s1"
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    await send(world, logout_token(world.upstream, sub=None, sid="s1"))
    refused = await client.redeem(login, code)
    assert refused.json()["error"] == "invalid_grant"


async def test_a_login_that_a_logout_overtakes_is_refused(world: World) -> None:
    """The provider's code was given, then came the logout, and then the browser with the code."""
    await send(world, logout_token(world.upstream, sub=None, sid="s1"))
    world.upstream.claims["sid"] = "s1"
    client = await world.client()
    async with world.browser() as browser:
        landed = await approve(browser, client.authorization().url)
    assert landed.status == 400
    assert "try again" in landed.text
    assert [each async for each in world.running.vault.listing.find()] == []
    world.clock.advance(1)
    assert await (await log_in(world, sid="s1")).status() == 200  # a login after the logout


async def test_an_outage_of_the_store_is_no_refusal_and_the_same_token_works_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, token = await log_in(world), logout_token(world.upstream)

    async def fails(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(world.running.store, "replace", fails)
        answer = await send(world, token)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert "retry-after" in answer.headers
    assert await login.status() == 200
    assert (await send(world, token)).status_code == 200
    assert await login.is_refused()


async def test_an_outage_of_the_provider_is_no_refusal(world: World) -> None:
    token = logout_token(world.upstream)
    world.upstream.faults["discovery"] = world.upstream.faults["jwks"] = "503"
    async with replica(world) as fresh:
        answer = await send(world, token, fresh)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


class TestB15ForgedLogoutTokens:
    async def refused(self, world: World, token: str) -> None:
        login = await log_in(world, sid="s1")
        answer = await send(world, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "no-store" in answer.headers["cache-control"]
        assert await login.status() == 200

    async def test_attack_b15_signed_by_another_key(self, world: World) -> None:
        async with FakeUpstream(world.clock, issuer=world.upstream.issuer).running() as stranger:
            stranger.key = jwk.RSAKey.generate_key(2048, auto_kid=True)
            await self.refused(world, logout_token(stranger))
            header = {"kid": world.upstream.key.kid}
            await self.refused(world, signed(stranger, logout_claims(stranger), **header))

    async def test_attack_b15_unsigned_or_signed_with_a_public_key(self, world: World) -> None:
        good = logout_token(world.upstream)
        _, payload, signature = good.split(".")
        none = "eyJhbGciOiJub25lIiwidHlwIjoibG9nb3V0K2p3dCJ9"
        for forged in (f"{none}.{payload}.", f"{none}.{payload}.{signature}", good[:-8] + "A" * 8):
            await self.refused(world, forged)

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "https://other.example"},
            {"aud": "another client"},
            {"nonce": "n"},
            {"events": None},
            {"events": {"urn:another": {}}},
            {"jti": None},
            {"sub": None},
        ],
        ids=str,
    )
    async def test_attack_b15_a_token_for_another_purpose(
        self, world: World, changes: dict[str, Any]
    ) -> None:
        await self.refused(world, logout_token(world.upstream, **changes))

    async def test_attack_b15_an_old_token(self, world: World) -> None:
        token = logout_token(world.upstream, exp=int(world.clock()) + 86_400)
        world.clock.advance(700)
        await self.refused(world, token)

    async def test_attack_b15_an_id_token(self, world: World) -> None:
        claims = logout_claims(world.upstream, events=None, jti=None, nonce="n", sid="s1")
        await self.refused(world, signed(world.upstream, claims, typ="JWT"))

    async def test_attack_b15_no_token_two_tokens_a_query_or_a_large_body(
        self, world: World
    ) -> None:
        good, url = logout_token(world.upstream), f"{world.issuer}/backchannel-logout"
        post = world.http.post
        answers = [
            await post(url, data={}),
            await post(url, data={"logout_token": [good, good]}),
            await post(f"{url}?logout_token={good}", data={}),
            await post(url, json={"logout_token": good}),
            await post(url, data={"logout_token": good + "A" * 17_000}),
            await post(url, data={"logout_token": "A" * 100_000}),
            await world.http.get(url),
        ]
        assert Counter(each.status_code for each in answers) == {400: 5, 413: 1, 405: 1}
        assert {each.headers["cache-control"] for each in answers} == {"no-store"}

    async def test_attack_b15_forged_tokens_cause_few_requests_to_the_provider(
        self, world: World
    ) -> None:
        """Keys are read again for an unknown one, but only once in ten seconds."""
        await log_in(world)
        before = world.upstream.seen["jwks"]
        header = {"kid": "unknown", "alg": "RS256"}
        for _ in range(20):
            forged = signed(world.upstream, logout_claims(world.upstream), **header)[:-8] + "A" * 8
            assert (await send(world, forged)).status_code == 400
            world.clock.advance(1)
        assert world.upstream.seen["jwks"] - before <= 3

    async def test_attack_b15_a_forged_token_while_the_key_set_does_not_answer(
        self, world: World
    ) -> None:
        """It waits for the keys that it names. A good token does not wait behind it."""
        await log_in(world)
        world.clock.advance(11)
        world.upstream.faults["jwks"] = "hang"
        seen = world.upstream.seen["jwks"]
        forged = logout_token(world.upstream)[:-8] + "A" * 8
        waiting = asyncio.create_task(send(world, forged))
        async with asyncio.timeout(5):
            while world.upstream.seen["jwks"] == seen:
                await asyncio.sleep(0.01)
            assert (await send(world, logout_token(world.upstream))).status_code == 200
        assert not waiting.done()
        world.upstream.release.set()
        await waiting

    async def test_attack_b15_ten_at_once_succeed_once(self, world: World) -> None:
        token = logout_token(world.upstream)
        answers = await asyncio.gather(*(send(world, token) for _ in range(10)))
        assert Counter(each.status_code for each in answers) == {200: 1, 400: 9}


@asynccontextmanager
async def beside(world: World) -> AsyncIterator[tuple[Replica, FakeUpstream]]:
    """A server at two providers, of which the second is new."""
    async with FakeUpstream(world.clock).running() as second:
        each = {"client_id": "mintage", "client_secret": "env:UPSTREAM_SECRET"}
        upstreams = [
            each | {"name": "first", "issuer": world.upstream.issuer, "legacy_default": True},
            each | {"name": "second", "issuer": second.issuer},
        ]
        async with replica(world, upstream=upstreams) as running:
            yield running, second


@pytest.mark.parametrize("world_store", ["sqlite"], indirect=True)
async def test_attack_b15_one_provider_speaks_for_no_user_of_another(world: World) -> None:
    login = await log_in(world, sid="s1")
    async with beside(world) as (both, second):
        path = f"{world.issuer}/backchannel-logout"
        for url, statuses in ((path, 400), (f"{path}/second", 200)):
            for named in ({"sub": "alice"}, {"sub": "first|alice"}, {"sub": None, "sid": "s1"}):
                form = {"logout_token": logout_token(second, **named)}
                assert (await both.http.post(url, data=form)).status_code == statuses
        assert await login.status(both) == 200
        assert (await both.http.post(f"{path}/first", data={})).status_code == 404
        form = {"logout_token": logout_token(world.upstream, sid="s1")}
        assert (await both.http.post(path, data=form)).status_code == 200
        assert await login.is_refused(both)
