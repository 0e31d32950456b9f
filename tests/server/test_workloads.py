"""A workload's assertion in place of a login (MCP's Workload Identity Federation, draft)."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jwk
from msgspec.structs import replace

from mintage.errors import ConfigError
from mintage.settings.load import parse
from mintage.testing.assertion_issuer import AssertionIssuer
from mintage.trust.issuer import WorkloadRule
from mintage.trust.workloads import check_pattern, fits
from tests.support.client_keys import jwks, key
from tests.support.trusting import (
    ASSISTANT,
    SECRET,
    call,
    jag,
    redeem,
    refused,
    settings,
    workload,
)
from tests.support.world import SECRET as THE_SECRET
from tests.support.world import World, every_store

DEPLOY = "workload:ci:deploy"


@pytest.fixture
def overrides(
    tmp_path: Path, enterprise: AssertionIssuer, platform: AssertionIssuer
) -> dict[str, Any]:
    return settings(tmp_path, enterprise.url, platform.url)


async def ask(world: World, assertion: str, **form: str) -> Any:
    return await redeem(world, assertion, auth=None, **form)


@every_store
async def test_spec132_a_workload_gets_a_token_by_its_rule(
    world: World, platform: AssertionIssuer
) -> None:
    answer = await ask(world, workload(world, platform), resource=world.resource)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.raise_for_status().json()
    token = body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 600, "scope": "tools write"}
    assert (await call(world, token)).status_code == 200
    seen = world.backend.requests[-1].headers
    assert seen["x-forwarded-user"].startswith("workload|ci|repo:acme/site")
    (found,) = [one async for one in world.running.vault.listing.find()]
    assert found.summary is not None
    assert (found.summary.client_id, found.summary.machine) == (DEPLOY, True)


async def test_spec132_the_token_endpoint_is_an_audience_too(
    world: World, platform: AssertionIssuer
) -> None:
    """The draft's text has the token endpoint, and the conformance tests have the issuer."""
    good = workload(world, platform, aud=f"{world.issuer}/token")
    assert (await ask(world, good, resource=world.resource)).status_code == 200


async def test_a_pod_uses_the_token_in_its_file_more_than_once(
    world: World, platform: AssertionIssuer
) -> None:
    good = workload(world, platform, jti=None)
    for _ in range(2):
        assert (await ask(world, good, resource=world.resource)).status_code == 200


async def test_the_rule_that_fits_and_has_the_resource_is_taken(
    world: World, platform: AssertionIssuer
) -> None:
    """The first rule has no /other, and the second one needs another claim."""
    public = workload(world, platform)
    assert refused(await ask(world, public, resource=f"{world.issuer}/other"), "invalid_target")
    private = workload(world, platform, private=True)
    other = await ask(world, private, resource=f"{world.issuer}/other")
    assert other.json()["scope"] == "other"
    assert refused(await ask(world, private), "invalid_target"), "two resources: name one"


async def test_a_scope_beyond_the_rule_is_refused(world: World, platform: AssertionIssuer) -> None:
    good = workload(world, platform)
    assert refused(await ask(world, good, scope="delete"), "invalid_scope")
    assert (await ask(world, good, scope="tools delete")).json()["scope"] == "tools"


