"""What a backend is told of the user, and with which token: for each resource its own way."""

import asyncio
import gc
import secrets
from collections.abc import Sized
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwk, jwt

from mintage.app.opening import open_vault
from mintage.errors import ConfigError
from mintage.gateway.forward_auth import ForwardAuth
from mintage.grants.states import UpstreamTokens
from mintage.resource.bearer import Access
from mintage.settings.load import parse
from mintage.testing.oauth_client import answer_of, approve
from mintage.upstream.protocol import Exchange, IdJag
from mintage.vault.settings import ProviderCalls
from mintage.vault.values import OpenGrant
from mintage.vault.vault import Vault
from tests.support.forge import P256, pem
from tests.support.world import THE_BACKEND, World


@pytest.fixture
def resource() -> dict[str, Any]:
    """Settings of the resource that a test wants otherwise: override this fixture."""
    return {"credential": "identity"}


@pytest.fixture
def overrides(resource: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "signing.pem").write_bytes(pem(P256))
    return {"tokens": {"signing_key": "file:signing.pem"}, "resource": [dict(resource)]}


async def logged_in(world: World) -> str:
    client = await world.client()
    async with world.browser() as browser:
        token: str = (await client.tokens(browser))["access_token"]
    return token


async def told(world: World, token: str, **headers: str) -> dict[str, str]:
    """The headers that the backend got."""
    answer = await call(world, token, **headers)
    assert answer.status_code == 200, answer.text
    seen: dict[str, str] = answer.json()["headers"]
    return seen


def another_replica(world: World) -> Vault:
    return open_vault(
        world.config,
        world.running.store,
        clock=world.clock,
        steady=world.clock,
        random_bytes=secrets.token_bytes,
        calls=ProviderCalls(),
    )


