"""ATTACKS, section F: what is tried with token exchange (RFC 8693)."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.grants.delegation import MAX_ACTORS
from tests.support.dpop import BoundClient, Prover
from tests.support.exchanging import (
    ACCESS_TOKEN,
    GRANT_TYPE,
    JWT,
    SECRETS,
    call,
    exchange,
    exchanged,
    identity_at,
    logged_in,
    payload,
    refusal,
    settings,
)
from tests.support.forge import ED25519, compact, segment, token_with
from tests.support.world import World


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    return settings(tmp_path)


async def users_token(world: World, **parameters: str | None) -> str:
    _, tokens = await logged_in(world, **parameters)
    token: str = tokens["access_token"]
    return token


class TestF60ScopesThatGrow:
    @pytest.mark.parametrize("asked", ["files.write", "files.read files.write", "tools", "admin"])
    async def test_attack_f60_beyond_what_the_operator_lets_the_backend(
        self, world: World, asked: str
    ) -> None:
        answer = await exchange(world, "notes", await users_token(world), "/files", scope=asked)
        assert refusal(answer) == (400, "invalid_scope")

    async def test_attack_f60_beyond_what_the_users_token_has(self, world: World) -> None:
        token = await users_token(world, scope="tools mail.send")
        answer = await exchange(world, "notes", token, "/files", scope="files.read")
        assert refusal(answer) == (400, "invalid_scope")
        body = await exchanged(world, "notes", token, "/files")
        assert body["scope"] == "mail.send"
        assert (await call(world, "/files", body["access_token"])).status_code == 403

    async def test_attack_f60_beyond_a_refresh_that_asked_for_less(self, world: World) -> None:
        client, tokens = await logged_in(world)
        narrow = (await client.refresh(tokens["refresh_token"], scope="tools")).json()
        answer = await exchange(world, "notes", narrow["access_token"], "/files")
        assert refusal(answer) == (400, "invalid_scope")

    async def test_attack_f60_at_the_next_link_of_a_chain(self, world: World) -> None:
        token = await users_token(world)
        first = await exchanged(world, "notes", token, "/files", scope="files.read")
        answer = await exchange(world, "files", first["access_token"], "/mail")
        assert refusal(answer) == (400, "invalid_scope")

    async def test_attack_f60_through_the_signed_identity(self, world: World) -> None:
        token = await users_token(world)
        first = await exchanged(world, "notes", token, "/files", scope="files.read")
        signed = await identity_at(world, "/files", first["access_token"])
        answer = await exchange(world, "files", signed, "/mail", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_scope")


class TestF61ChainsWithoutEnd:
    async def test_attack_f61_a_token_is_passed_on_a_few_times_and_not_more(
        self, world: World
    ) -> None:
        token = (await exchanged(world, "notes", await users_token(world), "/files"))[
            "access_token"
        ]
        token = (await exchanged(world, "files", token, "/mail"))["access_token"]
        for _ in range(MAX_ACTORS - 2):
            token = (await exchanged(world, "mail", token, "/mail"))["access_token"]
        answer = await exchange(world, "mail", token, "/mail")
        assert refusal(answer) == (400, "invalid_request")
        signed = await identity_at(world, "/mail", token)
        answer = await exchange(world, "mail", signed, "/mail", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_request")


class TestF62WhatHasEnded:
    async def test_attack_f62_a_token_of_a_revoked_grant(self, world: World) -> None:
        client, tokens = await logged_in(world)
        signed = await identity_at(world, "/mcp", tokens["access_token"])
        await client.revoke(tokens["refresh_token"])
        answer = await exchange(world, "notes", tokens["access_token"], "/files")
        assert refusal(answer) == (400, "invalid_request")
        answer = await exchange(world, "notes", signed, "/files", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_request")

    async def test_attack_f62_an_expired_token_within_the_leeway_of_clocks(
        self, world: World
    ) -> None:
        token = await users_token(world)
        world.clock.advance(3600)
        answer = await exchange(world, "notes", token, "/files")
        assert refusal(answer) == (400, "invalid_request")

    async def test_attack_f62_an_exchanged_token_outlives_nothing(self, world: World) -> None:
        token = await users_token(world)
        for _ in range(3):
            world.clock.advance(250)
            first = await exchanged(world, "notes", token, "/files")
        world.clock.advance(250)
        second = await exchanged(world, "files", first["access_token"], "/mail")
        assert payload(second["access_token"])["exp"] == payload(first["access_token"])["exp"]

    async def test_attack_f62_a_token_that_its_backend_has_revoked(self, world: World) -> None:
        first = await exchanged(world, "notes", await users_token(world), "/files")
        signed = await identity_at(world, "/files", first["access_token"])
        await world.http.post(
            f"{world.issuer}/revoke",
            data={"token": first["access_token"]},
            auth=("notes", SECRETS["notes"]),
        )
        for token, kind in ((first["access_token"], {}), (signed, {"subject_token_type": JWT})):
            answer = await exchange(world, "files", token, "/mail", **kind)
            assert refusal(answer) == (400, "invalid_request")


class TestF63SomebodyElse:
    async def test_attack_f63_the_token_of_another_resource(self, world: World) -> None:
        """A backend exchanges only what came for its own resource."""
        token = await users_token(world)
        answer = await exchange(world, "files", token, "/mail")
        assert refusal(answer) == (400, "invalid_request")
        signed = await identity_at(world, "/mcp", token)
        answer = await exchange(world, "files", signed, "/mail", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_request")

    @pytest.mark.parametrize("method", ["none", "client_secret_post"])
    async def test_attack_f63_a_client_that_registered_itself(
        self, world: World, method: str
    ) -> None:
        token = await users_token(world)
        client = await world.client(
            token_endpoint_auth_method=method, grant_types=["authorization_code", GRANT_TYPE]
        )
        answer = await client.token(
            grant_type=GRANT_TYPE,
            subject_token=token,
            subject_token_type="urn:ietf:params:oauth:token-type:access_token",
            resource=f"{world.issuer}/files",
        )
        assert refusal(answer) == (400, "unauthorized_client")

    async def test_attack_f63_without_the_backends_secret(self, world: World) -> None:
        token = await users_token(world)
        sent = {
            "grant_type": GRANT_TYPE,
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "resource": f"{world.issuer}/files",
        }
        answer = await world.http.post(f"{world.issuer}/token", data=sent | {"client_id": "notes"})
        assert refusal(answer) == (401, "invalid_client")
        answer = await world.http.post(
            f"{world.issuer}/token", data=sent, auth=("notes", SECRETS["files"])
        )
        assert refusal(answer) == (401, "invalid_client")


class TestF64OtherKindsOfTokens:
    async def test_attack_f64_a_refresh_token(self, world: World) -> None:
        _, tokens = await logged_in(world)
        answer = await exchange(world, "notes", tokens["refresh_token"], "/files")
        assert refusal(answer) == (400, "invalid_request")
        as_kind = "urn:ietf:params:oauth:token-type:refresh_token"
        answer = await exchange(
            world, "notes", tokens["refresh_token"], "/files", subject_token_type=as_kind
        )
        assert refusal(answer) == (400, "invalid_request")

    @pytest.mark.parametrize("kind", ["id_token", "saml1", "saml2", "id-jag", "session"])
    async def test_attack_f64_a_kind_that_is_not_known(self, world: World, kind: str) -> None:
        answer = await exchange(
            world,
            "notes",
            await users_token(world),
            "/files",
            subject_token_type=f"urn:ietf:params:oauth:token-type:{kind}",
        )
        assert refusal(answer) == (400, "invalid_request")

    async def test_attack_f64_one_kind_as_the_other(self, world: World) -> None:
        token = await users_token(world)
        signed = await identity_at(world, "/mcp", token)
        answer = await exchange(world, "notes", signed, "/files")
        assert refusal(answer) == (400, "invalid_request")
        answer = await exchange(world, "notes", token, "/files", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_request")

    async def test_attack_f64_tokens_of_strangers(self, world: World) -> None:
        """Signed with another key, by another issuer, or by nobody."""
        _, tokens = await logged_in(world)
        claims = payload(tokens["access_token"])
        unsigned = f"{segment(compact({'alg': 'none'}))}.{segment(compact(claims))}."
        for forged in (token_with(**claims), unsigned, "no.token.at.all", "x" * 20_000):
            for kind in ({}, {"subject_token_type": JWT}):
                answer = await exchange(world, "notes", forged, "/files", **kind)
                assert refusal(answer) == (400, "invalid_request")

    async def test_attack_f64_a_signed_identity_that_a_backend_has_changed(
        self, world: World
    ) -> None:
        """Its signature is another key's, or missing."""
        signed = await identity_at(world, "/mcp", await users_token(world))
        head, body, _ = signed.split(".")
        mine = ED25519.sign(f"{head}.{body}".encode())
        for forged in (f"{head}.{body}.{segment(mine)}", f"{head}.{body}."):
            answer = await exchange(world, "notes", forged, "/files", subject_token_type=JWT)
            assert refusal(answer) == (400, "invalid_request")

    async def test_attack_f64_the_exchanged_token_is_no_refresh_token(self, world: World) -> None:
        client, tokens = await logged_in(world)
        token = (await exchanged(world, "notes", tokens["access_token"], "/files"))["access_token"]
        assert refusal(await client.refresh(token)) == (400, "invalid_grant")


