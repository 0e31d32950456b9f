"""A remembered consent in Chromium: what it says about where a navigation began, over real TLS.

Three sites, as Chromium sees them: Mintage, the app, and one of an attacker.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import BrowserContext, Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient, answer_of
from mintage.testing.serving import serving
from tests.support.certificates import Authority
from tests.support.pages_in_a_browser import checked
from tests.support.tab import screenshot
from tests.support.world import World, opened_world

DAY = 86400
LINK = '<a id="go" href="{url}">Connect</a><iframe name="frame"></iframe>'


@pytest.fixture
def ports() -> tuple[int, int]:
    """Of Mintage, and of the other sites."""
    return free_port(), free_port()


@pytest.fixture
def app_site(ports: tuple[int, int]) -> str:
    return f"https://app.example:{ports[1]}"


@pytest.fixture
async def world(
    ports: tuple[int, int],
    app_site: str,
    clock: ManualClock,
    upstream: FakeUpstream,
    tmp_path: Path,
) -> AsyncIterator[World]:
    """Mintage and the two other sites, all on TLS."""
    overrides: dict[str, Any] = {
        "issuer": f"https://auth.example:{ports[0]}",
        "consent": {"remember_seconds": 30 * DAY},
        "client": [
            {"client_id": "portal", "name": "The Portal", "redirect_uris": [f"{app_site}/callback"]}
        ],
    }
    sites = Starlette(
        routes=[
            Route("/callback", lambda _: PlainTextResponse("welcome back")),
            Route("/start", _start),
            Route("/redirect", _redirect),
        ]
    )
    certificate = str(Authority.create(tmp_path, "authority").sign("app.example"))
    async with (
        opened_world(clock, upstream, tmp_path, overrides, {}) as world,
        serving(
            _tls(world.app, ports[0], certificate),
            _tls(sites, ports[1], certificate),
        ),
    ):
        yield world


def _tls(app: Any, port: int, certificate: str) -> uvicorn.Server:
    config = uvicorn.Config(
        app, port=port, ssl_certfile=certificate, log_config=None, lifespan="off",
        proxy_headers=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


async def _start(request: Request) -> Response:
    """A page with a link to where the query says."""
    return HTMLResponse(LINK.format(url=request.url.query.replace("&", "&amp;")))


async def _redirect(request: Request) -> Response:
    """What an app's own address for starting a login does."""
    return Response(status_code=303, headers={"location": request.url.query})


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--host-resolver-rules=MAP *.example 127.0.0.1",
            ],
        )
        yield await opened.new_context(
            ignore_https_errors=True, viewport={"width": 900, "height": 900}
        )
        await opened.close()


@pytest.fixture
async def tab(browser: BrowserContext) -> Page:
    return await browser.new_page()


@pytest.fixture
def portal(world: World, app_site: str) -> OAuthClient:
    return OAuthClient(
        world.issuer,
        world.http,
        world.resource,
        "portal",
        redirect_uri=f"{app_site}/callback",
    )


async def agree(tab: Page, portal: OAuthClient, app_site: str) -> None:
    """Log in from the app's own page, and let Mintage remember it."""
    await tab.goto(f"{app_site}/start?{portal.authorization().url}")
    await tab.locator("#go").click()
    box = tab.get_by_role("checkbox", name="Don't ask again for 30 days")
    assert not await box.is_checked()
    await box.check()
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.wait_for_url(f"{portal.redirect_uri}?**")


async def test_the_page_is_skipped_from_the_apps_own_site(
    tab: Page, portal: OAuthClient, app_site: str
) -> None:
    await agree(tab, portal, app_site)
    login = portal.authorization()
    await tab.goto(f"{app_site}/start?{login.url}")
    await tab.locator("#go").click()
    await tab.wait_for_url(f"{portal.redirect_uri}?**")
    assert answer_of(tab.url)["state"] == login.state


