"""An ID-JAG in place of a login: Enterprise-Managed Authorization, and what must not work."""

import asyncio
import hmac
import secrets
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwk, jwt

from mintage.crypto.base64url import encode_text
from mintage.testing.assertion_issuer import ID_JAG, AssertionIssuer
from mintage.testing.fake_upstream import FakeUpstream
from tests.support.dpop import Prover
from tests.support.faulty_store import failing
from tests.support.trusting import (
    ASSISTANT,
    JWT_BEARER,
    OTHER_CLIENT,
    SECRET,
    call,
    jag,
    redeem,
    refused,
    settings,
)
from tests.support.world import World, every_store


@pytest.fixture
def overrides(
    tmp_path: Path, enterprise: AssertionIssuer, platform: AssertionIssuer
) -> dict[str, Any]:
    return settings(tmp_path, enterprise.url, platform.url)


@every_store
async def test_spec130_a_client_acts_for_a_user_of_the_enterprise(
    world: World, enterprise: AssertionIssuer
) -> None:
    answer = await redeem(world, jag(world, enterprise), resource=world.resource)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.raise_for_status().json()
    token = body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 600, "scope": "tools write"}
    assert (await call(world, token)).status_code == 200
    seen = world.backend.requests[-1].headers
    assert seen["x-forwarded-user"] == "acme|alice"
    assert "x-forwarded-email" not in seen, "the provider has not said that it verified it"


async def test_spec128_the_metadata_names_grant_type_and_profile(world: World) -> None:
    url = f"{world.issuer}/.well-known/oauth-authorization-server"
    said = (await world.http.get(url)).json()
    assert "urn:ietf:params:oauth:grant-type:jwt-bearer" in said["grant_types_supported"]
    assert said["authorization_grant_profiles_supported"] == [
        "urn:ietf:params:oauth:grant-profile:id-jag"
    ]


async def test_spec130_the_scope_is_what_both_name(
    world: World, enterprise: AssertionIssuer
) -> None:
    narrowed = await redeem(world, jag(world, enterprise), scope="tools")
    assert narrowed.json()["scope"] == "tools"
    beyond = await redeem(world, jag(world, enterprise, scope="tools"), scope="tools write")
    assert beyond.json()["scope"] == "tools"
    nothing = await redeem(world, jag(world, enterprise, scope="tools"), scope="write")
    assert refused(nothing, "invalid_scope")


async def test_spec129_without_a_scope_it_gives_what_the_settings_say(
    world: World, enterprise: AssertionIssuer
) -> None:
    assert refused(await redeem(world, jag(world, enterprise, scope=None)), "invalid_scope")


async def test_spec129_several_resources_need_one_to_be_named(
    world: World, enterprise: AssertionIssuer
) -> None:
    both = [world.resource, f"{world.issuer}/other"]
    good = jag(world, enterprise, resource=both, scope="tools other")
    assert refused(await redeem(world, good), "invalid_target")
    answer = await redeem(world, good, resource=both[1])
    assert answer.json()["scope"] == "other"
    assert (await call(world, answer.json()["access_token"], "/other")).status_code == 200