class TestF65OtherTargets:
    @pytest.mark.parametrize(
        "named",
        [
            {"resource": "/mail"},
            {"resource": "/mcp"},
            {"resource": "https://elsewhere.example/files"},
            {"audience": "files"},
            {"audience": ""},
            {"resource": "/files", "audience": "/mail"},
            {"resource": "/files", "audience": "identity-provider"},
        ],
    )
    async def test_attack_f65_a_resource_that_the_backend_may_not_ask(
        self, world: World, named: dict[str, str]
    ) -> None:
        token = await users_token(world)
        form = {
            name: f"{world.issuer}{value}" if value.startswith("/") else value
            for name, value in named.items()
        }
        answer = await exchange(world, "notes", token, **form)
        assert refusal(answer) == (400, "invalid_target")

    async def test_attack_f65_a_bound_resource_that_the_backend_may_not_ask(
        self, world: World
    ) -> None:
        """It is told what no proof would change, not to try again with one."""
        answer = await exchange(world, "notes", await users_token(world), "/bound")
        assert refusal(answer) == (400, "invalid_target")

    async def test_attack_f65_two_resources_at_once(self, world: World) -> None:
        body = httpx2.QueryParams(
            [
                ("grant_type", GRANT_TYPE),
                ("subject_token", await users_token(world)),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("resource", f"{world.issuer}/files"),
                ("resource", f"{world.issuer}/open"),
            ]
        )
        answer = await world.http.post(
            f"{world.issuer}/token",
            content=str(body),
            headers={"content-type": "application/x-www-form-urlencoded"},
            auth=("notes", SECRETS["notes"]),
        )
        assert refusal(answer) == (400, "invalid_target")


