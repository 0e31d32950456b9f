"""A real web site, a real browser, and the login between: by the gateway, and behind proxies."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from playwright.async_api import Page as Tab
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.browsers import FETCH
from tests.support.pages_in_a_browser import checked
from tests.support.provider_settings import section
from tests.support.proxies import FOR_SITES, ROOT, caddy, nginx, running
from tests.support.world import World

pytest.importorskip("flask")
pytest.importorskip("gunicorn")

FRONTS: Final[dict[str, Callable[..., AbstractAsyncContextManager[object]]]] = {
    "nginx": nginx,
    "caddy": caddy,
}
SITE = {
    "path": "/",
    "name": "The Notes",
    "scopes": ["notes"],
    "credential": "identity",
    "browser": True,
}
NAMED = {"branding": {"name": "Example Notes", "support": "help@example.com"}}
ADMINS = {"path": "/admin", "claims": {"groups": "admins"}}


@pytest.fixture(params=["gateway", *FRONTS])
def front(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ports() -> tuple[int, int]:
    """Where the site is, and where its proxy is."""
    return free_port(), free_port()


@pytest.fixture
def overrides(front: str, ports: tuple[int, int], upstream: FakeUpstream) -> dict[str, Any]:
    if front == "gateway":
        return NAMED | {"resource": [SITE | {"backend": f"http://127.0.0.1:{ports[0]}"}]}
    return NAMED | {
        "issuer": f"http://127.0.0.1:{ports[1]}",
        "resource": [SITE],
        "gateway": {"forward_auth": front},
    }


@pytest.fixture
async def site(
    world: World, front: str, ports: tuple[int, int], tmp_path: Path
) -> AsyncIterator[World]:
    at, listen = ports
    command = [
        sys.executable, "-m", "gunicorn", "--chdir", str(ROOT), "--bind", f"127.0.0.1:{at}",
        "--log-level", "critical", "tests.support.flask_site:app",
    ]  # fmt: skip
    async with AsyncExitStack() as stack:
        log = tmp_path / "site.log"
        await stack.enter_async_context(running(*command, port=at, log=log, home=tmp_path))
        if front in FRONTS:
            run = FRONTS[front]
            await stack.enter_async_context(
                run(tmp_path, listen=listen, mintage=world.port, tools=at, page=FOR_SITES)
            )
        yield world


@asynccontextmanager
async def other_site(host: str, html: str) -> AsyncIterator[str]:
    """A page with *html* at another origin; its URL."""
    port = free_port()
    app = Starlette(routes=[Route("/", lambda _: HTMLResponse(html))])
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        yield f"http://{host}:{port}/"


async def cookies_of(tab: Tab) -> dict[str, str]:
    found = ((one.get("name"), one.get("value")) for one in await tab.context.cookies())
    return {name: value for name, value in found if name and value}


async def test_login_return_script_form_and_sign_out(tab: Tab, site: World) -> None:
    await tab.goto(f"{site.issuer}/page/one?q=two")
    assert tab.url == f"{site.issuer}/page/one?q=two"
    assert await tab.inner_text("h1") == "Notes of alice"
    assert await tab.inner_text("#query") == "one two"

    await tab.reload()
    assert await tab.inner_text("#cookies") == "theme", "the site's own, and none of Mintage's"
    await tab.evaluate("load()")
    assert await tab.inner_text("#data") == "200 false"
    await tab.get_by_role("button", name="Add").click()
    await tab.wait_for_url("**/notes")
    assert "alice has" in await tab.inner_text("body")

    await tab.goto(f"{site.issuer}/page/one")
    kept = {name: value for name, value in (await cookies_of(tab)).items() if "session" in name}
    assert len(kept) == 1
    await tab.get_by_role("link", name="Sign out").click()
    await tab.get_by_role("heading", name="Sign out").wait_for()
    assert "The Notes" in await tab.inner_text("main")
    await tab.get_by_role("button", name="Sign out").click()
    await tab.get_by_role("heading", name="You are signed out").wait_for()
    assert not [name for name in await cookies_of(tab) if "session" in name]
    copied = FETCH | {"cookie": "; ".join(f"{name}={value}" for name, value in kept.items())}
    assert (await site.http.get(f"{site.issuer}/data", headers=copied)).status_code == 401


async def test_a_script_without_a_session_gets_401_and_no_redirect(tab: Tab, site: World) -> None:
    await tab.goto(f"{site.issuer}/page/one")
    await tab.context.clear_cookies()
    await tab.evaluate("load()")
    assert await tab.inner_text("#data") == "401 false"
    await tab.reload()
    assert await tab.inner_text("h1") == "Notes of alice", "a person is sent to the login"


async def test_attack_b04_for_browser_sessions_pages_elsewhere_can_send_nothing(
    tab: Tab, site: World
) -> None:
    """Another host, and another port of the same host: to that one browsers send the cookie."""
    await tab.goto(f"{site.issuer}/page/one")
    form = f"""<title>x</title><link rel="icon" href="data:,">
        <form method="post" action="{site.issuer}/notes">
        <input name="note" value="forged"><button>Win</button></form>"""
    for host, status in (("localhost", 401), ("127.0.0.1", 403)):
        async with other_site(host, form) as url:
            await tab.goto(url)
            async with tab.expect_response(f"{site.issuer}/data") as read:
                await tab.evaluate(
                    f"fetch('{site.issuer}/data', {{mode: 'no-cors', credentials: 'include'}})"
                    ".then(() => null)"
                )
            assert (await read.value).status == status, host
            async with tab.expect_response(f"{site.issuer}/notes") as sent:
                await tab.get_by_role("button", name="Win").click()
            assert (await sent.value).status == status, host
            await tab.wait_for_load_state()
    await tab.goto(f"{site.issuer}/page/one")
    notes = await tab.evaluate("fetch('/data').then(answer => answer.text())")
    assert "notes" in notes
    assert "forged" not in notes


@pytest.mark.parametrize("front", ["gateway"])
async def test_a_link_elsewhere_leads_to_the_page(tab: Tab, site: World) -> None:
    await tab.goto(f"{site.issuer}/page/one")
    link = f'<title>x</title><link rel="icon" href="data:,"><a href="{site.issuer}/page/two">go</a>'
    async with other_site("localhost", link) as url:
        await tab.goto(url)
        await tab.get_by_role("link", name="go").click()
        await tab.wait_for_url("**/page/two")
        assert await tab.inner_text("h1") == "Notes of alice"


@pytest.mark.parametrize("front", ["gateway"])
async def test_the_pages_are_accessible(tab: Tab, site: World) -> None:
    await tab.goto(f"{site.issuer}/page/one")
    await tab.goto(f"{site.issuer}/mintage/sign-out")
    await checked(tab, "sign-out")
    await tab.get_by_role("button", name="Sign out").click()
    await tab.get_by_role("heading", name="You are signed out").wait_for()
    await checked(tab, "signed-out")
    await tab.goto(f"{site.issuer}/mintage/sign-out")
    await checked(tab, "not-signed-in")


class TestSeveralProviders:
    @pytest.fixture(params=["gateway"])
    def front(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    async def partner(self, clock: ManualClock) -> AsyncIterator[FakeUpstream]:
        async with FakeUpstream(clock).running() as running:
            yield running

    @pytest.fixture
    def overrides(
        self, ports: tuple[int, int], upstream: FakeUpstream, partner: FakeUpstream
    ) -> dict[str, Any]:
        partner.client_secret = upstream.client_secret
        site = SITE | {"backend": f"http://127.0.0.1:{ports[0]}", "rule": [ADMINS]}
        return NAMED | {
            "resource": [site],
            "upstream": [
                section(upstream, "staff", title="Our staff"),
                section(partner, "partners", title="Partners"),
            ],
        }

    async def test_the_choice_and_the_refusals_are_accessible(self, tab: Tab, site: World) -> None:
        await tab.goto(f"{site.issuer}/page/one?q=two")
        await tab.get_by_role("heading", name="Sign in").wait_for()
        await checked(tab, "site-choice")
        await tab.locator("a[href*='upstream=partners']").click()
        await tab.wait_for_url("**/page/one?q=two")
        assert await tab.inner_text("h1") == "Notes of partners|alice"
        await tab.goto(f"{site.issuer}/admin")
        await tab.get_by_role("heading", name="You may not do this here").wait_for()
        await checked(tab, "site-forbidden")
        await tab.goto(f"{site.issuer}/page/one")
        await tab.context.clear_cookies()
        await tab.get_by_role("button", name="Add").click()
        await tab.get_by_role("heading", name="You are not signed in").wait_for()
        await checked(tab, "site-session")
