"""Servers of FastMCP with the login in them, and FastMCP's own client before them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastmcp import Client, FastMCP
from fastmcp.client.auth import OAuth
from fastmcp.server.auth import OAuthProxy, StaticTokenVerifier
from fastmcp.server.auth.jwt_issuer import JWTIssuer as TheirIssuer
from fastmcp.server.dependencies import get_access_token
from joserfc.errors import JoseError
from mcp.shared.auth import AuthorizationCodeResult
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from mintage.app import Mintage
from mintage.errors import ConfigError
from mintage.integrations.fastmcp import (
    MintageAuth,
    current_user,
    upstream_token,
    use_mintage_issuer,
)
from mintage.jwt_issuer import JWTIssuer
from mintage.network.tls import trusted
from mintage.settings.load import parse
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of, approve
from mintage.testing.serving import serving
from tests.support.faulty_store import failing
from tests.support.world import SECRET, settings

MCP: dict[str, Any] = {"path": "/mcp", "scopes": ["tools"], "optional_scopes": ["more"]}
pytestmark = pytest.mark.filterwarnings("ignore:Using in-memory token storage:UserWarning")
LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def notes(auth: MintageAuth, name: str = "notes") -> FastMCP:
    server = FastMCP(name, auth=auth)

    @server.tool
    async def whoami() -> str:
        token = get_access_token()
        assert token is not None
        return f"{token.subject} {token.claims['email']} {' '.join(token.scopes)} {token.resource}"

    @server.tool
    async def who_at(client: str) -> bool:
        return current_user().client_id == client

    @server.tool
    async def at_the_provider() -> str:
        return await upstream_token()

    return server


class Person(OAuth):
    """FastMCP's OAuth client, with somebody who clicks."""

    def __init__(self, url: str) -> None:
        super().__init__(url, scopes=[], callback_port=43117)
        self.landed: list[str] = []

    async def redirect_handler(self, authorization_url: str) -> None:
        async with Browser(stop_at=("http://localhost:43117", REDIRECT_URI)) as browser:
            self.landed.append((await approve(browser, authorization_url)).url)

    async def callback_handler(self) -> AuthorizationCodeResult:
        answer = answer_of(self.landed[-1])
        return AuthorizationCodeResult(
            code=answer["code"], state=answer["state"], iss=answer["iss"]
        )


@dataclass
class House:
    """A running application with one or several logins in it."""

    auths: list[MintageAuth]
    http: httpx2.AsyncClient
    clock: ManualClock
    upstream: FakeUpstream
    origin: str

    async def token(self, at: int = 0, **parameters: str) -> str:
        issuer = self.auths[at].login.mintage.config.issuer
        client = await OAuthClient(issuer, self.http, f"{issuer}/mcp").register()
        async with Browser(stop_at=(REDIRECT_URI,)) as browser:
            found: str = (await client.tokens(browser, **parameters))["access_token"]
        return found

    async def post(
        self, path: str, token: str | None, body: object = LISTING, **headers: str
    ) -> httpx2.Response:
        spoken = {"accept": "application/json, text/event-stream", **headers}
        if token is not None:
            spoken["authorization"] = f"Bearer {token}"
        return await self.http.post(self.origin + path, json=body, headers=spoken)


Open = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def house(clock: ManualClock, upstream: FakeUpstream, tmp_path: Path) -> Open:
    """``async with house(build, …)``: what *build* makes of logins, one for each of *bases*."""

    @asynccontextmanager
    async def opened(
        build: Callable[[list[MintageAuth]], ASGIApp],
        *,
        bases: tuple[str, ...] = ("",),
        path: str = "/mcp",
        **more: Any,
    ) -> AsyncIterator[House]:
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        auths = []
        for base in bases:
            data = settings(origin + base, upstream, origin) | {"resource": [MCP]} | more
            environ = {"SECRET": SECRET, "UPSTREAM_SECRET": upstream.client_secret}
            config = parse(data, base=tmp_path, environ=environ)
            auths.append(MintageAuth.of(Mintage(config, clock=clock), path=path))
        server = uvicorn.Config(
            build(auths), host="127.0.0.1", port=port, log_config=None, lifespan="on"
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(uvicorn.Server(server)))
            for auth in auths:
                stack.push_async_callback(auth.close)
            http = await stack.enter_async_context(
                httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30)
            )
            yield House(auths, http, clock, upstream, origin)

    return opened