class TestF65UsersOfAnotherProvider:
    @pytest.fixture
    def overrides(self, tmp_path: Path, upstream: Any) -> dict[str, Any]:
        found = settings(tmp_path)
        one = {
            "name": "one",
            "issuer": upstream.issuer,
            "client_id": upstream.client_id,
            "client_secret": "env:UPSTREAM_SECRET",
        }
        found["upstream"] = [one, one | {"name": "two", "issuer": "https://two.example"}]
        found["resource"][1]["upstreams"] = ["two"]
        return found

    async def test_attack_f65_a_resource_that_this_user_could_not_log_in_for(
        self, world: World
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login = client.authorization(scope="tools files.read", acr_values="idp:one")
            page = await browser.open(login.url)
            landed = await browser.submit(page, {"decision": "approve", "upstream": "one"})
            code = httpx2.URL(landed.url).params["code"]
        token = (await client.redeem(login, code)).json()["access_token"]
        assert (await call(world, "/mcp", token)).status_code == 200
        assert refusal(await exchange(world, "notes", token, "/files")) == (400, "invalid_target")
        assert (await exchange(world, "notes", token, "/open")).status_code == 200


class TestF66TheTokenOfTheProvider:
    async def test_attack_f66_without_the_operators_permission(self, world: World) -> None:
        token = await users_token(world)
        answer = await exchange(world, "notes", token, audience="identity-provider")
        assert refusal(answer) == (400, "invalid_target")
        assert not set(world.upstream.issued) & set(answer.text.split('"'))


class TestF67MayAct:
    @pytest.fixture
    def overrides(self, tmp_path: Path) -> dict[str, Any]:
        found = settings(tmp_path)
        found["client"][0]["token_exchange"]["target"][0]["may_act"] = "mail"
        return found

    async def test_attack_f67_another_client_than_the_one_that_may(self, world: World) -> None:
        """RFC 8693 §4.4."""
        first = await exchanged(world, "notes", await users_token(world), "/files")
        assert payload(first["access_token"])["may_act"] == {"sub": "mail"}
        answer = await exchange(world, "files", first["access_token"], "/mail")
        assert refusal(answer) == (400, "invalid_request")
        signed = await identity_at(world, "/files", first["access_token"])
        answer = await exchange(world, "files", signed, "/mail", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_request")


class TestF68ActorTokens:
    @pytest.mark.parametrize(
        "sent",
        [
            {"actor_token": "x"},
            {"actor_token_type": "urn:ietf:params:oauth:token-type:jwt"},
            {"actor_token": "x", "actor_token_type": "urn:ietf:params:oauth:token-type:jwt"},
        ],
    )
    async def test_attack_f68_spec124_nobody_acts_but_who_authenticates(
        self, world: World, sent: dict[str, str]
    ) -> None:
        answer = await exchange(world, "notes", await users_token(world), "/files", **sent)
        assert refusal(answer) == (400, "invalid_request")


class TestF69TheUsersLogin:
    async def test_attack_f69_a_backend_ends_no_login(self, world: World) -> None:
        client, tokens = await logged_in(world)
        first = await exchanged(world, "notes", tokens["access_token"], "/files")
        for token in (first["access_token"], tokens["access_token"], tokens["refresh_token"]):
            answer = await world.http.post(
                f"{world.issuer}/revoke", data={"token": token}, auth=("notes", SECRETS["notes"])
            )
            assert answer.status_code == 200
        assert (await client.call(tokens["access_token"])).status_code == 200
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200


class TestF54BoundSubjectTokens:
    """The subject token shows whom the backend acts for; the backend itself is authenticated.

    It can't have the user's key: a proof shows who sends a request (RFC 9449 §7), and a subject
    token is no credential of the sender (RFC 8693 §2.1).
    """

    async def _bound(self, world: World) -> str:
        client = BoundClient(await world.client(), world.clock)
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope="tools files.read")
        assert "cnf" in payload(tokens["access_token"])
        return str(tokens["access_token"])

    async def test_spec122_the_new_token_is_bound_to_the_backends_own_key(
        self, world: World
    ) -> None:
        token, backend, uri = await self._bound(world), Prover.fresh(), f"{world.issuer}/token"
        form = {
            "grant_type": GRANT_TYPE,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
        }
        answer = await world.http.post(
            uri,
            data=form | {"resource": f"{world.issuer}/files"},
            auth=("notes", SECRETS["notes"]),
            headers={"dpop": backend.proof("POST", uri, now=world.clock())},
        )
        body = answer.raise_for_status().json()
        assert body["token_type"] == "DPoP"
        assert payload(body["access_token"])["cnf"] == {"jkt": backend.thumbprint}
        assert (await call(world, "/files", body["access_token"])).status_code == 401
        files = f"{world.issuer}/files"
        sent = backend.headers("GET", files, body["access_token"], now=world.clock())
        assert (await world.http.get(files, headers=sent)).status_code == 200

    async def test_spec122_without_a_proof_it_is_a_bearer_token_of_the_backend(
        self, world: World
    ) -> None:
        body = await exchanged(world, "notes", await self._bound(world), "/files")
        assert body["token_type"] == "Bearer"
        assert "cnf" not in payload(body["access_token"])
        assert payload(body["access_token"])["act"] == {"sub": "notes"}

    async def test_attack_f54_a_thief_cannot_exchange_a_bound_token(self, world: World) -> None:
        """Neither without a backend's secret, nor as the backend of another resource."""
        token = await self._bound(world)
        form = {
            "grant_type": GRANT_TYPE,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
        }
        for auth in (("notes", "wrong"), ("nobody", "wrong")):
            sent = form | {"resource": f"{world.issuer}/files"}
            answer = await world.http.post(f"{world.issuer}/token", data=sent, auth=auth)
            assert refusal(answer) == (401, "invalid_client")
        answer = await exchange(world, "files", token, "/mail")
        assert refusal(answer) == (400, "invalid_request")
