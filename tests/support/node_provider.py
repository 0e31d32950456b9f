"""node-oidc-provider as the identity provider, and people who log in and out there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from mintage.testing.browser import Browser, Page
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of
from tests.support.node import running

CLIENT_SECRET: Final = "a-secret-of-the-node-provider"


@dataclass
class NodeProvider:
    """*issuer*: its address. Mintage is its client ``mintage``, with `CLIENT_SECRET`."""

    issuer: str

    async def log_in(self, browser: Browser, client: OAuthClient, user: str) -> dict[str, Any]:
        """The tokens that *client* gets for *user*, whose *browser* goes through all pages."""
        login = client.authorization()
        page = await browser.open(login.url)
        page = await browser.submit(page, {"decision": "approve"})
        while not page.url.startswith(REDIRECT_URI):
            page = await browser.submit(page, self.filled(page, user))
        answer = await client.redeem(login, answer_of(page)["code"])
        tokens: dict[str, Any] = answer.raise_for_status().json()
        return tokens

    def filled(self, page: Page, user: str) -> dict[str, str]:
        """What *user* fills in on a page of the provider."""
        fields = page.form().fields
        return {"login": user, "password": "any"} if "login" in fields else {}

    async def confirmation(self, browser: Browser) -> Page:
        """The page that asks the person in *browser* whether to log out."""
        return await browser.open(f"{self.issuer}/session/end")

    async def log_out(self, browser: Browser) -> Page:
        """The person in *browser* logs out at the provider."""
        return await self.confirm(browser, await self.confirmation(browser))

    async def confirm(self, browser: Browser, page: Page) -> Page:
        """The person agrees to be logged out, on *page*."""
        return await browser.submit(page, {"logout": "yes"})


@asynccontextmanager
async def node_provider(
    mintage: str, *, session_required: bool = True
) -> AsyncIterator[NodeProvider]:
    """A provider for the server with the issuer *mintage*.

    *session_required*: whether its logout tokens name the session.
    """
    port = free_port()
    client = {
        "client_id": "mintage",
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [f"{mintage}/callback"],
        "post_logout_redirect_uris": [f"{mintage}/account"],
        "grant_types": ["authorization_code", "refresh_token"],
        "backchannel_logout_uri": f"{mintage}/backchannel-logout",
        "backchannel_logout_session_required": session_required,
    }
    arguments = json.dumps({"port": port, "client": client})
    async with running("provider.mjs", arguments) as process:
        assert process.stdout is not None
        said: list[bytes] = []
        async for line in process.stdout:
            said.append(line)
            if line == b"listening\n":
                break
        else:
            raise AssertionError(b"".join(said).decode())
        reading = asyncio.create_task(_read_all(process.stdout))
        try:
            yield NodeProvider(f"http://127.0.0.1:{port}")
        finally:
            reading.cancel()


async def _read_all(lines: asyncio.StreamReader) -> None:
    async for _ in lines:
        pass