def alone(auths: list[MintageAuth]) -> ASGIApp:
    app: ASGIApp = notes(auths[0]).http_app(path="/mcp")
    return app


@pytest.fixture
async def home(house: Open) -> AsyncIterator[House]:
    async with house(alone) as running:
        yield running


async def said(client: Client, tool: str, **arguments: Any) -> Any:
    return (await client.call_tool(tool, arguments)).data


async def test_its_own_client_logs_in_and_its_tools_know_who_calls(home: House) -> None:
    home.upstream.lifetime = 600
    url = f"{home.origin}/mcp"
    person = Person(url)
    async with Client(url, auth=person) as client:
        assert await said(client, "whoami") == f"alice alice@example.com tools {url}"
        first = await said(client, "at_the_provider")
        home.clock.advance(601)
        second = await said(client, "at_the_provider")
    assert first != second
    assert home.upstream.is_live(second)
    assert len(person.landed) == 1


async def test_a_client_whose_token_has_ended_refreshes_it(home: House) -> None:
    url = f"{home.origin}/mcp"
    person = Person(url)
    async with Client(url, auth=person) as client:
        await said(client, "whoami")
        home.clock.advance(3610)
        person.context.token_expiry_time = 1  # the client's own clock: the token looks old
        assert (await said(client, "whoami")).startswith("alice")
    assert len(person.landed) == 1, "refreshed, not logged in again"