class TestAttacks:
    async def test_attack_f08_a_workload_whose_rule_matches_by_prefix(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        """Names that an attacker can take: longer ones, other branches, further parts."""
        for sub in (
            "repo:acme/site:ref:refs/heads/main2",
            "repo:acme/site:ref:refs/heads/main/x",
            "repo:acme/site:ref:refs/heads/main\n",
            "repo:acme-evil/site:ref:refs/heads/main",
            "repo:acme/site/evil:ref:refs/heads/main",
            "repo:acme/evil:ref:refs/heads/x:ref:refs/heads/main",
            "repo:acme/évil:ref:refs/heads/main",
            "repo:acme/:ref:refs/heads/main",
            "REPO:ACME/SITE:ref:refs/heads/main",
            "xrepo:acme/site:ref:refs/heads/main",
        ):
            bad = workload(world, platform, sub=sub, private=True)
            assert refused(await ask(world, bad, resource=world.resource)), sub
        assert world.stored() == 0

    async def test_attack_f09_the_same_claims_from_another_issuer(
        self, world: World, platform: AssertionIssuer, enterprise: AssertionIssuer
    ) -> None:
        """From a stranger; from the enterprise, which has no rules; under another's key.

        That key may have the name of one that the issuer has.
        """
        namesake = jwk.ECKey.generate_key("P-256", {"kid": str(platform.key.kid)})
        claims: Any = {"sub": "repo:acme/site:ref:refs/heads/main", "aud": world.issuer}
        for bad in (
            platform.assertion(**claims, iss="https://evil.example"),
            platform.assertion(**claims, key=enterprise.key),
            platform.assertion(**claims, key=namesake),
            enterprise.assertion(**claims),
        ):
            assert refused(await ask(world, bad, resource=world.resource))

    async def test_attack_f10_other_kinds_of_jwts_of_the_same_issuer(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        """What means something else there; one for another program; one for several."""
        for bad in (
            workload(world, platform, typ="at+jwt"),
            workload(world, platform, typ="oauth-id-jag+jwt"),
            workload(world, platform, typ="logout+jwt"),
            workload(world, platform, aud="https://kubernetes.default.svc"),
            workload(world, platform, aud=[world.issuer, "https://vault.example"]),
            workload(world, platform, aud=None),
            workload(world, platform, exp=int(world.clock()) + 4000),
            workload(world, platform, iat=None),
            workload(world, platform, sub=None),
        ):
            assert refused(await ask(world, bad, resource=world.resource))

    async def test_attack_f10_an_id_jag_as_a_workload_and_the_other_way_round(
        self, world: World, platform: AssertionIssuer, enterprise: AssertionIssuer
    ) -> None:
        alone = await ask(world, jag(world, enterprise), resource=world.resource)
        assert refused(alone, "invalid_client", 401)
        good = workload(world, platform)
        by_client = await redeem(world, good, auth=(ASSISTANT, SECRET), resource=world.resource)
        assert refused(by_client, "invalid_request")

    async def test_attack_c06_a_workload_that_also_names_a_client(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        """It authenticates as that client, or not at all."""
        good = workload(world, platform)
        for form in ({"client_id": ASSISTANT}, {"client_id": DEPLOY}, {"client_secret": SECRET}):
            answer = await ask(world, good, resource=world.resource, **form)
            assert answer.status_code in (400, 401)
            assert "access_token" not in answer.json()

    async def test_attack_f11_an_outage_of_the_platform_is_no_refusal(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        platform.down = True
        answer = await ask(world, workload(world, platform), resource=world.resource)
        assert answer.status_code == 503


class TestItIsAGrant:
    async def test_an_operator_denies_all_workloads_of_a_rule(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        good = workload(world, platform)
        token = (await ask(world, good, resource=world.resource)).json()["access_token"]
        await world.running.client_denials.deny(DEPLOY, by="operator")
        assert (await call(world, token)).status_code == 401
        again = await ask(world, good, resource=world.resource)
        assert refused(again, "unauthorized_client")

    async def test_it_ends_when_its_rule_is_changed(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        token = (await ask(world, workload(world, platform), resource=world.resource)).json()[
            "access_token"
        ]
        assert (await call(world, token)).status_code == 200
        rule = WorkloadRule(name="r", claims={"sub": ("x",)}, resources=("/mcp",), scopes=())
        issuers = tuple(replace(one, rules=(rule,)) for one in world.config.trusted_issuers)
        changed = msgspec.structs.replace(world.config, trusted_issuers=issuers)
        await world.app.reload(changed)
        assert (await call(world, token)).status_code == 401

    @every_store
    async def test_the_workload_revokes_its_token_as_a_public_client_does(
        self, world: World, platform: AssertionIssuer
    ) -> None:
        """RFC 7009 §2.1. It has no credentials, so it names the client of its token."""
        first, second = [await _token(world, platform) for _ in range(2)]
        answer = await revoke(world, first, client_id=DEPLOY)
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await call(world, first)).status_code == 401
        assert (await call(world, second)).status_code == 200
        for over in (first, "no token"):
            assert (await revoke(world, over, client_id=DEPLOY)).status_code == 200

    async def test_attack_c07_a_workload_revokes_what_is_not_its_rule_s(
        self, world: World, platform: AssertionIssuer, enterprise: AssertionIssuer
    ) -> None:
        mine = await _token(world, platform)
        users = (await redeem(world, jag(world, enterprise))).json()["access_token"]
        for token, client_id in (
            (mine, "workload:ci:any-repository"),
            (mine, "workload:"),
            (users, DEPLOY),
            (users, f"workload:{ASSISTANT}"),
        ):
            assert (await revoke(world, token, client_id=client_id)).status_code == 200
            assert (await call(world, token)).status_code == 200
        for form in ({}, {"client_id": ASSISTANT}, {"client_id": DEPLOY, "client_secret": SECRET}):
            assert (await revoke(world, mine, **form)).status_code in (400, 401)
        assert (await call(world, mine)).status_code == 200


async def _token(world: World, platform: AssertionIssuer) -> str:
    answer = await ask(world, workload(world, platform), resource=world.resource)
    token: str = answer.json()["access_token"]
    return token


async def revoke(world: World, token: str, **form: str) -> Any:
    return await world.http.post(f"{world.issuer}/revoke", data={"token": token} | form)


RULE = {"sub": ("system:serviceaccount:prod:*",)}


class TestRules:
    @pytest.mark.parametrize(
        ("claims", "wanted", "expected"),
        [
            ({"sub": "system:serviceaccount:prod:agent"}, RULE, True),
            ({"sub": "system:serviceaccount:prod:agent:x"}, RULE, False),
            ({"sub": "system:serviceaccount:prod-2:agent"}, RULE, False),
            ({"sub": "system:serviceaccount:prod:"}, RULE, False),
            ({}, RULE, False),
            ({"sub": None}, RULE, False),
            (
                {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "agent"}}},
                {"/kubernetes.io/serviceaccount/name": ("agent",)},
                True,
            ),
            ({"kubernetes.io": "prod"}, {"/kubernetes.io/namespace": ("prod",)}, False),
            (
                {"sub": "spiffe://example.org/ns/prod/sa/agent"},
                {"sub": ("spiffe://example.org/ns/prod/sa/*",)},
                True,
            ),
            (
                {"sub": "spiffe://example.org.evil/ns/prod/sa/agent"},
                {"sub": ("spiffe://example.org/ns/*/sa/agent",)},
                False,
            ),
            ({"groups": ["a", "b"]}, {"groups": ("b", "c")}, True),
            ({"groups": ["ab"]}, {"groups": ("a",)}, False),
            ({"run_attempt": 1}, {"run_attempt": ("1",)}, True),
            ({"flag": True}, {"flag": ("1",)}, False),
            ({"a": "x"}, {}, False),
        ],
    )
    def test_a_claim_is_compared_as_a_whole(
        self,
        claims: dict[str, Any],
        wanted: dict[str, tuple[str, ...]],
        expected: bool,  # noqa: FBT001
    ) -> None:
        rule = WorkloadRule(name="r", claims=wanted, resources=("/mcp",), scopes=())
        assert fits(rule, claims) is expected

    @pytest.mark.parametrize(
        "pattern", ["repo:acme*", "acme-*", "*x", "**", "*", "", "a\nb", "*/*"]
    )
    def test_attack_f08_a_pattern_that_others_could_fit_is_refused(self, pattern: str) -> None:
        with pytest.raises(ValueError, match=r"whole part|matches whatever|is empty"):
            check_pattern(pattern)


def configured(directory: Path, **more: Any) -> None:
    issuer: dict[str, Any] = {
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "purpose": "workload",
        "rule": [{"name": "r", "claims": {"sub": "repo:a/b:ref:refs/heads/main"},
                  "resources": ["/mcp"]}],
    }  # fmt: skip
    top = more.pop("top", {})
    data: dict[str, Any] = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {
            "issuer": "https://idp.example",
            "client_id": "m",
            "client_secret": "env:SECRET",
        },
        "resource": [{"path": "/mcp", "scopes": ["tools"]}],
        "grant_types": {"jwt_bearer": {}},
        "trusted_issuer": [issuer | more],
    }
    parse(data | top, base=directory, environ={"SECRET": THE_SECRET})


JAG = {"purpose": "id_jag", "rule": [], "issuer": "https://login.example"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rule": []}, "without a rule"),
        ({"rule": [{"name": "r", "claims": {}, "resources": ["/mcp"]}]}, "every workload"),
        (
            {"rule": [{"name": "r", "claims": {"ref": "refs/heads/main"}, "resources": ["/mcp"]}]},
            "anybody can get",
        ),
        ({"rule": [{"name": "r", "claims": {"sub": "repo:a*"}, "resources": ["/mcp"]}]}, "part"),
        ({"rule": [{"name": "r", "claims": {"sub": "x"}, "resources": ["/no"]}]}, "/mcp"),
        ({"rule": [{"name": "r", "claims": {"sub": "x"}, "resources": []}]}, "no tokens"),
        (
            {"rule": [{"name": "r", "claims": {"sub": "x"}, "resources": ["/mcp"],
                       "scopes": ["toolz"]}]},
            "tools",
        ),
        ({"issuer": "http://idp.example"}, "https"),
        ({"issuer": "https://auth.example"}, "this server"),
        ({"algorithms": ["HS256"]}, "HS256"),
        ({"algorithms": []}, "empty"),
        ({"jwks": {"keys": []}}, "can't be used"),
        ({"jwks": jwks(key()), "jwks_uri": "https://x.example/k"}, "not both"),
        ({"name": "workload"}, "taken"),
        ({"resources": ["/mcp"]}, 'only for purpose = "id_jag"'),
        ({"tenant": "ours"}, 'only for purpose = "id_jag"'),
        (JAG | {"max_lifetime": 541}, "at most 540"),
        (JAG | {"single_use": False}, "always"),
        (JAG | {"audience": ["x"]}, 'only for purpose = "workload"'),
        (JAG | {"upstream": "okta"}, "okta"),
        ({"top": {"grant_types": {}}}, "write both"),
        ({"top": {"trusted_issuer": []}}, "write both"),
        (
            {"top": {"client": [{"client_id": "workload:x:y", "redirect_uris": ["https://a/b"]}]}},
            "rules of workloads",
        ),
    ],
)  # fmt: skip
def test_settings_that_can_not_be_intended_are_refused(
    more: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        configured(tmp_path, **more)


def test_settings_that_are_good(tmp_path: Path) -> None:
    configured(tmp_path)
    configured(tmp_path, **JAG)
    configured(tmp_path, jwks=jwks(key()), issuer="spiffe://example.org")
