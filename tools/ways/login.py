"""A login by a scripted browser, as a program of its own: it may run in another network.

::

    python -m tools.ways.login RESOURCE [--scope SCOPE] [--tool TOOL]
    python -m tools.ways.login --page URL

The first logs in as an MCP client does, and calls *TOOL* with the token. The second does only what
a person does: it opens a page, allows the app, and logs in.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of

_PEOPLE: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ('name="password"', {"username": "admin", "password": "admin"}),
    ('value="alice"', {"username": "alice"}),
)


async def log_in(browser: Browser, url: str) -> Page:
    """Open *url*, allow the app where that is asked, and log in at the provider's page."""
    page = await browser.open(url)
    if 'name="decision"' in page.text:
        page = await browser.submit(page, {"decision": "approve"})
    for sign, fields in _PEOPLE:
        if sign in page.text:
            page = await browser.submit(page, dict(fields))
            break
    if page.status >= 400:  # noqa: PLR2004
        raise AssertionError(f"{page.status} at {page.url}: {page.text[:500]}")
    return page


async def as_client(resource: str, scope: str | None, tool: str | None) -> str:
    """Register, log in, and use the token. Returns what the resource says."""
    parts = urlsplit(resource)
    issuer = f"{parts.scheme}://{parts.netloc}"
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=30) as http,
        Browser(stop_at=(REDIRECT_URI,)) as browser,
    ):
        refused = await http.get(resource)
        challenge = refused.headers.get("www-authenticate", "")
        if refused.status_code != 401 or "resource_metadata" not in challenge:  # noqa: PLR2004
            raise AssertionError(f"{resource} asks for no login: {refused.status_code}")
        client = await OAuthClient(issuer, http, resource).register()
        attempt = client.authorization(scope=scope)
        landed = await log_in(browser, attempt.url)
        found = await client.redeem(attempt, answer_of(landed)["code"])
        token = found.raise_for_status().json()["access_token"]
        if tool is None:
            return f"{(await client.call(token)).status_code} with a token, 401 without"
    return await _called(resource, token, tool)


async def _called(resource: str, token: str, tool: str) -> str:
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(resource, http_client=http)) as client,
    ):
        result = await client.call_tool(tool, {})
    (content,) = result.content
    assert isinstance(content, TextContent)
    return f"{tool} says {content.text}"


async def as_person(url: str) -> str:
    """Do what a person does with the page that a program opened."""
    async with Browser() as browser:
        page = await log_in(browser, url)
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())[:200]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.ways.login")
    parser.add_argument("url")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--scope")
    parser.add_argument("--tool")
    chosen = parser.parse_args()
    work = (
        as_person(chosen.url) if chosen.page else as_client(chosen.url, chosen.scope, chosen.tool)
    )
    print(asyncio.run(work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