class TestAttacks:
    async def test_attack_f03_an_id_jag_of_another_issuer_or_key(
        self, world: World, enterprise: AssertionIssuer, platform: AssertionIssuer
    ) -> None:
        """Unknown issuers, a trusted one of another purpose, its name under another's key."""
        for other in (
            jag(world, enterprise, iss="https://evil.example"),
            jag(world, platform),
            jag(world, platform, iss=enterprise.url),
            jag(world, enterprise, key=jwk.ECKey.generate_key("P-256", {"kid": "x"})),
            jag(world, enterprise, iss=f"{enterprise.url}/"),
        ):
            assert refused(await redeem(world, other)) or refused(
                await redeem(world, other), "invalid_request"
            )
        assert world.stored() == 0, "none of them costs a write"

    async def test_attack_f03_other_algorithms_and_types(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """`none`, HMAC with the public key, an id_token, an access token, a logout token."""
        good = jag(world, enterprise)
        head, body, _ = good.split(".")
        none = f"eyJhbGciOiJub25lIiwidHlwIjoib2F1dGgtaWQtamFnK2p3dCJ9.{body}."
        header = encode_text(b'{"alg":"HS256","typ":"oauth-id-jag+jwt"}')
        public = enterprise.key.as_pem(private=False)  # a PEM file as the secret of an HMAC
        signed = hmac.digest(public, f"{header}.{body}".encode(), "sha256")
        hashed = f"{header}.{body}.{encode_text(signed)}"
        usual: dict[str, Any] = {
            "sub": "alice", "client_id": ASSISTANT, "aud": world.issuer,
            "resource": world.resource, "scope": "tools",
        }  # fmt: skip
        typed = [
            enterprise.assertion(typ=typ, **usual)
            for typ in (None, "JWT", "at+jwt", "logout+jwt", "client-authentication+jwt")
        ]
        for each in (none, hashed, f"{head}.{body}.", f"{head}.{body}", *typed):
            assert refused(await redeem(world, each)), each
        long = enterprise.assertion(typ=f"application/{ID_JAG}", **usual)
        assert (await redeem(world, long)).status_code == 200

    async def test_attack_f04_an_id_jag_for_another_audience(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        for audience in (
            "https://other.example", f"{world.issuer}/", f"{world.issuer}/token", None,
            [world.issuer, "https://other.example"], [],
        ):  # fmt: skip
            assert refused(await redeem(world, jag(world, enterprise, aud=audience)))
        assert (await redeem(world, jag(world, enterprise, aud=[world.issuer]))).status_code == 200

    async def test_attack_f04_an_id_jag_for_another_client(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        good = jag(world, enterprise)
        assert refused(await redeem(world, good, auth=(OTHER_CLIENT, SECRET)))
        assert refused(await redeem(world, jag(world, enterprise, client_id=None)))
        assert (await redeem(world, good)).status_code == 200, "it was not spent by the thief"

    @pytest.mark.parametrize("tenant", ["another", "", None, 1])
    async def test_attack_f04_an_id_jag_of_a_tenant(
        self, world: World, enterprise: AssertionIssuer, tenant: object
    ) -> None:
        """Two tenants of one issuer may give one subject to two users (draft §3.1)."""
        given = [] if tenant is None else [jag(world, enterprise, tenant=tenant)]
        given.append(enterprise.assertion(typ=ID_JAG, **self._usual(world), tenant=[tenant]))
        for each in given:
            assert refused(await redeem(world, each))

    async def test_attack_f04_an_id_jag_without_its_client(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """A stolen ID-JAG alone gets nothing, and neither does a public client."""
        good = jag(world, enterprise)
        assert refused(await redeem(world, good, auth=None), "invalid_client", 401)
        assert refused(await redeem(world, good, auth=(ASSISTANT, "x" * 40)), "invalid_client", 401)
        public = await world.client()
        answer = await redeem(world, good, auth=None, client_id=public.client_id)
        assert refused(answer, "unauthorized_client")

    async def test_attack_f04_an_id_jag_for_another_resource(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """Another server's; one that this issuer may not give; one that only the request names."""
        for resource in ("https://other.example/mcp", f"{world.issuer}/payroll", ["x"], 7, []):
            named = jag(world, enterprise, resource=resource, scope="tools pay")
            assert refused(await redeem(world, named))
        elsewhere = await redeem(world, jag(world, enterprise), resource=f"{world.issuer}/other")
        assert refused(elsewhere, "invalid_target")
        token = (await redeem(world, jag(world, enterprise))).json()["access_token"]
        assert (await call(world, token, "/other")).status_code == 401

    async def test_attack_f05_an_id_jag_a_second_time(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """As long as it lives, and after its grant was ended too."""
        events: list[Any] = []
        world.running.events.attach(events.append)
        good = jag(world, enterprise)
        token = (await redeem(world, good)).json()["access_token"]
        await world.http.post(
            f"{world.issuer}/revoke", data={"token": token}, auth=(ASSISTANT, SECRET)
        )
        world.clock.advance(299)
        assert refused(await redeem(world, good))
        (replayed,) = [event for event in events if event.action == "assertion_replayed"]
        assert replayed.party.client_id == ASSISTANT
        assert replayed.party.subject.subject == "acme|alice"
        assert refused(await redeem(world, jag(world, enterprise, jti=None)))

    async def test_attack_f05_ten_at_once(self, world: World, enterprise: AssertionIssuer) -> None:
        good = jag(world, enterprise)
        answers = await asyncio.gather(*(redeem(world, good) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
        assert len([one async for one in world.running.vault.listing.find()]) == 1

    async def test_attack_f06_an_id_jag_that_lives_too_long(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        now = int(world.clock())
        for times in (
            {"exp": now + 301}, {"exp": now + 10**9}, {"iat": now - 400, "exp": now + 60},
            {"exp": None}, {"iat": None}, {"exp": "soon"}, {"exp": True}, {"exp": -1},
            {"iat": now + 60, "exp": now + 300}, {"nbf": now + 60}, {"nbf": "x"},
            {"iat": now - 100, "exp": now - 30},
        ):  # fmt: skip
            assert refused(await redeem(world, jag(world, enterprise, **times))), times

    async def test_attack_f06_an_id_jag_from_before_the_users_logout(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """It was issued, the user was logged out everywhere, and it comes afterwards."""
        early = jag(world, enterprise)
        world.clock.advance(10)
        await world.running.vault.revocation.end_at_provider(
            enterprise.url, subject="acme|alice", sid=None
        )
        world.clock.advance(10)
        assert refused(await redeem(world, early))
        assert (await redeem(world, jag(world, enterprise))).status_code == 200

    async def test_attack_f07_an_id_jag_that_widens(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """Scopes that this issuer may not give, or that the resource does not have."""
        answer = await redeem(world, jag(world, enterprise, scope="tools delete other"))
        assert answer.json()["scope"] == "tools"
        assert refused(await redeem(world, jag(world, enterprise, scope="other")))
        assert refused(await redeem(world, jag(world, enterprise, scope=["tools"])))
        assert refused(await redeem(world, jag(world, enterprise, scope='to"ols')))

    async def test_attack_f07_an_id_jag_with_limits_that_nobody_here_reads(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        limits = [{"type": "account_information", "accounts": ["42"]}]
        given = jag(world, enterprise, authorization_details=limits)
        assert refused(await redeem(world, given))

    async def test_attack_f07_an_id_jag_bound_to_a_key_without_its_proof(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        """CHECKLIST 130: without a proof, or bound in another way."""
        jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        for cnf in ({"jkt": jkt}, {"x5t#S256": jkt}, {"jkt": jkt, "x5t#S256": jkt}, {}, None, jkt):
            bound = enterprise.assertion(typ=ID_JAG, **self._usual(world) | {"cnf": cnf or {}})
            assert refused(await redeem(world, bound))

    async def test_attack_f07_an_id_jag_bound_to_a_key_with_the_proof_of_another(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        mine, other, uri = Prover.fresh(), Prover.fresh(), f"{world.issuer}/token"
        bound = jag(world, enterprise, cnf={"jkt": mine.thumbprint})

        async def with_proof(prover: Prover) -> httpx2.Response:
            return await world.http.post(
                uri,
                data={"grant_type": JWT_BEARER, "assertion": bound},
                headers={"dpop": prover.proof("POST", uri, now=world.clock())},
                auth=(ASSISTANT, SECRET),
            )

        assert refused(await with_proof(other))
        answer = await with_proof(mine)
        assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
        token = answer.json()["access_token"]
        assert (await call(world, token)).status_code == 401, "as a bearer token it is refused"
        sent = mine.headers("GET", world.resource, token, now=world.clock())
        assert (await world.http.get(world.resource, headers=sent)).status_code == 200

    def _usual(self, world: World) -> dict[str, Any]:
        return {
            "sub": "alice",
            "client_id": ASSISTANT,
            "aud": world.issuer,
            "resource": world.resource,
            "scope": "tools",
        }

    async def test_attack_c06_an_id_jag_with_two_ways_of_authentication(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        answer = await redeem(world, jag(world, enterprise), client_secret=SECRET)
        assert refused(answer, "invalid_request")

    async def test_attack_f11_an_outage_of_the_issuer_is_no_refusal(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        enterprise.down = True
        good = jag(world, enterprise)
        answer = await redeem(world, good)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        enterprise.down = False
        world.clock.advance(3)
        assert (await redeem(world, good)).status_code == 200, "nothing was spent"

    async def test_attack_f11_a_store_that_fails_spends_nothing(
        self, world: World, enterprise: AssertionIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mintage.vault.stored_grants._FIRST_PAUSE", 0.0)
        monkeypatch.setattr("mintage.vault.stored_grants._LONGEST_PAUSE", 0.0)
        good = jag(world, enterprise)
        with failing(world.running.store, "insert"):
            assert (await redeem(world, good)).status_code == 503
        assert (await redeem(world, good)).status_code == 200

    async def test_attack_f12_unknown_keys_cause_few_fetches(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        stranger = jwk.ECKey.generate_key("P-256", {"kid": "stranger"})
        for _ in range(20):
            assert refused(await redeem(world, jag(world, enterprise, key=stranger)))
        assert enterprise.seen.count("/keys") <= 2


class TestKeys:
    async def test_a_rotated_key_is_found_and_one_that_left_is_forgotten(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        old = enterprise.key
        assert (await redeem(world, jag(world, enterprise))).status_code == 200
        world.clock.advance(11)
        enterprise.rotate()
        assert (await redeem(world, jag(world, enterprise))).status_code == 200
        enterprise.published = [enterprise.key]
        world.clock.advance(3601)
        assert refused(await redeem(world, jag(world, enterprise, key=old)))

    async def test_keys_are_never_used_past_their_time(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        assert (await redeem(world, jag(world, enterprise))).status_code == 200
        enterprise.down = True
        assert (await redeem(world, jag(world, enterprise))).status_code == 200
        world.clock.advance(3601)
        assert (await redeem(world, jag(world, enterprise))).status_code == 503


class TestItIsAGrant:
    async def test_a_logout_at_the_provider_ends_it(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        token = (await redeem(world, jag(world, enterprise))).json()["access_token"]
        assert (await call(world, token)).status_code == 200
        world.clock.advance(1)
        await world.running.vault.revocation.end_at_provider(
            enterprise.url, subject="acme|alice", sid=None
        )
        assert (await call(world, token)).status_code == 401

    async def test_the_log_and_the_answers_never_hold_it(
        self, world: World, enterprise: AssertionIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """CHECKLIST 131: neither one that was accepted nor one that was refused."""
        caplog.set_level("DEBUG")
        good, bad = jag(world, enterprise), jag(world, enterprise, aud="https://x.example")
        await redeem(world, good)
        answer = await redeem(world, bad)
        for each in (good, bad):
            assert each.split(".")[2] not in caplog.text + answer.text
        in_url = await world.http.post(f"{world.issuer}/token?assertion={good}", data={})
        assert in_url.status_code == 400


class TestATenant:
    @pytest.fixture
    def overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        issuers = [dict(each) for each in overrides["trusted_issuer"]]
        issuers[0] |= {"tenant": "ours"}
        return overrides | {"trusted_issuer": issuers}

    async def test_attack_f04_only_id_jags_of_this_tenant_are_accepted(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        assert refused(await redeem(world, jag(world, enterprise)))
        assert refused(await redeem(world, jag(world, enterprise, tenant="theirs")))
        assert (await redeem(world, jag(world, enterprise, tenant="ours"))).status_code == 200


class TestRulesForUsers:
    @pytest.fixture
    def overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        return overrides | {"allow": [{"email_domains": ["acme.example"]}]}

    async def test_they_hold_for_users_of_an_enterprise(
        self, world: World, enterprise: AssertionIssuer
    ) -> None:
        assert refused(await redeem(world, jag(world, enterprise))), "its address is not verified"
        verified = jag(world, enterprise, email_verified=True)
        answer = await redeem(world, verified)
        assert answer.status_code == 200
        assert (await call(world, answer.json()["access_token"])).status_code == 200
        seen = world.backend.requests[-1].headers
        assert seen["x-forwarded-email"] == "alice@acme.example"


class TestTheProviderOfTheLogins:
    """The trusted issuer is the provider that users log in at: they are the same users."""

    @pytest.fixture
    def overrides(self, overrides: dict[str, Any], upstream: FakeUpstream) -> dict[str, Any]:
        issuers = [dict(each) for each in overrides["trusted_issuer"]]
        issuers[0] |= {"issuer": upstream.issuer}
        return overrides | {"trusted_issuer": issuers}

    async def test_they_have_the_same_subject_and_its_logout_ends_both(
        self, world: World, upstream: FakeUpstream
    ) -> None:
        answer = await redeem(world, self._jag(world, upstream.key))
        token = answer.raise_for_status().json()["access_token"]
        client = await world.client()
        async with world.browser() as browser:
            login = await client.tokens(browser)
        vault = world.running.vault
        found = [one async for one in vault.listing.find(subject=(upstream.issuer, "alice"))]
        assert len(found) == 2
        world.clock.advance(1)
        await vault.revocation.end_at_provider(upstream.issuer, subject="alice", sid=None)
        for each in (token, login["access_token"]):
            assert (await call(world, each)).status_code == 401

    async def test_attack_f12_unknown_keys_while_the_key_set_does_not_answer(
        self, world: World, upstream: FakeUpstream
    ) -> None:
        """A stranger's assertion waits for it. One under a known key does not wait behind that."""
        assert (await redeem(world, self._jag(world, upstream.key))).status_code == 200
        world.clock.advance(11)
        upstream.faults["jwks"] = "hang"
        stranger = jwk.RSAKey.generate_key(2048, {"kid": "stranger"})
        waiting = asyncio.create_task(redeem(world, self._jag(world, stranger)))
        seen = upstream.seen["jwks"]
        async with asyncio.timeout(5):
            while upstream.seen["jwks"] == seen:
                await asyncio.sleep(0.01)
            assert (await redeem(world, self._jag(world, upstream.key))).status_code == 200
        assert not waiting.done()
        upstream.release.set()
        assert (await waiting).status_code == 503

    def _jag(self, world: World, key: jwk.Key) -> str:
        claims = {
            "iss": world.upstream.issuer, "sub": "alice", "aud": world.issuer,
            "client_id": ASSISTANT, "resource": world.resource, "scope": "tools",
            "iat": int(world.clock()), "exp": int(world.clock()) + 60,
            "jti": secrets.token_hex(8),
        }  # fmt: skip
        algorithm = "RS256" if isinstance(key, jwk.RSAKey) else "ES256"
        return jwt.encode({"alg": algorithm, "typ": ID_JAG, "kid": key.kid}, claims, key)
