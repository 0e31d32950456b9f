"""``oauth4webapi``, the strictest client library there is, from discovery to revocation."""

import time
from typing import Any

import pytest

from mintage.grants.pkce import s256
from mintage.testing.clock import ManualClock
from mintage.testing.oauth_client import REDIRECT_URI
from tests.support.exchanging import payload
from tests.support.node import Answer, converse
from tests.support.world import World

LEEWAY = 60  # seconds: more than the clocks of two servers may differ

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
async def test_a_strict_client_goes_the_whole_way(
    world: World, answers: dict[str, Answer], method: str
) -> None:
    found: dict[str, Any] = await converse(
        "clients/oauth4webapi.mjs",
        {
            "issuer": world.issuer,
            "resource": world.resource,
            "redirect_uri": REDIRECT_URI,
            "scope": "tools",
            "method": method,
            "lifetime": 3600 + LEEWAY,
        },
        **answers,
    )
    assert "error" not in found, found
    assert found["server"]["authorization_servers"] == [world.issuer]
    assert found["as"] == found["oidc"]
    assert found["as"]["pushed_authorization_request_endpoint"] == f"{world.issuer}/par"
    assert ("client_secret" in found["client"]) == (method != "none")
    assert found["landed"]["iss"] == world.issuer
    assert (found["first"]["token_type"], found["first"]["scope"]) == ("bearer", "tools")
    assert found["called"].startswith("200 "), "the token opens the resource"
    assert found["expired"]["status"] == 401
    assert found["second"]["refresh_token"] != found["first"]["refresh_token"]
    assert found["renewed"].startswith("200 ")
    assert found["revoked"]["status"] == 401, "revoked: no way in with the access token"
    assert found["ended"] == {"code": "invalid_grant", "status": 400}
    assert found["replayed"] == {"code": "invalid_grant", "status": 400}
    if method == "none":
        assert found["introspected"] == {"code": "invalid_client", "status": 401}
    else:
        assert found["introspected"]["active"] is True
        assert found["introspected"]["client_id"] == found["client"]["client_id"]


class TestDpop:
    """RFC 9449 from ``dpop_jkt`` to a refresh. Node has the real clock, and so has Mintage."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(int(time.time()))

    @pytest.fixture(params=["off", "required"])
    def overrides(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {"dpop": {"nonce": request.param}}

    @pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "RS256", "PS256"])
    async def test_spec122_a_strict_client_binds_its_tokens(
        self, world: World, answers: dict[str, Answer], algorithm: str
    ) -> None:
        found: dict[str, Any] = await converse(
            "clients/oauth4webapi_dpop.mjs",
            {
                "issuer": world.issuer,
                "resource": world.resource,
                "redirect_uri": REDIRECT_URI,
                "scope": "tools",
                "algorithm": algorithm,
            },
            **answers,
        )
        assert "error" not in found, found
        assert algorithm in found["as"]["dpop_signing_alg_values_supported"]
        assert found["client"]["dpop_bound_access_tokens"] is True
        assert found["keyless"] == {"code": "invalid_dpop_proof", "status": 400}
        assert found["stolen"] == {"code": "invalid_grant", "status": 400}
        assert found["first"]["token_type"] == "dpop"
        assert (found["called"], found["again"], found["renewed"]) == (200, 200, 200)
        assert found["bearer"] == {"code": "invalid_token", "scheme": "dpop", "status": 401}
        assert found["thief"] == {"code": "invalid_dpop_proof", "scheme": "dpop", "status": 401}
        assert found["renewal"] == {"code": "invalid_grant", "status": 400}
        assert found["second"]["token_type"] == "dpop"
        needs_nonces = world.config.dpop.nonce == "required"
        assert (found["nonces"] > 0) is needs_nonces

    @pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "RS256", "PS256"])
    async def test_spec122_proofs_of_the_package_dpop(
        self, world: World, answers: dict[str, Answer], algorithm: str
    ) -> None:
        """panva's ``dpop`` makes the proofs; the requests are plain fetches."""
        verifier = "v" * 43
        found: dict[str, Any] = await converse(
            "clients/dpop.mjs",
            {
                "issuer": world.issuer,
                "resource": world.resource,
                "redirect_uri": REDIRECT_URI,
                "scope": "tools",
                "algorithm": algorithm,
                "verifier": verifier,
                "challenge": s256(verifier),
            },
            **answers,
        )
        assert "error" not in found, found
        assert found["type"] == "DPoP"
        assert payload(found["token"])["cnf"] == {"jkt": found["jkt"]}
        assert found["stolen"] == "invalid_grant"
        assert (found["called"], found["robbed"], found["renewed"]) == (200, 401, 200)
        assert (found["nonces"] > 0) is (world.config.dpop.nonce == "required")
