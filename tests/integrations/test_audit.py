"""The audit trail and the log of applications with Mintage inside: each event once, no secret."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mintage.integrations.fastmcp import MintageAuth
from mintage.integrations.mcp_sdk import McpLogin
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.integrations import test_fastmcp, test_mcp_sdk
from tests.integrations.conftest import Open
from tests.integrations.test_correlation import MCP, fastapi, starlette
from tests.support.planted import leaks, secrets_of_token
from tests.support.world import SECRET

AUDIT: dict[str, Any] = {"to": "file:audit.jsonl", "refusals": "all"}
CAUSED = Counter(
    {
        "settings_loaded": 1,
        "client_registered": 1,
        "consent_given": 1,
        "login": 1,
        "token_issued": 1,
        "token_refreshed": 2,
        "token_reused": 1,
        "grant_ended": 1,
        "request_refused": 4,
    }
)
fastmcp_house = test_fastmcp.house


async def broad(issuer: str, home: Any, path: str, below: str = "") -> set[str]:
    """Log in, refresh, use a token twice, and be refused. Returns what must not be seen."""
    client = await OAuthClient(issuer, home.http, issuer + path).register()
    async with Browser(stop_at=(REDIRECT_URI,)) as browser:
        login, code = await client.log_in(browser)
        secrets = {cookie.value for cookie in browser.cookies.jar if cookie.value}
    secrets |= {SECRET, home.upstream.client_secret, code, login.state, login.verifier}
    tokens = (await client.redeem(login, code)).raise_for_status().json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    url = f"{issuer}{path}{below}?access_token={tokens['access_token']}"
    await home.http.get(url, headers=headers)
    newer = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
    await client.refresh(newer["refresh_token"])
    home.clock.advance(120)
    assert (await client.refresh(tokens["refresh_token"])).status_code == 400
    assert (await home.http.get(url, headers=headers)).status_code == 401
    assert (await home.http.get(url)).status_code == 401
    assert (await client.token(grant_type="a", code=code)).status_code == 400
    for one in (tokens, newer):
        for name in ("access_token", "refresh_token"):
            secrets |= set(secrets_of_token(one[name]))
    return secrets | set(home.upstream.issued)


def check(directory: Path, caplog: pytest.LogCaptureFixture, secrets: set[str]) -> None:
    trail = (directory / "audit.jsonl").read_text()
    found = Counter(json.loads(line)["event"]["action"] for line in trail.splitlines())
    assert found == CAUSED
    # The tests' own clients log whole URLs, in the same process.
    ours = [one for one in caplog.records if one.name.startswith(("mintage", "uvicorn"))]
    log = "\n".join(one.getMessage() for one in ours)
    assert "mintage.access" in {one.name for one in ours}
    assert leaks(trail + log, secrets) == []


@pytest.fixture(autouse=True)
def detailed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mintage")
    caplog.set_level(logging.INFO, "mintage.access")
    caplog.set_level(logging.INFO, "uvicorn")


@pytest.mark.parametrize("build", [starlette, fastapi])
async def test_of_a_web_application(
    build: Any, house: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(build, audit=AUDIT) as home:
        secrets = await broad(home.issuer, home, "/api", "/me")
    check(tmp_path, caplog, secrets)


async def test_of_a_server_of_the_official_sdk(
    house: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(test_mcp_sdk.app, kind=McpLogin, resource=[MCP], audit=AUDIT) as home:
        secrets = await broad(home.issuer, home, "/mcp")
    check(tmp_path, caplog, secrets)


async def test_of_a_server_of_fastmcp(
    fastmcp_house: test_fastmcp.Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def build(auths: list[MintageAuth]) -> Any:
        return test_fastmcp.notes(auths[0]).http_app()

    async with fastmcp_house(build, audit=AUDIT) as home:
        secrets = await broad(home.origin, home, "/mcp")
    check(tmp_path, caplog, secrets)
