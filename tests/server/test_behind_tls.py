"""An issuer on https, as deployed: behind a proxy that ends TLS."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of, approve
from tests.support.world import World

ISSUER = "https://auth.example.com"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"issuer": ISSUER}


@pytest.fixture
def inside(world: World) -> httpx2.ASGITransport:
    """What the proxy passes on."""
    return httpx2.ASGITransport(app=world.app)


@pytest.fixture
async def http(inside: httpx2.ASGITransport) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=trusted(), transport=inside, trust_env=False) as http:
        yield http


async def test_spec034_the_whole_way_with_host_cookies(
    world: World, inside: httpx2.ASGITransport, http: httpx2.AsyncClient
) -> None:
    """``__Host-``: Secure, for this host alone, for all of its paths (RFC 6265bis §4.1.3.2)."""
    set_cookies: list[str] = []

    def watch(response: httpx2.Response) -> None:
        set_cookies.extend(response.headers.get_list("set-cookie"))

    client = await OAuthClient(ISSUER, http, f"{ISSUER}/mcp").register()
    async with Browser(
        stop_at=(REDIRECT_URI,), on_response=watch, mounts={ISSUER: inside}
    ) as browser:
        login = client.authorization()
        answer = answer_of(await approve(browser, login.url))
    assert answer["iss"] == ISSUER
    assert (await client.redeem(login, answer["code"])).status_code == 200
    ours = [cookie for cookie in set_cookies if "mintage" in cookie]
    assert len(ours) == 3  # the browser's name, the login, and the login's end
    for cookie in ours:
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert cookie.startswith("__Host-mintage-")
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
        assert not [part for part in parts if part.startswith("domain")]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http"},
        {"forwarded": "host=evil.example;proto=http"},
        {"x-original-url": "/evil", "x-rewrite-url": "/evil"},
    ],
)
async def test_attack_d04_headers_change_no_address(
    http: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    metadata = await http.get(f"{ISSUER}/.well-known/oauth-authorization-server", headers=headers)
    refused = await http.get(f"{ISSUER}/mcp", headers=headers)
    client = await OAuthClient(ISSUER, http, f"{ISSUER}/mcp").register()
    page = await http.get(client.authorization().url, headers=headers)
    assert metadata.json()["issuer"] == ISSUER
    assert f'resource_metadata="{ISSUER}/' in refused.headers["www-authenticate"]
    assert page.headers["set-cookie"].startswith("__Host-mintage-browser-")
    for answer in (metadata, refused, page):
        assert "evil" not in answer.text + str(answer.headers)


async def test_the_account_page_has_host_cookies_and_knows_its_own_origin(
    world: World, inside: httpx2.ASGITransport, http: httpx2.AsyncClient
) -> None:
    set_cookies: list[str] = []

    def watch(response: httpx2.Response) -> None:
        set_cookies.extend(response.headers.get_list("set-cookie"))

    async with Browser(on_response=watch, mounts={ISSUER: inside}) as browser:
        page = await browser.open(f"{ISSUER}/account")
        signed_in = await browser.submit(page, {"upstream": "oidc"})
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    for name in ("account-login", "account"):
        (cookie,) = [
            c
            for c in set_cookies
            if c.startswith(f"__Host-mintage-{name}=") and "Max-Age=0" not in c
        ]
        assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    for origin, status in ((ISSUER, 303), ("null", 303), ("https://example.com", 403)):
        answer = await http.post(
            f"{ISSUER}/account",
            data=signed_in.form().fields | {"action": "disconnect_all"},
            headers={"origin": origin, "cookie": cookies},
        )
        assert answer.status_code == status, origin
