"""Tokens that are bound to a key (RFC 9449), login to gateway: CHECKLIST 120 to 123."""

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest

from mintage.dpop.keys import ALGORITHMS
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of, approve
from tests.support.dpop import BoundClient, Prover, hash_of
from tests.support.world import THE_BACKEND, World


@pytest.fixture
def overrides() -> dict[str, Any]:
    resource = {"backend": THE_BACKEND, "credential": "none"}
    return {
        "resource": [
            {"path": "/mcp", "scopes": ["tools"], **resource},
            {"path": "/bound", "scopes": ["tools"], "dpop": "required", **resource},
        ],
        "client": [
            {
                "client_id": "strict",
                "redirect_uris": [REDIRECT_URI],
                "dpop_bound_access_tokens": True,
            },
            {
                "client_id": "server",
                "client_secret": "env:UPSTREAM_SECRET",
                "redirect_uris": [REDIRECT_URI],
                "introspects": ["/mcp"],
            },
        ],
    }


async def bound(world: World, resource: str = "/mcp", **metadata: Any) -> BoundClient:
    client = OAuthClient(world.issuer, world.http, world.issuer + resource)
    return BoundClient(await client.register(**metadata), world.clock)


async def logged_in(world: World, **metadata: Any) -> tuple[BoundClient, dict[str, Any]]:
    client = await bound(world, **metadata)
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def code_for(world: World, client: BoundClient, **parameters: str | None) -> Any:
    async with world.browser() as browser:
        return await client.client.log_in(browser, **parameters)


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return found


