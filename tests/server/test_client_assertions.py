"""ATTACKS C06 for ``private_key_jwt``: at every endpoint, on every replica."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse, Response

from mintage.app import Mintage
from mintage.clients.keys import ALGORITHMS
from mintage.network.tls import trusted
from mintage.testing.oauth_client import OAuthClient
from tests.support.client_hosts import (
    REDIRECT_URI,
    ClientHost,
    Names,
    client_host,
    fetch_from_tests,
)
from tests.support.client_keys import claims_of, form_of, jwks, key, sign
from tests.support.world import World

CONFIGURED = "the-batch-client"
ANOTHER = "another-batch-client"


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Every claim is in a store that replicas share."""
    return {
        "store": "sqlite://shared.db",
        "client": [
            {"client_id": name, "redirect_uris": [REDIRECT_URI], "jwks": jwks(key())}
            for name in (CONFIGURED, ANOTHER)
        ],
    }


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def parts(names: Names) -> dict[str, Any]:
    return {"fetch": fetch_from_tests(names)}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ClientHost]:
    async with client_host(tmp_path) as one:
        yield one


class Signer:
    """A client that signs for itself."""

    def __init__(self, world: World, client_id: str, signing: Any = None) -> None:
        self.world = world
        self.client_id = client_id
        self.signing = signing
        self.client = OAuthClient(
            world.issuer, world.http, world.resource, client_id, redirect_uri=REDIRECT_URI
        )

    def assertion(self, **claims: Any) -> str:
        good = claims_of(
            self.client_id,
            now=self.world.clock(),
            issuer=self.world.issuer,
            jti=secrets.token_hex(8),
        )
        return sign(good | claims, self.signing)

    def form(self, **claims: Any) -> dict[str, str]:
        return form_of(self.assertion(**claims))


async def post(world: World, path: str, form: dict[str, str]) -> httpx2.Response:
    return await world.http.post(world.issuer + path, data=form)


def is_let_in(answer: httpx2.Response) -> bool:
    """Past client authentication, where a code or token of "x" is the next that is wrong."""
    if answer.status_code == 401:
        assert answer.json()["error"] == "invalid_client"
    return answer.status_code == 200 or answer.json()["error"] == "invalid_grant"


async def ask(
    world: World, form: dict[str, str], path: str = "/token", **other: str
) -> httpx2.Response:
    request = {"grant_type": "refresh_token", "refresh_token": "x", "token": "x"}
    return await post(world, path, request | form | other)


async def log_in(world: World, signer: Signer) -> dict[str, Any]:
    async with world.browser() as browser:
        login, code = await signer.client.log_in(browser)
    answer = await signer.client.redeem(login, code, **signer.form())
    tokens: dict[str, Any] = answer.raise_for_status().json()
    return tokens


async def test_a_configured_client_logs_in_refreshes_and_revokes(world: World) -> None:
    signer = Signer(world, CONFIGURED)
    tokens = await log_in(world, signer)
    refreshed = await signer.client.refresh(tokens["refresh_token"], **signer.form())
    assert refreshed.status_code == 200
    token = refreshed.json()["access_token"]
    assert (await signer.client.revoke(token, **signer.form())).status_code == 200
    assert (await signer.client.call(token)).status_code == 401


