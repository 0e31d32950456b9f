"""Who gets nothing from the admin API."""

import base64

import httpx2
import pytest

from mintage.admin.site import AdminSite
from mintage.gateway.credentials import IdentitySigner
from mintage.grants.states import Identity
from mintage.jwt.keyring import TokenKey
from tests.admin.conftest import TOKEN, calling
from tests.support.forge import P256, pem
from tests.support.world import World

PATHS = ["/", "/status", "/grants", "/grants/aaaaaaaaaaaaaaaa", "/clients", "/denials", "/none"]


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"any:{password}".encode()).decode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", TOKEN, basic("x"),
     basic(""), "Basic !", f"Digest {TOKEN}", "Bearer "],
)  # fmt: skip
async def test_attack_d21_without_the_token_nothing_is_told(
    site: AdminSite, path: str, authorization: str
) -> None:
    async with calling(site, authorization=authorization) as stranger:
        for method in ("GET", "PUT", "DELETE", "POST", "OPTIONS"):
            refused = await stranger.request(method, path)
            assert refused.status_code == 401, (method, path)
            assert refused.json()["error"] == "invalid_token"


async def test_attack_d21_two_credentials_are_none(site: AdminSite) -> None:
    async with calling(site) as stranger:
        headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]
        assert (await stranger.get("/status", headers=headers)).status_code == 401


@pytest.mark.parametrize("name", ["origin", "sec-fetch-site"])
async def test_attack_d22_a_page_of_another_site_changes_nothing(
    world: World, site: AdminSite, name: str
) -> None:
    """Nor does one of the same site: the browser may have been asked for the token before."""
    client = await world.client()
    async with world.browser() as browser:
        await client.tokens(browser)
    headers = {name: "https://evil.example" if name == "origin" else "same-origin"}
    async with calling(site, authorization=basic(TOKEN), **headers) as page:
        refused = await page.delete(f"/grants?client={client.client_id}")
        assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
        assert len((await page.get("/grants")).json()["grants"]) == 1


async def test_attack_d22_no_page_elsewhere_may_read(admin: httpx2.AsyncClient) -> None:
    answer = await admin.get("/grants", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_browser_is_asked_for_the_token(site: AdminSite) -> None:
    async with calling(site) as browser:
        asked = (await browser.get("/")).headers.get_list("www-authenticate")
    assert asked[-1].startswith("Basic ")
    async with calling(site, authorization=basic(TOKEN)) as browser:
        page = await browser.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_attack_d23_an_identity_is_no_credential_unless_the_settings_say_so(
    world: World, site: AdminSite
) -> None:
    key = TokenKey.from_pem(pem(P256))
    signer = IdentitySigner(world.issuer, key, world.clock, lambda n: b"x" * n)
    who = Identity(issuer="https://idp.example", subject="mallory")
    signed = signer.signed(who, world.resource, int(world.clock()))
    headers = {"x-identity-token": signed, "x-forwarded-user": "alice"}
    async with calling(site, **headers) as stranger:
        assert (await stranger.get("/status")).status_code == 401


async def test_attack_d21_what_a_user_calls_itself_is_text_on_the_page(
    world: World, admin: httpx2.AsyncClient
) -> None:
    world.upstream.claims["email"] = "<script>alert(1)</script>@x.example"
    client = await world.client(client_name="<img src=x onerror=alert(1)>")
    async with world.browser() as browser:
        await client.tokens(browser)
    page = (await admin.get("/")).text
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;img" in page