def refused(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def challenged(answer: httpx2.Response) -> str:
    assert answer.status_code == 401
    return str(answer.headers["www-authenticate"])


class TestMetadata:
    async def test_spec120_the_server_names_the_algorithms_of_proofs(self, world: World) -> None:
        document = (
            await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
        ).json()
        assert document["dpop_signing_alg_values_supported"] == list(ALGORITHMS)
        assert not [alg for alg in ALGORITHMS if alg.startswith("HS") or alg == "none"]

    async def test_spec120_a_resource_says_whether_it_needs_them(self, world: World) -> None:
        base = f"{world.issuer}/.well-known/oauth-protected-resource"
        free, needs = [(await world.http.get(base + path)).json() for path in ("/mcp", "/bound")]
        assert free["dpop_signing_alg_values_supported"] == list(ALGORITHMS)
        assert "dpop_bound_access_tokens_required" not in free
        assert needs["dpop_bound_access_tokens_required"] is True


class TestTokenEndpoint:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    async def test_spec122_a_proof_binds_the_access_token(
        self, world: World, algorithm: str
    ) -> None:
        client = await bound(world)
        client.prover = Prover.fresh(algorithm)
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert tokens["token_type"] == "DPoP"
        assert claims_of(tokens["access_token"])["cnf"] == {"jkt": client.prover.thumbprint}
        assert "cnf" not in claims_of(tokens["refresh_token"])

    async def test_spec122_without_a_proof_nothing_changes(self, world: World) -> None:
        client = await bound(world)
        client.prover = None
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert tokens["token_type"] == "Bearer"
        assert "cnf" not in claims_of(tokens["access_token"])
        assert (await client.client.call(tokens["access_token"])).status_code == 200

    @pytest.mark.parametrize(
        "change",
        [{"htm": "GET"}, {"htu": "https://evil.example/token"}, {"jti": ""}, {"iat": 5},
         {"header": {"typ": "JWT"}}],
    )  # fmt: skip
    async def test_spec121_a_bad_proof_is_refused_and_spends_nothing(
        self, world: World, change: dict[str, Any]
    ) -> None:
        client = await bound(world)
        login, code = await code_for(world, client)
        bad = client.proof("POST", f"{world.issuer}/token", **change)
        assert refused(await client.redeem(login, code, bad)) == (400, "invalid_dpop_proof")
        assert (await client.redeem(login, code)).status_code == 200

    async def test_attack_f51_two_dpop_headers_at_the_token_endpoint(self, world: World) -> None:
        client = await bound(world)
        login, code = await code_for(world, client)
        uri = f"{world.issuer}/token"
        two = [("dpop", client.proof("POST", uri)["dpop"]) for _ in range(2)]
        form = {
            "grant_type": "authorization_code", "code": code, "client_id": client.client.client_id,
            "redirect_uri": client.client.redirect_uri, "code_verifier": login.verifier,
        }  # fmt: skip
        answer = await world.http.post(uri, data=form, headers=two)
        assert refused(answer) == (400, "invalid_dpop_proof")

    async def test_attack_f54_a_stolen_refresh_token_needs_the_key(self, world: World) -> None:
        """A public client's refresh token is bound (RFC 9449 §5). A thief can't end it either."""
        client, tokens = await logged_in(world)
        for _ in range(3):
            thief = BoundClient(client.client, world.clock, Prover.fresh())
            assert refused(await thief.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
            thief.prover = None
            assert refused(await thief.refresh(tokens["refresh_token"])) == (
                400,
                "invalid_dpop_proof",
            )
        renewed = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
        assert renewed["token_type"] == "DPoP"
        world.clock.advance(3600)  # far beyond the grace: an old token would be reuse
        assert refused(await thief.refresh(tokens["refresh_token"])) == (400, "invalid_dpop_proof")
        assert (await client.refresh(renewed["refresh_token"])).status_code == 200

    async def test_spec122_a_lost_answer_is_repeated_byte_for_byte(self, world: World) -> None:
        client, tokens = await logged_in(world)
        first = (await client.refresh(tokens["refresh_token"])).json()
        again = (await client.refresh(tokens["refresh_token"])).json()
        assert again["access_token"] == first["access_token"]

    async def test_spec122_a_public_client_may_begin_to_bind_at_a_refresh(
        self, world: World
    ) -> None:
        client = await bound(world)
        prover, client.prover = client.prover, None
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        client.prover = prover
        renewed = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
        assert renewed["token_type"] == "DPoP"
        client.prover = None
        answer = await client.refresh(renewed["refresh_token"])
        assert refused(answer) == (400, "invalid_dpop_proof")

    async def test_spec122_a_confidential_client_may_change_its_key(self, world: World) -> None:
        """Its refresh tokens are bound to its own credential (RFC 9449 §5)."""
        client, tokens = await logged_in(world, token_endpoint_auth_method="client_secret_post")
        client.prover = Prover.fresh()
        renewed = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
        assert claims_of(renewed["access_token"])["cnf"] == {"jkt": client.prover.thumbprint}
        assert (await client.call(renewed["access_token"])).status_code == 200

    @pytest.mark.parametrize("right", [True, False])
    async def test_spec122_dpop_jkt_binds_the_code(self, world: World, *, right: bool) -> None:
        """RFC 9449 §10. A refused key spends nothing."""
        client = await bound(world)
        assert client.prover is not None
        login, code = await code_for(world, client, dpop_jkt=client.prover.thumbprint)
        if not right:
            thief = BoundClient(client.client, world.clock, Prover.fresh())
            assert refused(await thief.redeem(login, code)) == (400, "invalid_grant")
            thief.prover = None
            assert refused(await thief.redeem(login, code)) == (400, "invalid_dpop_proof")
        assert (await client.redeem(login, code)).json()["token_type"] == "DPoP"

    async def test_spec122_a_proof_of_a_pushed_request_binds_the_code(self, world: World) -> None:
        """RFC 9449 §10.1. A dpop_jkt beside it must be of the same key."""
        client = await bound(world)
        uri = f"{world.issuer}/par"
        asked = client.client.authorization()
        form = dict(parse_qsl(urlsplit(asked.url).query))
        proof = client.proof("POST", uri)
        answer = await world.http.post(uri, data=form | {"dpop_jkt": "x" * 43}, headers=proof)
        assert refused(answer) == (400, "invalid_dpop_proof")
        elsewhere = client.proof("POST", f"{world.issuer}/token")
        answer = await world.http.post(uri, data=form, headers=elsewhere)
        assert refused(answer) == (400, "invalid_dpop_proof")
        answer = await world.http.post(uri, data=form, headers=client.proof("POST", uri))
        pushed = answer.raise_for_status().json()["request_uri"]
        query = {"client_id": client.client.client_id, "request_uri": pushed}
        async with world.browser() as browser:
            landed = await approve(browser, f"{world.issuer}/authorize?{urlencode(query)}")
        code = answer_of(landed)["code"]
        thief = BoundClient(client.client, world.clock, Prover.fresh())
        assert refused(await thief.redeem(asked, code)) == (400, "invalid_grant")
        assert (await client.redeem(asked, code)).json()["token_type"] == "DPoP"

    @pytest.mark.parametrize("jkt", ["short", "x" * 44, "=" * 43])
    async def test_spec122_dpop_jkt_must_be_a_thumbprint(self, world: World, jkt: str) -> None:
        client = await bound(world)
        login = client.client.authorization(dpop_jkt=jkt)
        async with world.browser() as browser:
            page = await browser.open(login.url)
        assert page.status == 400

    async def test_spec122_a_client_that_asked_for_bound_tokens_must_send_a_proof(
        self, world: World
    ) -> None:
        """``dpop_bound_access_tokens`` (RFC 9449 §5.2), registered or configured."""
        registered = await bound(world, dpop_bound_access_tokens=True)
        configured = BoundClient(
            OAuthClient(world.issuer, world.http, world.resource, "strict"), world.clock
        )
        for client in (registered, configured):
            prover = client.prover
            login, code = await code_for(world, client)
            client.prover = None
            assert refused(await client.redeem(login, code)) == (400, "invalid_dpop_proof")
            client.prover = prover
            assert (await client.redeem(login, code)).json()["token_type"] == "DPoP"

    async def test_spec122_the_registration_says_so(self, world: World) -> None:
        body = {"redirect_uris": ["http://127.0.0.1/cb"], "dpop_bound_access_tokens": True}
        answer = await world.http.post(f"{world.issuer}/register", json=body)
        assert answer.json()["dpop_bound_access_tokens"] is True

    async def test_spec122_no_unbound_token_for_a_resource_that_needs_a_key(
        self, world: World
    ) -> None:
        client = await bound(world, "/bound")
        login, code = await code_for(world, client)
        prover, client.prover = client.prover, None
        assert refused(await client.redeem(login, code)) == (400, "invalid_dpop_proof")
        client.prover = prover
        tokens = (await client.redeem(login, code)).raise_for_status().json()
        assert (await client.call(tokens["access_token"])).status_code == 200

    async def test_spec122_introspection_tells_the_key(self, world: World) -> None:
        """RFC 9449 §6.2."""
        client, tokens = await logged_in(world)
        assert client.prover is not None
        told = (
            await world.http.post(
                f"{world.issuer}/introspect",
                data={"token": tokens["access_token"]},
                auth=("server", world.upstream.client_secret),
            )
        ).json()
        assert told["cnf"] == {"jkt": client.prover.thumbprint}
        assert told["token_type"] == "DPoP"


class TestGateway:
    async def test_spec122_a_bound_token_with_its_proof(self, world: World) -> None:
        client, tokens = await logged_in(world)
        answer = await client.call(tokens["access_token"])
        assert answer.status_code == 200
        seen = answer.json()["headers"]
        assert "dpop" not in seen  # it was for Mintage
        assert "authorization" not in seen

    async def test_attack_f54_a_stolen_bound_token_as_bearer(self, world: World) -> None:
        client, tokens = await logged_in(world)
        answer = await client.client.call(tokens["access_token"])
        said = challenged(answer)
        assert said.startswith('DPoP error="invalid_token"')
        assert f'algs="{" ".join(ALGORITHMS)}"' in said
        assert 'resource_metadata="' in said
        assert not world.backend.requests

    async def test_attack_f54_a_stolen_bound_token_with_the_thiefs_key(self, world: World) -> None:
        client, tokens = await logged_in(world)
        client.prover = Prover.fresh()
        said = challenged(await client.call(tokens["access_token"]))
        assert said.startswith('DPoP error="invalid_dpop_proof"')
        assert not world.backend.requests

    async def test_attack_f54_the_scheme_dpop_without_a_proof(self, world: World) -> None:
        client, tokens = await logged_in(world)
        client.prover = None
        said = challenged(await client.call(tokens["access_token"]))
        assert said.startswith('DPoP error="invalid_dpop_proof"')

    async def test_spec122_an_unbound_token_with_the_scheme_dpop(self, world: World) -> None:
        client = await bound(world)
        prover, client.prover = client.prover, None
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        client.prover = prover
        said = challenged(await client.call(tokens["access_token"]))
        assert said.startswith('DPoP error="invalid_token"')

    async def test_attack_f50_a_proof_is_good_once(self, world: World) -> None:
        client, tokens = await logged_in(world)
        token = tokens["access_token"]
        headers = {"authorization": f"DPoP {token}"} | client.proof(
            "GET", world.resource, token=token
        )
        assert (await world.http.get(world.resource, headers=headers)).status_code == 200
        said = challenged(await world.http.get(world.resource, headers=headers))
        assert 'error="invalid_dpop_proof"' in said
        assert "used before" in said
        assert len(world.backend.requests) == 1

    async def test_attack_f53_a_proof_for_another_request(self, world: World) -> None:
        """Another method, path, host or token."""
        client, tokens = await logged_in(world)
        other = (await client.refresh(tokens["refresh_token"])).json()["access_token"]
        token = tokens["access_token"]
        for change in (
            {"htm": "POST"}, {"htu": f"{world.issuer}/bound"}, {"htu": world.resource + "/x"},
            {"htu": "https://evil.example/mcp"}, {"ath": hash_of(other)}, {"ath": None},
        ):  # fmt: skip
            said = challenged(await client.call(token, **change))
            assert 'error="invalid_dpop_proof"' in said
        assert not world.backend.requests

    async def test_attack_f51_two_proofs_at_the_gateway(self, world: World) -> None:
        client, tokens = await logged_in(world)
        token = tokens["access_token"]
        proofs = [
            ("dpop", client.proof("GET", world.resource, token=token)["dpop"]) for _ in range(2)
        ]
        headers = [("authorization", f"DPoP {token}"), *proofs]
        said = challenged(await world.http.get(world.resource, headers=headers))
        assert 'error="invalid_dpop_proof"' in said

    async def test_spec123_the_window_is_the_servers(self, world: World) -> None:
        client, tokens = await logged_in(world)
        for away in (-61, 61, -301, 301):
            said = challenged(await client.call(tokens["access_token"], iat=world.clock() + away))
            assert "iat" in said
        for away in (-50, 50):
            answer = await client.call(tokens["access_token"], iat=int(world.clock() + away))
            assert answer.status_code == 200

    async def test_spec121_the_path_is_compared_as_it_was_judged(self, world: World) -> None:
        """Without the query, unreserved characters decoded: the path that the backend gets."""
        client, tokens = await logged_in(world)
        token = tokens["access_token"]
        answer = await client.call(token, uri=f"{world.resource}/a%7Eb/%C3%A4?q=1#x")
        assert answer.status_code == 200
        assert world.backend.requests[-1].scope["raw_path"].endswith(b"/mcp/a~b/%C3%A4")

    async def test_spec122_no_token_is_told_of_both_schemes(self, world: World) -> None:
        said = challenged(await world.http.get(world.resource))
        assert said.startswith("Bearer ")
        assert f', DPoP algs="{" ".join(ALGORITHMS)}"' in said
        said = challenged(await world.http.get(f"{world.issuer}/bound"))
        assert said.startswith("DPoP ")
        assert "Bearer" not in said

    async def test_spec122_a_resource_that_needs_a_key_refuses_a_bearer_token(
        self, world: World
    ) -> None:
        """One that another Mintage issued before the resource needed a key."""
        client = await bound(world, "/bound")
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        handle, _ = world.running.tokens.read_any(tokens["access_token"])
        opened: Any = await world.running.vault.live.authenticate(handle)
        plain = world.running.tokens.issue(opened, resource=f"{world.issuer}/bound").access_token
        said = challenged(await client.client.call(plain))
        assert said.startswith('DPoP error="invalid_token"')

    async def test_spec122_a_refusal_is_told_under_the_scheme_that_was_used(
        self, world: World
    ) -> None:
        """So is a token that is not valid."""
        client, tokens = await logged_in(world)
        said = challenged(await client.call(tokens["access_token"] + "x"))
        assert said.startswith('DPoP error="invalid_token"')
        answer = await client.call(tokens["access_token"], uri=f"{world.issuer}/bound")
        assert challenged(answer).startswith('DPoP error="invalid_token"')


class TestNonces:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"dpop": {"nonce": "required"}}

    async def test_spec121_the_token_endpoint_and_the_gateway_ask_for_a_nonce(
        self, world: World
    ) -> None:
        """RFC 9449 §8 and §9; nothing is spent by the first try."""
        client = await bound(world)
        login, code = await code_for(world, client)
        first = await client.redeem(login, code)
        assert refused(first) == (400, "use_dpop_nonce")
        client.nonce = first.headers["dpop-nonce"]
        tokens = await client.redeem(login, code)
        assert tokens.status_code == 200
        assert tokens.headers["dpop-nonce"] == client.nonce
        token = tokens.json()["access_token"]
        client.nonce = None
        answer = await client.call(token)
        assert challenged(answer).startswith('DPoP error="use_dpop_nonce"')
        client.nonce = answer.headers["dpop-nonce"]
        assert "DPoP-Nonce" in answer.headers["access-control-expose-headers"]
        good = await client.call(token)
        assert good.status_code == 200
        assert "dpop-nonce" not in good.headers
        world.clock.advance(120)
        good = await client.call(token)
        assert good.status_code == 200
        assert good.headers["dpop-nonce"] != client.nonce
        world.clock.advance(120)
        assert (await client.call(token)).status_code == 401
        client.nonce = good.headers["dpop-nonce"]
        assert (await client.call(token)).status_code == 200


class TestReplaysAccepted:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"dpop": {"replays": "accept"}}

    async def test_a_proof_may_come_again_if_the_operator_says_so(self, world: World) -> None:
        client, tokens = await logged_in(world)
        token = tokens["access_token"]
        headers = {"authorization": f"DPoP {token}"} | client.proof(
            "GET", world.resource, token=token
        )
        for _ in range(2):
            assert (await world.http.get(world.resource, headers=headers)).status_code == 200
