"""The page for operators in Chromium: in both themes, on a phone, and under axe-core."""

import base64

import uvicorn
from playwright.async_api import Page

from mintage.admin.site import AdminSite
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.admin.conftest import TOKEN
from tests.support.pages_in_a_browser import checked
from tests.support.world import World


async def test_the_page_is_read_by_everybody(world: World, site: AdminSite, tab: Page) -> None:
    world.upstream.user = "alice"
    for name in ("The Editor", "A client with a rather long name that goes on"):
        client = await world.client(client_name=name)
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
    await client.refresh(tokens["refresh_token"])
    await client.refresh("wrong")
    await world.running.client_denials.deny("app.evil.example", by="olga")
    port = free_port()
    config = uvicorn.Config(site, port=port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        credentials = base64.b64encode(f"operator:{TOKEN}".encode()).decode()
        await tab.set_extra_http_headers({"authorization": f"Basic {credentials}"})
        answer = await tab.goto(f"http://127.0.0.1:{port}/")
        assert answer is not None
        assert answer.status == 200
        text = await tab.inner_text("main")
        assert "2 live logins" in " ".join(text.split())
        assert "The Editor" in text
        assert "invalid_grant" in text
        assert "app.evil.example" in text
        assert await tab.query_selector_all("form, button, script, a[href]") == []
        await checked(tab, "admin")
