"""``oauth4webapi``, the strictest client library there is, from discovery to revocation."""

from typing import Any

import pytest

from mintage.testing.oauth_client import REDIRECT_URI
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
