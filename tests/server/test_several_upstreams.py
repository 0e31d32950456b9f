"""Several identity providers at once: chosen by the user, by the client, or by the resource."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.async_api import Page

from mintage.errors import ConfigError, UpstreamUnavailable
from mintage.grants.states import Active
from mintage.settings.load import parse
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import OAuthClient, answer_of
from mintage.upstream.registry import Upstreams
from tests.server.ways_back import told
from tests.support.grant_states import upstream_of
from tests.support.provider_settings import section
from tests.support.tab import screenshot
from tests.support.world import World

NAMES = ("staff", "partners")


@pytest.fixture
async def partner(clock: ManualClock) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(clock).running() as running:
        yield running


@pytest.fixture
def overrides(upstream: FakeUpstream, partner: FakeUpstream) -> dict[str, Any]:
    partner.client_secret = upstream.client_secret
    backend = "http://127.0.0.1:9/mcp"
    return {
        "upstream": [
            section(upstream, "staff", title="Our staff", legacy_default=True),
            section(partner, "partners", domains=["partner.example"]),
        ],
        "resource": [
            {"path": "/mcp", "backend": backend, "scopes": ["tools"]},
            {"path": "/office", "backend": backend, "scopes": ["office"], "upstreams": ["staff"]},
            {"path": "/shop", "backend": backend, "scopes": ["s"], "upstreams": ["partners"]},
        ],
    }


async def choices(world: World, client: OAuthClient, **wishes: str) -> list[str]:
    """The providers that the consent page offers, the preselected one first."""
    async with world.browser() as browser:
        page = await browser.open(client.authorization(**wishes).url)
    return re.findall(r'<button class="button" name="upstream" value="([^"]+)"', page.text)


async def log_in(world: World, client: OAuthClient, upstream: str | None, **wishes: str) -> str:
    """The access token of a login at *upstream*; None: the one that is not asked about."""
    async with world.browser() as browser:
        login = client.authorization(**wishes)
        page = await browser.open(login.url)
        chosen = {} if upstream is None else {"upstream": upstream}
        landed = await browser.submit(page, {"decision": "approve"} | chosen)
        answer = await client.redeem(login, answer_of(landed)["code"])
    token: str = answer.raise_for_status().json()["access_token"]
    return token


async def who(world: World, token: str, path: str = "/mcp") -> tuple[str, Active]:
    """Who the token speaks for, as it is told on, and its grant."""
    resource = world.running.site.resource(world.issuer + path)
    assert resource is not None
    headers = [(b"authorization", f"Bearer {token}".encode())]
    access = await world.running.bearer.check(headers, resource, (), "GET", "")
    return access.opened.grant.login.identity.subject, access.opened.grant


async def test_the_page_asks_where_to_log_in(world: World) -> None:
    client = await world.client()
    assert await choices(world, client) == ["staff", "partners"]
    subject, _ = await who(world, await log_in(world, client, "staff"))
    assert subject == "alice"
    subject, _ = await who(world, await log_in(world, client, "partners"))
    assert subject == "partners|alice"


async def test_the_choice_in_a_real_browser(
    world: World, tab: Page, landing_client: OAuthClient, partner: FakeUpstream
) -> None:
    await tab.goto(landing_client.authorization().url)
    await screenshot(tab, "several-upstreams")
    await tab.get_by_role("button", name="Allow, and log in at 127.0.0.1").click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    assert (world.upstream.seen["token"], partner.seen["token"]) == (0, 1)


async def test_users_of_the_same_name_at_two_providers_are_two_users(world: World) -> None:
    """Both have an alice; what one may do is never the other's."""
    client = await world.client()
    seen = {(await who(world, await log_in(world, client, name)))[0] for name in NAMES}
    assert len(seen) == 2


async def test_a_provider_cannot_speak_of_another_ones_user(
    world: World, upstream: FakeUpstream
) -> None:
    upstream.user = "partners|alice"
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        landed = await browser.submit(page, {"decision": "approve", "upstream": "staff"})
    assert landed.status == 502
    assert world.stored() == 1  # the claim


async def test_a_login_hint_brings_its_domain_to_the_front(world: World) -> None:
    client = await world.client()
    assert await choices(world, client, login_hint="bob@Partner.example") == ["partners", "staff"]
    assert await choices(world, client, login_hint="bob@else.example") == ["staff", "partners"]


async def test_a_client_may_name_the_provider(world: World) -> None:
    client = await world.client()
    assert await choices(world, client, acr_values="phr idp:partners") == []
    token = await log_in(world, client, None, acr_values="idp:partners")
    assert (await who(world, token))[0] == "partners|alice"
    metadata = (await world.http.get(f"{world.issuer}/.well-known/openid-configuration")).json()
    assert metadata["acr_values_supported"] == ["idp:staff", "idp:partners"]