async def test_spans_of_the_login_go_to_the_provider_of_the_server(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    async with house(alone, opentelemetry={}) as home:
        token = await home.token()
        async with Client(f"{home.origin}/mcp", auth=token) as client:
            await said(client, "whoami")
    provider.shutdown()
    names = {span.name for span in exporter.get_finished_spans()}
    assert {"POST token", "GET callback", "provider login"} <= names
    assert token not in "".join(span.to_json() for span in exporter.get_finished_spans())


async def test_refusals_and_documents_are_ours(home: House) -> None:
    answer = await home.post("/mcp", None)
    assert answer.status_code == 401
    where = f"{home.origin}/.well-known/oauth-protected-resource/mcp"
    assert f'scope="tools", resource_metadata="{where}"' in answer.headers["www-authenticate"]
    assert (await home.http.get(where)).json()["resource"] == f"{home.origin}/mcp"
    refused = await home.http.post(f"{home.origin}/token", data={"grant_type": "password"})
    assert refused.json()["error"] == "unsupported_grant_type"
    assert "x-request-id" in refused.headers


async def test_a_revoked_token_is_refused_at_once(home: House) -> None:
    issuer = home.auths[0].login.mintage.config.issuer
    client = await OAuthClient(issuer, home.http, f"{issuer}/mcp").register()
    async with Browser(stop_at=(REDIRECT_URI,)) as browser:
        tokens = await client.tokens(browser)
    assert (await home.post("/mcp", tokens["access_token"])).status_code != 401
    await client.revoke(tokens["refresh_token"])
    answer = await home.post("/mcp", tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


async def test_a_page_of_another_origin_is_turned_away(home: House) -> None:
    answer = await home.post("/mcp", await home.token(), origin="https://evil.example")
    assert answer.status_code == 403


async def test_a_store_that_is_away_is_no_refusal(home: House) -> None:
    token = await home.token()
    with failing(home.auths[0].login.running.store):
        answer = await home.post("/mcp", token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_attack_a09_a_token_of_a_sibling_server_opens_nothing_of_fastmcp(
    house: Open,
) -> None:
    """Two servers in one process, each with a login of its own."""

    def both(auths: list[MintageAuth]) -> ASGIApp:
        one, other = (notes(auth, f"n{n}").http_app(path="/mcp") for n, auth in enumerate(auths))
        documents = [r for auth in auths for r in auth.get_well_known_routes("/mcp")]

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with one.lifespan(app), other.lifespan(app):
                yield

        mounts = [Mount("/one", app=one), Mount("/other", app=other)]
        return Starlette(routes=[*documents, *mounts], lifespan=lifespan)

    async with house(both, bases=("/one", "/other")) as home:
        token = await home.token(0)
        assert (await home.post("/one/mcp", token)).status_code != 401
        assert (await home.post("/other/mcp", token)).status_code == 401
        url = f"{home.origin}/other/mcp"
        async with Client(url, auth=Person(url)) as client:
            assert (await said(client, "whoami")).endswith(url)


@pytest.mark.parametrize(
    "path", ["/mcp/", "//mcp", "/%6dcp", "/mcp;x", "/x/../mcp", "/MCP", "/mcp%2f", "/mcp%00"]
)
async def test_attack_d09_no_spelling_of_the_path_gets_to_fastmcp_without_a_token(
    home: House, path: str
) -> None:
    answer = await home.post(path, None)
    assert answer.status_code in (307, 400, 401, 404)
    assert "tools" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-user": "alice"},
        {"authorization": "Basic YWxpY2U6eA=="},
        {"authorization": "bearer"},
        {"x-authorization": "Bearer x"},
    ],
)
async def test_attack_d08_fastmcp_believes_no_header_but_a_token(
    home: House, headers: dict[str, str]
) -> None:
    assert (await home.post("/mcp", None, **headers)).status_code in (400, 401)


async def test_attack_d04_no_header_changes_what_fastmcp_says_of_itself(home: House) -> None:
    claims = {
        "host": "evil.example",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "forwarded": "host=evil.example",
    }
    challenge = (await home.post("/mcp", None, **claims)).headers["www-authenticate"]
    document = await home.http.get(
        f"{home.origin}/.well-known/oauth-authorization-server", headers=claims
    )
    assert "evil" not in challenge + document.text


async def test_scopes_that_a_tool_needs_on_top(house: Open) -> None:
    rule = {"mcp_methods": ["tools/call"], "scopes": ["more"]}
    async with house(alone, resource=[MCP | {"rule": [rule]}]) as home:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}
        answer = await home.post("/mcp", await home.token(), call)
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
        assert 'scope="tools more"' in answer.headers["www-authenticate"]
        allowed = await home.post("/mcp", await home.token(scope="tools more"), call)
        assert allowed.status_code != 403


async def test_a_list_shows_what_the_token_may_call(house: Open) -> None:
    rule = {"mcp_methods": ["tools/call"], "mcp_names": ["at_the_provider"], "scopes": ["more"]}
    seen = {}
    async with house(alone, resource=[MCP | {"filter_lists": True, "rule": [rule]}]) as home:
        for scope in ("tools", "tools more"):
            token = await home.token(scope=scope)
            async with Client(f"{home.origin}/mcp", auth=token) as client:
                seen[scope] = {tool.name for tool in await client.list_tools()}
    assert seen["tools"] == {"whoami", "who_at"}
    assert seen["tools more"] == {"whoami", "who_at", "at_the_provider"}


async def test_a_token_verifies_outside_of_a_request(home: House) -> None:
    auth = home.auths[0]
    token = await auth.verify_token(await home.token())
    assert token is not None
    assert (token.subject, token.user.claims["email"]) == ("alice", "alice@example.com")
    assert await auth.verify_token("x") is None