@pytest.mark.parametrize("way", ["jwks", "jwks_uri"])
async def test_a_published_client_logs_in(world: World, host: ClientHost, way: str) -> None:
    host.pages["/keys.json"] = JSONResponse(jwks(key()))
    where: dict[str, Any] = {"jwks": jwks(key()), "jwks_uri": host.url("/keys.json")}
    keys: Any = {way: where[way]}
    url = host.publish(token_endpoint_auth_method="private_key_jwt", **keys)
    signer = Signer(world, url)
    tokens = await log_in(world, signer)
    assert (await signer.client.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("way", ["jwks", "jwks_uri"])
async def test_a_registered_client_logs_in(world: World, host: ClientHost, way: str) -> None:
    host.pages["/keys.json"] = JSONResponse(jwks(key()))
    where: dict[str, Any] = {"jwks": jwks(key()), "jwks_uri": host.url("/keys.json")}
    metadata = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt"}
    client = await world.client(**metadata, **{way: where[way]})
    assert client.client_secret is None
    tokens = await log_in(world, Signer(world, client.client_id))
    assert (await client.call(tokens["access_token"])).status_code == 200


async def test_the_client_id_may_be_left_out_or_the_same(world: World) -> None:
    signer = Signer(world, CONFIGURED)
    for path in ("/token", "/revoke"):
        assert is_let_in(await ask(world, signer.form(), path))
        assert is_let_in(await ask(world, signer.form(), path, client_id=CONFIGURED))


async def test_attack_c06_the_same_rules_at_every_endpoint(world: World) -> None:
    signer = Signer(world, CONFIGURED)
    late = int(world.clock()) + 86400
    for path in ("/token", "/revoke"):
        wrong = [
            signer.form(aud=f"{world.issuer}/token"),
            signer.form(aud="https://other.example"),
            signer.form(exp=late),
            signer.form(exp=None),
            signer.form(jti=None),
            signer.form(iss="somebody"),
            Signer(world, CONFIGURED, key("ES256", "stranger")).form(),
            form_of("x"),
            {"client_id": CONFIGURED},
        ]
        for form in wrong:
            assert not is_let_in(await ask(world, form, path)), form


async def test_attack_c06_two_methods_at_once_are_refused(world: World) -> None:
    signer = Signer(world, CONFIGURED)
    for path in ("/token", "/revoke"):
        both = await ask(world, signer.form(), path, client_secret="x")
        header = await world.http.post(
            world.issuer + path,
            data={"grant_type": "refresh_token", "refresh_token": "x", "token": "x"}
            | signer.form(),
            headers={"authorization": "Basic eDp5"},
        )
        for answer in (both, header):
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_attack_c06_an_assertion_of_another_client_or_type_is_refused(
    world: World,
) -> None:
    signer = Signer(world, CONFIGURED)
    public = await world.client()
    assert not is_let_in(await ask(world, signer.form(), client_id=public.client_id))
    assert not is_let_in(await ask(world, Signer(world, public.client_id).form()))
    saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
    for kind in (saml, "", "jwt-bearer"):
        answer = await ask(world, signer.form(), client_assertion_type=kind)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_attack_c06_a_replayed_assertion_is_refused_at_any_endpoint(world: World) -> None:
    form = Signer(world, CONFIGURED).form()
    assert is_let_in(await ask(world, form))
    for path in ("/token", "/revoke", "/token"):
        replayed = await ask(world, form, path)
        assert replayed.status_code == 401
        assert "used before" in replayed.json()["error_description"]


async def test_attack_c06_of_ten_at_once_one_is_let_in(world: World) -> None:
    form = Signer(world, CONFIGURED).form()
    answers = await asyncio.gather(*(ask(world, form) for _ in range(10)))
    assert [is_let_in(answer) for answer in answers].count(True) == 1


async def test_attack_c06_a_replayed_assertion_is_refused_on_another_replica(
    world: World, names: Names
) -> None:
    async with replica(world, names) as elsewhere:
        here, there = (Signer(world, CONFIGURED).form(jti=jti) for jti in ("one", "two"))
        request = {"grant_type": "refresh_token", "refresh_token": "x"}
        assert is_let_in(await ask(world, here))
        assert not is_let_in(await elsewhere.post("/token", data=request | here))
        assert is_let_in(await elsewhere.post("/token", data=request | there))
        assert not is_let_in(await ask(world, there))


@asynccontextmanager
async def replica(world: World, names: Names) -> AsyncIterator[httpx2.AsyncClient]:
    """A second server with the same settings and the same database."""
    app = Mintage(world.config, clock=world.clock, fetch=fetch_from_tests(names))
    async with app.running():
        inside = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(
            verify=trusted(), transport=inside, base_url=world.issuer
        ) as http:
            yield http


async def test_attack_c06_one_clients_jti_is_not_anothers(world: World) -> None:
    """Nor can a client spend what another will say."""
    assert is_let_in(await ask(world, Signer(world, ANOTHER).form(jti="same")))
    assert is_let_in(await ask(world, Signer(world, CONFIGURED).form(jti="same")))


async def test_attack_c06_only_a_good_signature_writes(world: World) -> None:
    """A stranger can't spend a jti, and can't fill the store."""
    stranger = Signer(world, CONFIGURED, key("ES256", "stranger"))
    assert not is_let_in(await ask(world, stranger.form(jti="spent?")))
    assert is_let_in(await ask(world, Signer(world, CONFIGURED).form(jti="spent?")))


class TestE15WhatStrangersWrite:
    """Anybody may register keys and sign with them. That alone causes no write."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"store": "memory://"}

    async def stranger(self, world: World) -> Signer:
        client = await world.client(
            redirect_uris=[REDIRECT_URI],
            token_endpoint_auth_method="private_key_jwt",
            jwks=jwks(key()),
        )
        return Signer(world, client.client_id)

    async def test_attack_e15_an_assertion_is_claimed_for_no_request_that_earned_nothing(
        self, world: World
    ) -> None:
        signer = await self.stranger(world)
        victim = await world.client()
        async with world.browser() as browser:
            theirs = await victim.tokens(browser)
        before = world.stored()
        for named in ("x", theirs["refresh_token"], theirs["access_token"]):
            for path in ("/token", "/revoke", "/introspect"):
                for _ in range(3):
                    answer = await ask(world, signer.form(), path, refresh_token=named, token=named)
                    assert is_let_in(answer)
            code = {"grant_type": "authorization_code", "code": named, "code_verifier": "v" * 43}
            assert is_let_in(await ask(world, signer.form(), **code))
        assert world.stored() == before
        assert (await victim.refresh(theirs["refresh_token"])).status_code == 200

    async def test_attack_e15_what_a_login_earned_is_claimed_and_counts_once(
        self, world: World
    ) -> None:
        signer = await self.stranger(world)
        tokens = await log_in(world, signer)
        form = signer.form()
        first = await signer.client.refresh(tokens["refresh_token"], **form)
        refreshed = first.raise_for_status().json()["refresh_token"]
        for path in ("/token", "/revoke", "/introspect"):
            again = await ask(world, form, path, refresh_token=refreshed, token=refreshed)
            assert again.status_code == 401, path
            assert "used before" in again.json()["error_description"]
        asked = await ask(world, signer.form(), "/introspect", token=refreshed)
        assert asked.json()["active"] is True
        before = world.stored()
        assert (await signer.client.revoke(refreshed, **signer.form())).status_code == 200
        assert world.stored() == before + 1, "one claim; the grant is a record still"
        ended = await signer.client.refresh(refreshed, **signer.form())
        assert ended.json()["error"] == "invalid_grant"
        assert world.stored() == before + 1, "an ended grant earns nothing"

    async def test_attack_e15_ten_at_once_earn_once(self, world: World) -> None:
        signer = await self.stranger(world)
        async with world.browser() as browser:
            login, code = await signer.client.log_in(browser)
        form = signer.form()
        answers = await asyncio.gather(
            *(signer.client.redeem(login, code, **form) for _ in range(10))
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] + [401] * 9
        token = next(a for a in answers if a.status_code == 200).json()["access_token"]
        assert (await signer.client.call(token)).status_code == 200, "no replay of the code"


async def test_without_the_store_nobody_is_let_in_and_nobody_is_refused(world: World) -> None:
    """A jti that can't be claimed may have been used before."""
    await world.running.store.close()
    for path in ("/token", "/revoke"):
        answer = await ask(world, Signer(world, CONFIGURED).form(), path)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


async def test_a_client_that_changed_its_keys_is_let_in_with_the_new_ones(
    world: World, host: ClientHost
) -> None:
    """At once, though the old set is still fresh; and nobody makes us fetch it all the time."""
    old, new = key("ES256", "old"), key("ES256", "new")
    host.pages["/keys.json"] = JSONResponse(jwks(old), headers={"cache-control": "max-age=86400"})
    url = host.publish(
        token_endpoint_auth_method="private_key_jwt", jwks_uri=host.url("/keys.json")
    )
    assert is_let_in(await ask(world, Signer(world, url, old).form()))
    host.pages["/keys.json"] = JSONResponse(jwks(new))
    world.clock.advance(10)
    assert is_let_in(await ask(world, Signer(world, url, new).form(jti="a")))
    assert not is_let_in(await ask(world, Signer(world, url, old).form(jti="b")))
    assert [path for _, path in host.seen].count("/keys.json") == 2


async def test_a_key_host_that_is_away_is_an_outage_and_no_refusal(
    world: World, host: ClientHost
) -> None:
    host.pages["/keys.json"] = Response(status_code=502)
    url = host.publish(
        token_endpoint_auth_method="private_key_jwt", jwks_uri=host.url("/keys.json")
    )
    answer = await ask(world, Signer(world, url).form())
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


async def test_spec093_metadata_names_the_method_and_its_algorithms(world: World) -> None:
    metadata = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
    for endpoint in ("token", "revocation"):
        assert "private_key_jwt" in metadata.json()[f"{endpoint}_endpoint_auth_methods_supported"]
        algorithms = metadata.json()[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert algorithms == list(ALGORITHMS)