async def test_the_page_is_skipped_after_a_redirect_of_the_apps_own_site(
    tab: Page, portal: OAuthClient, app_site: str
) -> None:
    await agree(tab, portal, app_site)
    login = portal.authorization()
    await tab.goto(f"{app_site}/start?{app_site}/redirect?{login.url}")
    await tab.locator("#go").click()
    await tab.wait_for_url(f"{portal.redirect_uri}?**")
    assert answer_of(tab.url)["state"] == login.state


async def test_the_page_is_skipped_in_a_window_that_the_app_opens(
    tab: Page, portal: OAuthClient, app_site: str
) -> None:
    await agree(tab, portal, app_site)
    await tab.goto(f"{app_site}/start")
    async with tab.context.expect_page() as opened:
        await tab.evaluate(
            "url => { window.open(url, 'login', 'popup') }", portal.authorization().url
        )
    window = await opened.value
    await window.wait_for_url(f"{portal.redirect_uri}?**")


async def test_attack_b03_a_link_in_a_mail_is_asked(
    tab: Page, portal: OAuthClient, app_site: str
) -> None:
    await agree(tab, portal, app_site)
    await tab.goto(portal.authorization().url)
    await tab.get_by_role("button", name="Deny").wait_for()


@pytest.mark.parametrize("through_the_app", [False, True])
async def test_attack_b03_a_link_of_another_site_is_asked(
    tab: Page, portal: OAuthClient, app_site: str, *, through_the_app: bool
) -> None:
    """Also if it leads through an open redirect of the app's own site."""
    await agree(tab, portal, app_site)
    url = portal.authorization().url
    if through_the_app:
        url = f"{app_site}/redirect?{url}"
    await tab.goto(f"{app_site.replace('app.', 'evil.')}/start?{url}")
    await tab.locator("#go").click()
    await tab.get_by_role("button", name="Deny").wait_for()


async def test_attack_b03_a_link_without_its_address_is_asked(
    tab: Page, portal: OAuthClient, app_site: str
) -> None:
    """A page can keep back where a link was."""
    await agree(tab, portal, app_site)
    await tab.goto(f"{app_site}/start?{portal.authorization().url}")
    await tab.evaluate("document.querySelector('#go').referrerPolicy = 'no-referrer'")
    await tab.locator("#go").click()
    await tab.get_by_role("button", name="Deny").wait_for()


async def test_attack_b03_a_frame_gets_no_code(
    tab: Page, portal: OAuthClient, app_site: str, upstream: FakeUpstream
) -> None:
    await agree(tab, portal, app_site)
    before = upstream.seen["authorization_code"]
    await tab.goto(f"{app_site}/start?{portal.authorization().url}")
    await tab.evaluate("document.querySelector('#go').target = 'frame'")
    async with tab.expect_response(lambda response: "/authorize?" in response.url) as answer:
        await tab.locator("#go").click()
    assert "http-equiv" not in await _text(await answer.value)
    assert upstream.seen["authorization_code"] == before


async def _text(response: Any) -> str:
    try:
        text: str = await response.text()
    except Exception:  # noqa: BLE001  (Chromium keeps the body of a page that it does not show)
        return ""
    return text


async def test_the_pages_are_for_everybody(
    tab: Page, portal: OAuthClient, app_site: str, world: World
) -> None:
    """WCAG AA, in both themes and on a phone; and with a picture of each."""
    await tab.goto(portal.authorization().url)
    await checked(tab, "question-remember")
    await agree(tab, portal, app_site)
    await tab.goto(f"{world.issuer}/account")
    await tab.locator("button[value=oidc]").click()
    await tab.get_by_role("button", name="Forget").wait_for()
    await checked(tab, "account-remembered")
    await tab.get_by_role("button", name="Forget").click()
    await tab.get_by_role("button", name="Forget").wait_for(state="detached")
    await screenshot(tab, "account-forgotten")
    await tab.goto(f"{app_site}/start?{portal.authorization().url}")
    await tab.locator("#go").click()
    await tab.get_by_role("button", name="Deny").wait_for()