async def test_one_that_is_not_there_is_not_insisted_on(world: World) -> None:
    client = await world.client()
    assert await choices(world, client, acr_values="idp:nobody") == ["staff", "partners"]


async def test_a_resource_says_whose_users_it_is_for(world: World) -> None:
    client = await world.client()
    office = f"{world.issuer}/office"
    assert await choices(world, client, resource=office) == []
    assert await choices(world, client, resource=office, acr_values="idp:partners") == []
    token = await log_in(world, client, None, resource=office, acr_values="idp:partners")
    assert (await who(world, token, "/office"))[0] == "alice"


async def test_resources_without_a_provider_in_common_are_refused(world: World) -> None:
    client = await world.client()
    url = client.authorization().url
    more = [("resource", f"{world.issuer}/office"), ("resource", f"{world.issuer}/shop")]
    async with world.browser() as browser:
        landed = await browser.open(f"{url}&{urlencode(more)}")
    assert told(landed)["error"] == "invalid_target"


async def test_only_what_the_page_offered_can_be_chosen(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization(resource=f"{world.issuer}/shop").url)
        for name in ("staff", "nobody", ""):
            landed = await browser.submit(page, {"decision": "approve", "upstream": name})
            assert landed.url.endswith("/consent") == (name != ""), name
    assert not world.upstream.queries


async def test_spec119_an_answer_to_another_providers_callback_is_refused(
    world: World, upstream: FakeUpstream
) -> None:
    """RFC 9700 §4.4: a code of one provider must not be sent to the other."""
    client = await world.client()
    async with world.browser() as browser:
        browser.stop_at = (*browser.stop_at, f"{world.issuer}/callback")
        page = await browser.open(client.authorization().url)
        back = await browser.submit(page, {"decision": "approve", "upstream": "staff"})
        assert urlsplit(back.url).path == "/callback"
        browser.stop_at = ()
        landed = await browser.open(back.url.replace("/callback?", "/callback/partners?"))
    assert landed.status == 400
    assert "login began at another identity provider" in landed.text
    assert upstream.seen["token"] == 0


async def test_each_providers_tokens_are_renewed_and_ended_there(
    world: World, upstream: FakeUpstream, partner: FakeUpstream
) -> None:
    client = await world.client()
    token = await log_in(world, client, "partners")
    _, grant = await who(world, token)
    upstreams = world.running.upstreams
    renewed = await upstreams.refresh(upstream_of(grant), now=int(world.clock()))
    assert (upstream.seen["refresh_token"], partner.seen["refresh_token"]) == (0, 1)
    assert renewed.tokens.provider == "partners"
    await client.revoke(token)
    await world.running.revoker.drain()
    assert (upstream.seen["revoke"], partner.seen["revoke"]) == (0, 1)


async def test_a_provider_that_was_taken_out_ends_no_login(
    world: World, clock: ManualClock, tmp_path: Path
) -> None:
    """It may have been a mistake: what must be renewed there is not available."""
    client = await world.client()
    _, grant = await who(world, await log_in(world, client, "partners"))
    only_staff = Upstreams([(m.upstream, m.client) for m in world.running.upstreams][:1])
    with pytest.raises(UpstreamUnavailable, match="partners"):
        await only_staff.refresh(upstream_of(grant), now=int(clock()))


def broken(*sections: dict[str, Any]) -> str:
    """The key that the error names."""
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": [{"issuer": "https://idp.example", "client_id": "x"} | s for s in sections],
        "resource": [{"path": "/mcp", "upstreams": ["a"]}],
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, base=Path(), environ={})
    return caught.value.key


def test_settings_that_cannot_be_meant() -> None:
    assert broken() == "upstream"
    assert broken({"name": "a"}, {"name": "a"}) == "upstream[1].name"
    assert broken({"name": "a"}, {"name": "B c"}) == "upstream[1].name"
    assert broken({"name": "b"}, {"name": "c"}) == "resource[0].upstreams"
    assert broken({"name": "a"}, {"name": "b", "client_id": ""}) == "upstream[1].client_id"
    first = {"legacy_default": True}
    assert broken({"name": "a"} | first, {"name": "b"} | first) == "upstream[1].legacy_default"


def test_a_setting_under_its_old_name_is_refused_with_the_new_one() -> None:
    old = section(FakeUpstream(clock=lambda: 0.0), "a", was_the_only_one=True)
    with pytest.raises(ConfigError, match="is called legacy_default now"):
        parse(
            {"issuer": "https://a.example", "upstream": [old], "resource": []},
            base=Path(),
            environ={},
        )