def test_another_path_than_fastmcps_is_refused(upstream: FakeUpstream) -> None:
    auth = MintageAuth(
        issuer="https://notes.example",
        upstream={"issuer": "https://idp.example", "client_id": "x"},
        store="memory://",
    )
    with pytest.raises(ValueError, match="path='/other'"):
        FastMCP("notes", auth=auth).http_app(path="/other")
    with pytest.raises(ConfigError, match="resource"):
        MintageAuth.of(auth.login.mintage, path="/elsewhere")


def root_of(auths: list[MintageAuth]) -> ASGIApp:
    app: ASGIApp = notes(auths[0]).http_app(path="/")
    return app


def mounted(auths: list[MintageAuth]) -> ASGIApp:
    inner = notes(auths[0]).http_app(path="/")
    documents = auths[0].get_well_known_routes("/")
    return Starlette(routes=[*documents, Mount("/mcp", app=inner)], lifespan=inner.lifespan)


@pytest.mark.parametrize(("build", "base"), [(root_of, ""), (mounted, "/mcp")])
async def test_a_server_at_the_root_of_its_application(house: Open, build: Any, base: str) -> None:
    whole = MCP | {"path": "/"}
    async with house(build, bases=(base,), path="/", resource=[whole]) as home:
        issuer = home.origin + base
        async with Client(issuer, auth=Person(issuer)) as client:
            assert (await said(client, "whoami")).startswith("alice alice@example.com tools")
        refused = await home.post(f"{base}/", None)
        assert refused.status_code == 401
        assert "resource_metadata" in refused.headers["www-authenticate"]


async def test_routes_copied_out_of_its_application_say_so(
    house: Open, caplog: pytest.LogCaptureFixture
) -> None:
    def copied(auths: list[MintageAuth]) -> ASGIApp:
        inner = notes(auths[0]).http_app(path="/mcp")
        return Starlette(routes=[*inner.routes])

    async with house(copied) as home:
        answer = await home.post("/mcp", None)
    assert answer.status_code == 500
    assert "without the login's middleware" in caplog.text
    assert "lifespan=mcp_app.lifespan" in caplog.text


async def test_a_route_that_is_never_reached_is_named(
    house: Open, caplog: pytest.LogCaptureFixture
) -> None:
    def with_health(auths: list[MintageAuth]) -> ASGIApp:
        server = notes(auths[0])

        @server.custom_route("/healthz", methods=["GET"])
        async def health(_: Request) -> Response:
            return Response("mine")

        @server.custom_route("/mine", methods=["GET"])
        async def mine(_: Request) -> Response:
            return Response("mine")

        app: ASGIApp = server.http_app(path="/mcp")
        return app

    async with house(with_health) as home:
        assert (await home.http.get(f"{home.origin}/mine")).text == "mine"
        assert (await home.http.get(f"{home.origin}/healthz")).text != "mine"
    told = [text for text in caplog.messages if "never reached" in text]
    assert len(told) == 1
    assert "/healthz" in told[0]


class TestWithoutItsMiddleware:
    async def test_rules_are_not_left_out(self, house: Open) -> None:
        rule = {"path": "/x", "scopes": ["more"]}
        async with house(alone, resource=[MCP | {"rule": [rule]}]) as home:
            token = await home.token()
            auth = home.auths[0]
            assert await auth.verify_token(token) is not None, "its middleware sees to the rules"
            elsewhere = MintageAuth.of(auth.login.mintage)
            elsewhere.login._take(auth.login.mintage)
            elsewhere.login._running = auth.login._running
            with pytest.raises(RuntimeError, match="has rules"):
                await elsewhere.verify_token(token)