async def call(world: World, token: str, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await world.http.get(
        world.resource, headers={"authorization": f"Bearer {token}"} | named
    )


async def claims_of(world: World, signed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(header, claims) of what our published key has signed."""
    keys = jwk.KeySet.import_key_set((await world.http.get(f"{world.issuer}/jwks")).json())
    decoded = jwt.decode(signed, keys, algorithms=["ES256"])
    return decoded.header, decoded.claims


async def forgets(world: World, kept: Sized, where: str) -> None:
    """What is *kept* of a login goes when it ends, *where* that happens."""
    token, running = await logged_in(world), world.running
    await told(world, token)
    assert len(kept) == 1
    handle = running.tokens.read_access(token, world.resource).handle
    [listed] = [grant async for grant in running.vault.listing.find()]
    assert listed.summary is not None
    vault = running.vault if where == "here" else another_replica(world)
    await vault.revocation.revoke(handle, listed.summary.client_id)
    async with asyncio.timeout(20):
        while kept:
            await asyncio.sleep(0.01)


class TestSignedIdentityBehindAProxy:
    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        return {"path": "/mcp", "credential": "identity"}

    @pytest.fixture
    def overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        return overrides | {"gateway": {"forward_auth": "traefik"}}

    async def test_is_in_the_answer_and_kept_nowhere_else(self, world: World) -> None:
        token = await logged_in(world)
        asked = {
            "authorization": f"Bearer {token}",
            "x-forwarded-method": "GET",
            "x-forwarded-uri": "/mcp",
        }
        signed = world.running.gateway.proxy.credentials.signed
        for _ in range(2):
            answer = await world.http.get(f"http://127.0.0.1:{world.port}/verify", headers=asked)
            assert answer.status_code == 200
            assert answer.headers.get_list("x-forwarded-user") == ["alice"]
            [given] = answer.headers.get_list("x-identity-token")
            [of_grant] = signed.values()
            assert [kept.token for kept in of_grant.values()] == [given]
            every = [one for one in gc.get_objects() if type(one) is ForwardAuth]
            [endpoint] = [one for one in every if one._gateway is world.running.gateway]
            assert len(endpoint._told) == 1
            assert given not in repr(endpoint._told)
            world.clock.advance(31)


class TestSignedIdentity:
    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        return {"path": "/mcp", "backend": THE_BACKEND, "credential": "identity"}

    @pytest.fixture
    def overrides(self, overrides: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
        return overrides | {"store": f"sqlite://{tmp_path}/mintage.db"}

    @pytest.mark.parametrize("where", ["here", "on another replica"])
    async def test_is_forgotten_when_the_login_ends(self, world: World, where: str) -> None:
        await forgets(world, world.running.gateway.proxy.credentials.signed, where)

    async def test_that_has_expired_gives_way_to_another(self, world: World) -> None:
        token, signed = await logged_in(world), world.running.gateway.proxy.credentials.signed
        await told(world, token)
        [of_grant] = signed.values()
        [(question, kept)] = of_grant.items()
        for number in range(40):
            of_grant[number] = kept
        assert len(of_grant) == 16
        world.clock.advance(31)
        await told(world, token)
        assert next(iter(signed.values())).keys() == {question}

    async def test_of_a_login_that_has_ended_meanwhile_is_not_kept(self, world: World) -> None:
        token, running = await logged_in(world), world.running
        credentials = running.gateway.proxy.credentials
        handle = running.tokens.read_access(token, world.resource).handle
        opened = await running.vault.live.authenticate(handle)
        assert isinstance(opened, OpenGrant)
        await running.vault.revocation.revoke(handle, opened.grant.login.client_id)
        resource = world.running.site.resources[0]
        access = Access(opened, ("tools",), ends_at=int(world.clock()) + 60)
        headers = (await credentials.of(access, resource)).identity
        assert b"x-identity-token" in dict(headers)
        assert not credentials.signed

    async def test_says_who_it_is_for_this_backend_and_a_minute(self, world: World) -> None:
        token = await logged_in(world)
        header, claims = await claims_of(world, (await told(world, token))["x-identity-token"])
        assert header["typ"] == "identity+jwt"
        assert (claims["iss"], claims["aud"]) == (world.issuer, world.resource)
        assert (claims["sub"], claims["email"]) == ("alice", "alice@example.com")
        assert claims["iat"] == int(world.clock())
        assert claims["exp"] - claims["iat"] == 60

    async def test_is_signed_once_for_many_requests_and_anew_before_it_ends(
        self, world: World
    ) -> None:
        token = await logged_in(world)
        one, two = [(await told(world, token))["x-identity-token"] for _ in range(2)]
        world.clock.advance(31)
        later = (await told(world, token))["x-identity-token"]
        assert one == two != later

    async def test_is_no_access_token(self, world: World) -> None:
        signed = (await told(world, await logged_in(world)))["x-identity-token"]
        answer = await call(world, signed)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")

    async def test_attack_d08_a_client_can_not_send_one_of_its_own(self, world: World) -> None:
        token = await logged_in(world)
        mine = (await told(world, token))["x-identity-token"]
        seen = await told(world, token, x_identity_token="forged")
        assert seen["x-identity-token"] == mine


class TestSignedIdentityForSomebodyNamed:
    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        return {
            "path": "/mcp",
            "backend": THE_BACKEND,
            "credential": "identity",
            "backend_audience": "https://notes.internal",
        }

    async def test_has_that_audience(self, world: World) -> None:
        signed = (await told(world, await logged_in(world)))["x-identity-token"]
        assert (await claims_of(world, signed))[1]["aud"] == "https://notes.internal"


class TestExchange:
    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        return {
            "path": "/mcp",
            "backend": THE_BACKEND,
            "credential": "exchange",
            "exchange": {"audience": "notes", "scope": "read"},
        }

    @pytest.fixture
    def overrides(self, resource: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
        return {"resource": [resource], "store": f"sqlite://{tmp_path}/mintage.db"}

    async def test_the_backend_gets_a_token_for_its_own_audience(self, world: World) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        token = await logged_in(world)
        first = (await told(world, token))["authorization"]
        assert first.startswith("Bearer exchanged-notes-")
        (asked,) = [form for form in world.upstream.forms if "subject_token" in form]
        assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert asked["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        assert asked["scope"] == "read"
        assert (await told(world, token))["authorization"] == first
        world.clock.advance(91)  # it lasts two minutes: half a minute before, there is another
        assert (await told(world, token))["authorization"] != first

    async def test_ten_requests_at_once_ask_once(self, world: World) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        token = await logged_in(world)
        seen = await asyncio.gather(*(told(world, token) for _ in range(10)))
        assert len({headers["authorization"] for headers in seen}) == 1
        assert len([form for form in world.upstream.forms if "subject_token" in form]) == 1

    @pytest.mark.parametrize("where", ["here", "on another replica"])
    async def test_it_is_forgotten_when_the_login_ends(self, world: World, where: str) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        await forgets(world, world.running.gateway.proxy.credentials.exchanged, where)

    async def test_one_that_comes_after_the_login_has_ended_is_not_kept(self, world: World) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        token, running = await logged_in(world), world.running
        credentials = running.gateway.proxy.credentials
        ask = credentials.exchanger

        async def slowly(tokens: UpstreamTokens, wanted: Exchange | IdJag) -> UpstreamTokens:
            [listed] = [grant async for grant in running.vault.listing.find()]
            await running.vault.revocation.end(listed)
            return await ask(tokens, wanted)

        credentials.exchanger = slowly
        await call(world, token)
        assert not credentials.exchanged

    async def test_one_that_has_expired_is_dropped_when_another_comes(self, world: World) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        await told(world, await logged_in(world))
        world.clock.advance(91)
        await told(world, await logged_in(world))
        assert len(world.running.gateway.proxy.credentials.exchanged) == 1

    async def test_a_refusal_is_no_outage_and_ends_no_login(self, world: World) -> None:
        token = await logged_in(world)
        answer = await call(world, token)
        assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
        world.upstream.exchanges = frozenset({"notes"})
        assert (await call(world, token)).status_code == 200

    async def test_an_outage_is_no_refusal(self, world: World) -> None:
        token = await logged_in(world)
        world.upstream.faults["token"] = "503"
        answer = await call(world, token)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


class TestExchangeForTwoResources:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        def resource(name: str) -> dict[str, Any]:
            return {
                "path": f"/{name}",
                "backend": THE_BACKEND,
                "credential": "exchange",
                "backend_audience": "https://notes.internal",
                "exchange": {"audience": "notes", "scope": name},
            }

        return {"resource": [resource("read"), resource("admin")]}

    async def test_attack_e13_another_question_is_another_token(self, world: World) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        client = await world.client()
        login = client.authorization(resource=None)
        names = [f"{world.issuer}/{path}" for path in ("read", "admin")]
        url = login.url + "".join(f"&resource={name}" for name in names)
        async with world.browser() as browser:
            code = answer_of(await approve(browser, url))["code"]
        tokens = (await client.redeem(login, code)).json()
        given: dict[str, str] = {}
        for name in names:
            tokens = (await client.refresh(tokens["refresh_token"], resource=name)).json()
            bearer = {"authorization": f"Bearer {tokens['access_token']}"}
            told = (await world.http.get(name, headers=bearer)).json()["headers"]
            given[name] = told["authorization"]
        assert len(set(given.values())) == 2
        asked = [form["scope"] for form in world.upstream.forms if "subject_token" in form]
        assert asked == ["read", "admin"]


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        ({"credential": "exchange"}, "resource[0].exchange"),
        ({"exchange": {"audience": "x"}}, "resource[0].exchange"),
        ({"credential": "exchange", "exchange": {"scope": "x"}}, "resource[0].exchange"),
        (
            {
                "credential": "exchange",
                "exchange": {"audience": "x", "token_endpoint": "http://idp.example/token"},
            },
            "resource[0].exchange.token_endpoint",
        ),
    ],
)
def test_settings_that_cannot_be_meant(resource: dict[str, Any], key: str) -> None:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp"} | resource],
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, base=Path(), environ={})
    assert caught.value.key == key
