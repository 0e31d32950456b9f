"""One test of an e-mail address, wherever one is told or compared: the provider verified it."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mintage.testing.oauth_client import REDIRECT_URI
from tests.support.forge import P256, pem
from tests.support.world import THE_BACKEND, World

UNVERIFIED = [None, False, "false", "yes", 1, "True"]
"""Not one of these says that the provider has verified the address."""


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "signing.pem").write_bytes(pem(P256))
    staff = {"path": "/staff", "claims": {"email": "*@example.com"}}
    command = {"run": [sys.executable, "-c", _TELLS], "max_sessions": 2}
    return {
        "tokens": {"signing_key": "file:signing.pem"},
        "resource": [
            {"path": "/mcp", "backend": THE_BACKEND, "credential": "identity",
             "token_claims": ["email", "email_verified"], "rule": [staff]},
            {"path": "/run", "command": command, "credential": "identity"},
        ],
    }  # fmt: skip


_TELLS = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        told = {"protocolVersion": "2025-06-18", "capabilities": {},
                "serverInfo": {"name": json.dumps(dict(os.environ)), "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}), flush=True)
"""


async def logged_in(world: World, resource: str) -> str:
    client = await world.client()
    client.resource = resource
    async with world.browser() as browser:
        token: str = (await client.tokens(browser))["access_token"]
    return token


async def seen(world: World) -> dict[str, Any]:
    """All that others learn of the user's address."""
    token = await logged_in(world, world.resource)
    bearer = {"authorization": f"Bearer {token}"}
    headers = (await world.http.get(world.resource, headers=bearer)).json()["headers"]
    staff = await world.http.get(f"{world.resource}/staff", headers=bearer)
    identity = payload(headers["x-identity-token"])
    carried = payload(token)
    return {
        "header": headers.get("x-forwarded-email"),
        "identity": identity.get("email"),
        "token": carried.get("upstream_claims", {}).get("email"),
        "command": (await environment(world)).get("MINTAGE_USER_EMAIL"),
        "rule": staff.status_code,
    }


def payload(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return claims


async def environment(world: World) -> dict[str, str]:
    resource = f"{world.issuer}/run"
    token = await logged_in(world, resource)
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                   "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    accept = "application/json, text/event-stream"
    answer = await world.http.post(
        resource, json=hello, headers={"authorization": f"Bearer {token}", "accept": accept}
    )
    line = next(line for line in answer.text.splitlines() if '"serverInfo"' in line)
    told = json.loads(line.removeprefix("data: "))
    environ: dict[str, str] = json.loads(told["result"]["serverInfo"]["name"])
    return environ


@pytest.mark.parametrize("verified", UNVERIFIED)
async def test_attack_e08_an_unverified_address_is_no_address(
    world: World, verified: object
) -> None:
    world.upstream.claims = {"email": "boss@example.com", "email_verified": verified}
    assert await seen(world) == {
        "header": None, "identity": None, "token": None, "command": None, "rule": 403,
    }  # fmt: skip


async def test_a_verified_address_is_told_everywhere(world: World) -> None:
    world.upstream.claims = {"email": "boss@example.com", "email_verified": True}
    boss = "boss@example.com"
    assert await seen(world) == {
        "header": boss, "identity": boss, "token": boss, "command": boss, "rule": 200,
    }  # fmt: skip


class TestWhoMayLogIn:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"allow": [{"emails": ["boss@*"]}, {"claims": {"/email": "boss@*"}}]}

    @pytest.mark.parametrize("verified", [*UNVERIFIED, True])
    async def test_attack_e08_an_unverified_address_lets_nobody_in(
        self, world: World, verified: object
    ) -> None:
        world.upstream.claims = {"email": "boss@example.com", "email_verified": verified}
        client = await world.client()
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
            page = await browser.submit(page, {"decision": "approve"})
        assert page.url.startswith(REDIRECT_URI) is (verified is True)