class TestWhereItIsOpen:
    @pytest.fixture
    def auth(self) -> MintageAuth:
        return MintageAuth(
            issuer="http://127.0.0.1:9",
            upstream={"issuer": "http://127.0.0.1:9", "client_id": "x"},
            store="memory://",
            secret="env:MINTAGE_TEST_SECRET",
        )

    @pytest.fixture(autouse=True)
    def _secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MINTAGE_TEST_SECRET", SECRET)

    def test_one_event_loop_after_another_opens_it_anew(self, auth: MintageAuth) -> None:
        for _ in range(2):
            asyncio.run(asyncio.wait_for(auth.verify_token("x"), 10))

    async def test_two_at_once_are_told_so(self, auth: MintageAuth) -> None:
        await auth.open()

        def elsewhere() -> None:
            asyncio.run(asyncio.wait_for(auth.verify_token("x"), 10))

        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(elsewhere)
        assert await auth.verify_token("x") is None, "here it goes on"
        await auth.close()

    async def test_closed_while_it_opens_it_keeps_nobody_waiting(self, auth: MintageAuth) -> None:
        waiting = [asyncio.ensure_future(auth.open()) for _ in range(3)]
        await asyncio.sleep(0)
        await auth.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        assert all(isinstance(each, RuntimeError) for each in outcomes), outcomes
        assert await auth.verify_token("x") is None, "it can be opened again"
        await auth.close()

    async def test_a_forked_process_is_told_so(self, auth: MintageAuth) -> None:
        """The child says what it met by its exit code."""
        await auth.open()
        process = os.fork()
        if process == 0:
            try:
                auth.login.check_place()
            except RuntimeError as error:
                os._exit(0 if "forked" in str(error) else 1)
            os._exit(2)
        _, status = await asyncio.to_thread(os.waitpid, process, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await auth.verify_token("x") is None, "the parent goes on"
        await auth.close()


async def test_nobody_is_logged_in_outside_of_a_call() -> None:
    with pytest.raises(RuntimeError, match="MintageAuth"):
        await upstream_token()


def proxy(**more: Any) -> OAuthProxy:
    made = OAuthProxy(
        upstream_authorization_endpoint="https://idp.example/authorize",
        upstream_token_endpoint="https://idp.example/token",
        upstream_client_id="x",
        upstream_client_secret="a secret of the upstream, long enough",
        token_verifier=StaticTokenVerifier(tokens={}),
        base_url="https://notes.example",
        **more,
    )
    assert isinstance(made, OAuthProxy)
    return made


class TestTheSmallestStep:
    def test_fastmcps_proxy_issues_and_verifies_with_our_issuer(self) -> None:
        theirs, ours = proxy(), use_mintage_issuer(proxy())
        for each in (theirs, ours):
            FastMCP("notes", auth=each).http_app(path="/mcp")
        assert isinstance(theirs.jwt_issuer, TheirIssuer)
        assert isinstance(ours.jwt_issuer, JWTIssuer)
        before = theirs.jwt_issuer.issue_access_token("client", ["tools"], "jti")
        assert ours.jwt_issuer.verify_token(before)["jti"] == "jti"
        after = ours.jwt_issuer.issue_access_token(client_id="client", scopes=["tools"], jti="j")
        assert theirs.jwt_issuer.verify_token(after)["jti"] == "j"
        with pytest.raises(JoseError):
            ours.jwt_issuer.verify_token(before, expected_token_use="refresh")

    def test_a_replaced_key_goes_on_verifying(self) -> None:
        old = proxy(jwt_signing_key=b"o" * 31 + b"x")
        FastMCP("notes", auth=old).http_app(path="/mcp")
        token = old.jwt_issuer.issue_access_token("client", ["tools"], "jti")
        new = use_mintage_issuer(
            proxy(jwt_signing_key=b"n" * 31 + b"x"), former_keys=[old._jwt_signing_key]
        )
        FastMCP("notes", auth=new).http_app(path="/mcp")
        assert new.jwt_issuer.verify_token(token)["jti"] == "jti"


def test_a_misspelt_argument_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'upstream'") as refused:
        MintageAuth(issuer="http://127.0.0.1:8080", upstreem={"client_id": "mintage"})
    assert refused.value.key == "upstreem"
    with pytest.raises(ConfigError, match="upstream"):
        MintageAuth(issuer="http://127.0.0.1:8080")
