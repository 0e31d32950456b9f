"""The official MCP client, and every step of the life of a login that it goes through."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientMetadata,
    OAuthToken,
)
from mcp_types import TextContent
from pydantic import AnyUrl

from mintage.crypto.derivation import purpose_key
from mintage.crypto.sealing import record_key
from mintage.demo.memory import Memory
from mintage.demo.show import Show
from mintage.demo.stage import Stage
from mintage.errors import SealError
from mintage.grants import handles, records
from mintage.grants.states import Active
from mintage.jwt.inspection import inspect_token
from mintage.testing.browser import Browser, Page

CALLBACK: Final = "http://127.0.0.1:43117/callback"  # no server listens: the browser stops there

_TITLES: Final = {
    ("POST", "/mcp", 401): "The client calls the server; the 401 says where to log in",
    ("GET", "/.well-known/oauth-protected-resource/mcp", 200): "Protected resource metadata",
    ("GET", "/.well-known/oauth-authorization-server", 200): "Authorization server metadata",
    ("POST", "/register", 201): "Registration: the client_id is itself the registration",
    ("GET", "/authorize", 200): "Authorization: the browser opens; Mintage asks the user",
    ("POST", "/consent", 200): "Consent: only now does the browser go to the login provider",
    ("POST", "/token", 200): "Token",
}


@dataclass
class User:
    """A person at a browser, who reads the consent page, agrees, and logs in."""

    browser: Browser
    name: str
    password: str
    landed: str = ""

    async def redirect(self, url: str) -> None:
        page = await self.browser.open(url)
        page = await self.browser.submit(page, {"decision": "approve"})
        page = await self._log_in(page)
        self.landed = page.url

    async def _log_in(self, page: Page) -> Page:
        return await self.browser.submit(page, {"username": self.name, "password": self.password})

    async def callback(self) -> AuthorizationCodeResult:
        answer = {name: values[0] for name, values in parse_qs(urlsplit(self.landed).query).items()}
        return AuthorizationCodeResult(
            code=answer["code"], state=answer.get("state"), iss=answer.get("iss")
        )


@dataclass
class Walk:
    """All steps, in order. *show* knows whether they succeeded."""

    stage: Stage
    show: Show
    memory: Memory = field(default_factory=Memory)
    _replaying: bool = False

    async def run(self) -> None:
        browser = Browser(stop_at=(CALLBACK,), on_response=self._observe)
        async with browser:
            user = User(browser, self.stage.provider.username, self.stage.provider.password)
            provider = self._provider(user)
            async with (
                httpx2.AsyncClient(
                    auth=provider, trust_env=False, timeout=60,
                    event_hooks={"response": [self._observe_async]},
                ) as http,
                Client(streamable_http_client(self.stage.mcp_url, http_client=http)) as client,
            ):  # fmt: skip
                await self._use_tools(client)
                self._anatomy()
                await self._refresh(provider, client)
        await self._replay()

    def _provider(self, user: User) -> OAuthClientProvider:
        metadata = OAuthClientMetadata(
            redirect_uris=[AnyUrl(CALLBACK)],
            client_name="The demo's MCP client",
            grant_types=["authorization_code", "refresh_token"],
            token_endpoint_auth_method="none",  # noqa: S106
        )
        return OAuthClientProvider(
            self.stage.mcp_url, metadata, self.memory, user.redirect, user.callback
        )

    async def _use_tools(self, client: Client) -> None:
        self.show.step("The client lists the server's tools")
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        self.show.check(tools == ["profile", "whoami"], ", ".join(tools))
        self.show.step("whoami: the server learns from the gateway who calls")
        who = await self._call(client, "whoami")
        self.show.check(who == self.stage.provider.username, who)
        self.show.step("profile: the server asks the login provider, with the user's own token")
        profile = await self._call(client, "profile")
        self.show.check(profile.startswith("200 ") and "email" in profile, profile)

    async def _call(self, client: Client, tool: str) -> str:
        result = await client.call_tool(tool, {})
        return " ".join(part.text for part in result.content if isinstance(part, TextContent))

    def _anatomy(self) -> None:
        self.show.step("What the client holds, and what it does not")
        token = self._token().access_token
        found = inspect_token(token, now=0)
        self.show.pairs((claim.name, claim.shown) for claim in found.claims)
        handle = handles.parse_jti(_claim(token, "jti"))
        if handle is None:
            self.show.check(good=False, text="a jti that opens the vault")
            return
        key = handles.store_key(handle.secret)
        row = self._row(key)
        self.show.note(
            f"the database row of grant {handles.grant_id(key)}: {len(row)} sealed bytes"
        )
        self.show.check(
            not self._opens(row, key, b"\0" * handles.SECRET_BYTES),
            "the row and the server's secret alone do not open it",
        )
        grant = records.decode(row, key=record_key(self._seal_key(), handle.secret), store_key=key)
        tokens = grant.upstream if isinstance(grant, Active) else None
        upstream = "" if tokens is None else tokens.access_token
        self.show.check(bool(upstream), f"with the token's jti it opens: {upstream[:16]}…")
        self.show.check(upstream not in token, "that upstream token is nowhere in the client's")
        self.show.check(upstream.encode() not in row, "nor in the database, unsealed")

    def _opens(self, row: bytes, key: bytes, secret: bytes) -> bool:
        try:
            records.decode(row, key=record_key(self._seal_key(), secret), store_key=key)
        except SealError:
            return False
        return True

    def _row(self, key: bytes) -> bytes:
        path = self.stage.config.store.partition("://")[2]
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            (row,) = db.execute("SELECT record FROM record WHERE key = ?", (key,)).fetchone()
        finally:
            db.close()
        return bytes(row)

    def _seal_key(self) -> bytes:
        return purpose_key(self.stage.config.secret, "seal")

    async def _refresh(self, provider: OAuthClientProvider, client: Client) -> None:
        self.show.step("Refresh: the client's token is old, so the client asks for a new pair")
        self._replaying = True  # from here on, steps are named where they are made
        self.first = self._token()
        provider.context.token_expiry_time = 1
        who = await self._call(client, "whoami")
        self.show.check(who == self.stage.provider.username, f"still {who}, with new tokens")
        self.show.check(
            self._token().refresh_token != self.first.refresh_token, "the refresh token was rotated"
        )

    async def _replay(self) -> None:
        grace = self.stage.config.tokens.refresh_grace
        self.show.step(f"A thief sends the old refresh token again, after the grace of {grace} s")
        async with httpx2.AsyncClient(
            trust_env=False, event_hooks={"response": [self._observe_async]}
        ) as http:
            await asyncio.sleep(grace + 1)
            client_id = self.memory.client.client_id if self.memory.client else ""
            answer = await http.post(
                f"{self.stage.issuer}/token",
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": self.first.refresh_token or "",
                    "client_id": client_id or "",
                },
            )
            error = answer.json().get("error")
            self.show.check(
                (answer.status_code, error) == (400, "invalid_grant"), "refused: invalid_grant"
            )
            self.show.step("Two had that token, so Mintage ends the grant, its newest token too")
            answer = await http.post(
                self.stage.mcp_url,
                json={},
                headers={"authorization": f"Bearer {self._token().access_token}"},
            )
            self.show.check(answer.status_code == 401, "401: the user has to log in again")  # noqa: PLR2004

    def _token(self) -> OAuthToken:
        if self.memory.tokens is None:
            raise RuntimeError("the client has no token")
        return self.memory.tokens

    def _observe(self, response: httpx2.Response) -> None:
        request = response.request
        ours = str(request.url).startswith(self.stage.issuer)
        title = self._title(ours, request.method, request.url.path, response.status_code)
        if title is not None and not self._replaying:
            self.show.step(title)
        if request.url.path != "/mcp" or response.status_code != 200:  # noqa: PLR2004
            self.show.exchange(response)

    def _title(self, ours: bool, method: str, path: str, status: int) -> str | None:  # noqa: FBT001
        if not ours:
            return "The login provider asks who it is" if method == "GET" else "The user logs in"
        if path == "/callback":
            return "Callback: the login is finished in the browser that began it; a code is out"
        return _TITLES.get((method, path, status))

    async def _observe_async(self, response: httpx2.Response) -> None:
        self._observe(response)


def _claim(token: str, name: str) -> str:
    """One claim of a token, read without verifying it, as its client could."""
    import json

    from mintage.crypto.base64url import decode_text

    payload = token.split(".")[1]
    claims = json.loads(decode_text(payload))
    return str(claims[name])
