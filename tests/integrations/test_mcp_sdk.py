"""A server of the official SDK with the login around it, and the official client before it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from mcp_types import TextContent
from pydantic import AnyUrl
from starlette.types import ASGIApp

from mintage.demo.memory import Memory
from mintage.errors import StoreUnavailable
from mintage.integrations.mcp_sdk import McpLogin, current_user
from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, answer_of, approve
from tests.integrations.conftest import House, Open
from tests.support.faulty_store import failing

MCP: dict[str, Any] = {"path": "/mcp", "scopes": ["tools"], "optional_scopes": ["more"]}


def notes(login: McpLogin, path: str = "/mcp") -> MCPServer:
    server = MCPServer(
        "notes",
        token_verifier=login.verifier(path),
        auth=login.auth_settings(path),
        log_level="WARNING",
    )

    @server.tool()
    async def whoami() -> str:
        token = get_access_token()
        assert token is not None
        claims = token.claims or {}
        return f"{token.subject} {claims['email']} {' '.join(token.scopes)} {token.resource}"

    @server.tool()
    async def upstream_token() -> str:
        return await current_user().upstream_token()

    return server


def app(login: McpLogin) -> ASGIApp:
    return login.app(notes(login))


@pytest.fixture
async def home(house: Open) -> AsyncIterator[House]:
    async with house(app, kind=McpLogin, resource=[MCP]) as running:
        yield running


class Person:
    """Somebody with a browser and the official client."""

    def __init__(self, browser: Browser, resource: str) -> None:
        self.browser, self.landed, self.memory = browser, list[str](), Memory()
        metadata = OAuthClientMetadata(
            redirect_uris=[AnyUrl(REDIRECT_URI)], token_endpoint_auth_method="none"
        )
        self.provider = OAuthClientProvider(
            resource, metadata, self.memory, self.redirect, self.callback
        )

    async def redirect(self, url: str) -> None:
        self.landed.append((await approve(self.browser, url)).url)

    async def callback(self) -> AuthorizationCodeResult:
        answer = answer_of(self.landed[-1])
        return AuthorizationCodeResult(
            code=answer["code"], state=answer["state"], iss=answer["iss"]
        )


async def call(client: Client, tool: str) -> str:
    result = await client.call_tool(tool, {})
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_login_tool_calls_and_a_refresh(home: House, mode: str) -> None:
    home.upstream.lifetime = 600
    url = f"{home.issuer}/mcp"
    async with Browser(stop_at=(REDIRECT_URI,)) as browser:
        person = Person(browser, url)
        async with (
            httpx2.AsyncClient(
                verify=trusted(), auth=person.provider, trust_env=False, timeout=30
            ) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            told = await call(client, "whoami")
            assert told == f"alice alice@example.com tools {url}"
            first = await call(client, "upstream_token")
            home.clock.advance(601)
            person.provider.context.token_expiry_time = 1  # the client's own clock
            before = person.memory.tokens
            second = await call(client, "upstream_token")
    assert home.upstream.is_live(second)
    assert second != first
    assert before is not None
    assert person.memory.tokens is not None
    assert person.memory.tokens.refresh_token != before.refresh_token
    assert len(person.landed) == 1, "refreshed, not logged in again"


async def test_the_refusal_is_ours_and_so_are_the_documents(home: House) -> None:
    answer = await home.http.post(f"{home.issuer}/mcp", json={})
    assert answer.status_code == 401
    metadata = f"{home.issuer}/.well-known/oauth-protected-resource/mcp"
    assert f'scope="tools", resource_metadata="{metadata}"' in answer.headers["www-authenticate"]
    assert (await home.http.get(metadata)).json()["resource"] == f"{home.issuer}/mcp"


def plain(login: McpLogin) -> ASGIApp:
    return login.app(notes(login), json_response=True)


@pytest.mark.parametrize("build", [app, plain], ids=["event streams", "JSON"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_list_shows_what_the_token_may_call(house: Open, build: Any, mode: str) -> None:
    rule = {"mcp_methods": ["tools/call"], "mcp_names": ["upstream_token"], "scopes": ["more"]}
    filtered = MCP | {"filter_lists": True, "rule": [rule]}
    seen = {}
    async with house(build, kind=McpLogin, resource=[filtered]) as home:
        for scope in ("tools", "tools more"):
            token = (await home.log_in("/mcp", scope=scope)).tokens["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            url = f"{home.issuer}/mcp"
            async with (
                httpx2.AsyncClient(verify=trusted(), headers=headers, trust_env=False) as http,
                Client(streamable_http_client(url, http_client=http), mode=mode) as client,
            ):
                seen[scope] = {tool.name for tool in (await client.list_tools()).tools}
    assert seen == {"tools": {"whoami"}, "tools more": {"whoami", "upstream_token"}}


class TestTheVerifier:
    async def test_knows_client_subject_scopes_claims_and_end(self, home: House) -> None:
        login = home.login
        assert isinstance(login, McpLogin)
        session = await home.log_in("/mcp", scope="tools more")
        token = await login.verifier().verify_token(session.tokens["access_token"])
        assert token is not None
        assert token.client_id == session.client.client_id
        assert token.scopes == ["more", "tools"]
        assert token.resource == f"{home.issuer}/mcp"
        assert (token.claims or {})["iss"] == home.upstream.issuer
        assert token.expires_at == home.clock() + 3605
        assert token.user.subject == token.subject == "alice"

    async def test_makes_a_token_anew_only_when_its_grant_has_changed(self, home: House) -> None:
        login = home.login
        assert isinstance(login, McpLogin)
        verify = login.verifier().verify_token
        session = await home.log_in("/mcp")
        token = session.tokens["access_token"]
        assert await verify(token) is not None, "read from the store"
        first = await verify(token)
        assert first is not None
        assert await verify(token) is first
        other = await verify((await home.log_in("/mcp")).tokens["access_token"])
        assert other is not None
        assert other.token != first.token
        await session.client.refresh(session.tokens["refresh_token"])
        later = await verify(token)
        assert later is not None
        assert later is not first
        assert later.user.grant != first.user.grant

    async def test_knows_none_for_anything_else(self, home: House) -> None:
        login = home.login
        assert isinstance(login, McpLogin)
        session = await home.log_in("/mcp")
        await session.client.revoke(session.tokens["refresh_token"])
        for token in ("", "x", session.tokens["refresh_token"], session.tokens["access_token"]):
            assert await login.verifier().verify_token(token) is None

    async def test_leaves_no_rule_out(self, home: House) -> None:
        """Without the middleware nobody would look at the request."""
        config = home.login.mintage.config
        rules = [{"path": "/admin", "scopes": ["more"]}]
        bare = McpLogin(
            issuer=config.issuer,
            upstream={"issuer": home.upstream.issuer, "client_id": "mintage"},
            resource=MCP | {"rule": rules},
            store="memory://",
        )
        async with bare.lifespan():
            with pytest.raises(RuntimeError, match="/mcp has rules"):
                await bare.verifier().verify_token("x")
            app(bare)
            assert await bare.verifier().verify_token("x") is None

    async def test_says_nothing_of_a_token_while_the_store_is_away(self, home: House) -> None:
        session = await home.log_in("/mcp")
        home.clock.advance(3600)
        login = home.login
        assert isinstance(login, McpLogin)
        with failing(login.running.store), pytest.raises(StoreUnavailable):
            await login.verifier().verify_token(session.tokens["access_token"])


def two(login: McpLogin) -> ASGIApp:
    return login.app(notes(login, "/mcp"), notes(login, "/two"))


async def test_several_servers_in_one_process_are_told_apart(house: Open) -> None:
    resources = [MCP, {"path": "/two", "scopes": ["other"]}]
    async with house(two, kind=McpLogin, base="/base", resource=resources) as home:
        assert isinstance(home.login, McpLogin)
        for path, scope in (("/mcp", "tools"), ("/two", "other")):
            token = (await home.log_in(path)).tokens["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(verify=trusted(), headers=headers, trust_env=False) as http,
                Client(streamable_http_client(home.issuer + path, http_client=http)) as client,
            ):
                told = await call(client, "whoami")
            assert told == f"alice alice@example.com {scope} {home.issuer}{path}"
        with pytest.raises(ValueError, match="one of the resources: /mcp, /two"):
            home.login.verifier()
        with pytest.raises(ValueError, match="notes is at /base/two, where notes is already"):
            home.login.app(notes(home.login, "/two"), notes(home.login, "/two"))
        with pytest.raises(ValueError, match="bare needs auth="):
            home.login.app(MCPServer("bare"))


def at_the_root(login: McpLogin) -> ASGIApp:
    return login.app(notes(login, "/"))


async def test_a_server_may_be_a_whole_site(house: Open) -> None:
    async with house(at_the_root, kind=McpLogin, resource=[MCP | {"path": "/"}]) as home:
        assert isinstance(home.login, McpLogin)
        assert str(home.login.auth_settings().issuer_url) == home.issuer
        token = (await home.log_in("")).tokens["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(verify=trusted(), headers=headers, trust_env=False) as http,
            Client(streamable_http_client(f"{home.issuer}/", http_client=http)) as client,
        ):
            assert await call(client, "whoami") == f"alice alice@example.com tools {home.issuer}"


def test_nobody_is_logged_in_outside_of_a_call() -> None:
    with pytest.raises(RuntimeError, match="nobody is logged in"):
        current_user()
