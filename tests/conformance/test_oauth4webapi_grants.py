"""``oauth4webapi`` pushes a request (RFC 9126), and logs in a device (RFC 8628)."""

from typing import Any

import pytest

from mintage.clients.client import DEVICE_CODE
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI
from tests.support.node import Answer, converse
from tests.support.world import World

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]


@pytest.fixture
def overrides(overrides: dict[str, Any]) -> dict[str, Any]:
    return overrides | {"grant_types": {"device_code": {}}}


@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
async def test_a_strict_client_pushes_and_logs_in_a_device(
    world: World, answers: dict[str, Answer], method: str
) -> None:
    async def opened(url: str) -> str:
        if not url.startswith(f"{world.issuer}/device"):
            return await answers["open"](url)
        async with Browser() as browser:
            page = await browser.open(url)
            page = await browser.submit(page)  # the code is the same
            page = await browser.submit(page, {"decision": "approve"})
        assert "Your device is connected" in page.text
        return page.url

    found: dict[str, Any] = await converse(
        "clients/oauth4webapi_grants.mjs",
        {
            "issuer": world.issuer,
            "resource": world.resource,
            "redirect_uri": REDIRECT_URI,
            "scope": "tools",
            "method": method,
        },
        open=opened,
        wait=answers["wait"],
    )
    assert "error" not in found, found
    assert found["as"]["pushed_authorization_request_endpoint"] == f"{world.issuer}/par"
    assert found["as"]["device_authorization_endpoint"] == f"{world.issuer}/device_authorization"
    pushed, device = found["pushed"], found["device"]
    assert pushed["client"]["require_pushed_authorization_requests"] is True
    assert pushed["expires_in"] == 90
    assert pushed["tokens"]["scope"] == "tools"
    assert pushed["refused"] == {"code": "invalid_request", "status": 400}
    assert pushed["length"] < 2000, "an address that every browser and proxy takes"
    assert device["client"]["grant_types"] == ["refresh_token", DEVICE_CODE]
    assert device["waiting"] == {"code": "authorization_pending", "status": 400}
    assert device["early"] == {"code": "slow_down", "status": 400}
    assert device["tokens"]["scope"] == "tools"
    assert device["renewed"]["refresh_token"] != device["tokens"]["refresh_token"]
