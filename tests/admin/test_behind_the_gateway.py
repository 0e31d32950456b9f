"""The gateway protects the admin API of its own server: by groups, and with the operator's name."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import uvicorn

from mintage.admin.activity import Activity
from mintage.admin.site import open_site
from mintage.events.event import Event
from mintage.events.operation import AdminAction
from mintage.gateway.credentials import IdentitySigner
from mintage.grants.states import Identity
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient
from mintage.testing.serving import serving
from tests.support.forge import P256, pem
from tests.support.world import THE_BACKEND, World


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def overrides(port: int, tmp_path: Any) -> dict[str, Any]:
    (tmp_path / "signing.pem").write_bytes(pem(P256))
    return {
        "admin": {"listen": f"127.0.0.1:{port}", "resource": "/admin"},
        "tokens": {"signing_key": "file:signing.pem"},
        "resource": [
            {
                "path": "/admin",
                "backend": f"http://127.0.0.1:{port}",
                "scopes": ["admin"],
                "credential": "identity",
                "browser": True,
                "rule": [
                    {"claims": {"groups": ["operators", "support"]}},
                    {"methods": ["PUT", "DELETE"], "claims": {"groups": "operators"}},
                ],
            },
            {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["tools"], "credential": "identity"},
        ],
    }


@pytest.fixture
async def listening(world: World, port: int) -> AsyncIterator[World]:
    site = open_site(
        world.config,
        world.app.current,
        Activity(world.clock),
        clock=world.clock,
        steady=world.clock,
        random_bytes=secrets.token_bytes,
    )
    config = uvicorn.Config(site, port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        yield world


async def token_of(world: World, user: str, *groups: str, resource: str = "/admin") -> str:
    world.upstream.user = user
    world.upstream.claims["groups"] = list(groups)
    client = OAuthClient(world.issuer, world.http, world.issuer + resource)
    await client.register()
    async with world.browser() as browser:
        return str((await client.tokens(browser))["access_token"])


async def call(world: World, token: str, method: str, path: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"}
    return await world.http.request(method, f"{world.issuer}/admin{path}", headers=headers)


async def test_operators_may_read_and_change_and_support_may_read(listening: World) -> None:
    world, events = listening, list[Event]()
    world.running.events.attach(events.append)
    operator = await token_of(world, "olga", "operators")
    support = await token_of(world, "sam", "support")
    assert len((await call(world, support, "GET", "/grants")).json()["grants"]) == 2
    for path in ("", "/"):
        page = await call(world, support, "GET", path)
        assert "you are <bdi>sam@example.com</bdi>" in page.text
    assert (await call(world, support, "DELETE", "/grants?subject=olga")).status_code == 403
    assert (await call(world, operator, "DELETE", "/grants?subject=sam")).json() == {"ended": 1}
    (action,) = [event for event in events if isinstance(event, AdminAction)]
    assert action.operator == "olga@example.com"
    denied = await call(world, operator, "PUT", "/denials?name=evil.example")
    assert denied.json()["denied"] is True
    (denial,) = (await call(world, operator, "GET", "/denials")).json()["denied"]
    assert denial["by"] == "olga@example.com"


async def test_an_operator_reads_the_page_in_a_browser_and_changes_nothing_there(
    listening: World,
) -> None:
    world = listening
    world.upstream.user = "olga"
    world.upstream.claims["groups"] = ["operators"]
    async with world.browser() as browser:
        page = await browser.open(f"{world.issuer}/admin")
        assert page.status == 200
        assert "How this server is doing" in page.text
        assert "you are <bdi>olga@example.com</bdi>" in page.text
        assert "browser:/admin</bdi></td><td>browser</td>" in page.text
        same_site = world.cookies_of(browser) | {
            "origin": world.issuer,
            "sec-fetch-site": "same-origin",
        }
    url = f"{world.issuer}/admin/grants?subject=olga"
    refused = await world.http.delete(url, headers=same_site)
    assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
    assert "send changes from a program" in refused.json()["error_description"]


async def test_attack_d23_a_user_of_no_such_group_gets_nothing(listening: World) -> None:
    world = listening
    outsider = await token_of(world, "mallory", "staff")
    for method, path in (("GET", "/"), ("GET", "/grants"), ("DELETE", "/grants?subject=x")):
        assert (await call(world, outsider, method, path)).status_code == 403


async def test_attack_d23_past_the_gateway_no_header_makes_an_operator(
    listening: World, port: int
) -> None:
    """Every program on this machine reaches the listener."""
    world = listening
    await token_of(world, "olga", "operators")
    now = int(world.clock())
    signer = IdentitySigner(world.issuer, world.config.signing_keys[0], world.clock, bytes)
    who = Identity(issuer="https://idp.example", subject="mallory")
    audience = f"{world.issuer}/admin"
    refused = {
        "the header of another proxy": {"x-forwarded-user": "olga"},
        "no JWT": {"x-identity-token": "x"},
        "for another backend": {"x-identity-token": signer.signed(who, f"{world.issuer}/mcp", now)},
        "old": {"x-identity-token": signer.signed(who, audience, now - 120)},
        "an access token": {
            "x-identity-token": await token_of(world, "eve", "operators", resource="/admin")
        },
    }
    for name, headers in refused.items():
        answer = await world.http.get(f"http://127.0.0.1:{port}/grants", headers=headers)
        assert answer.status_code == 401, name
    fresh = {"x-identity-token": signer.signed(who, audience, now)}
    answer = await world.http.get(f"http://127.0.0.1:{port}/grants", headers=fresh)
    assert answer.status_code == 200
