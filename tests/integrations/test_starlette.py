"""A Starlette application with the login around it, as its clients see it."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mintage.errors import ConfigError
from mintage.integrations.starlette import Login, User, guard, user_of
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from mintage.web.current_request import FIELDS
from tests.integrations.conftest import API, House, Open
from tests.support.world import SECRET


@guard()
async def me(request: Request) -> Response:
    user: User = request.state.user
    assert user == user_of(request)
    return JSONResponse(
        {
            "client_id": user.client_id,
            "issuer": user.issuer,
            "subject": user.subject,
            "scopes": user.scopes,
            "resource": user.resource,
            "email": user.claims["email"],
            "for": user.expires_at - user._opened.grant.rotated_at,
        }
    )


@guard("write", "admin")
def write(request: Request) -> Response:
    return PlainTextResponse("written")


async def anything(request: Request) -> Response:
    return PlainTextResponse("no guard of its own")


async def upstream_token(request: Request) -> Response:
    return PlainTextResponse(await user_of(request).upstream_token())


@guard("misspelt")
async def misspelt(request: Request) -> Response:
    return PlainTextResponse("never")


async def breaks(request: Request) -> Response:
    raise LookupError("a fault of the application")


async def claims(request: Request) -> Response:
    user = user_of(request)
    user.claims["email"] = "somebody else"
    return JSONResponse(user.claims["email"])


async def too_late(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half of it"
        user_of(request).require("write")

    return StreamingResponse(chunks())


@guard()
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(user_of(websocket).subject)
    await websocket.close()


ROUTES = [
    Route("/api", anything),
    Route("/api/me", me),
    Route("/api/write", write),
    Route("/api/admin/keys", anything),
    Route("/api/anything", anything, methods=["GET", "POST"]),
    Route("/api/upstream", upstream_token),
    Route("/api/misspelt", misspelt),
    Route("/api/breaks", breaks),
    Route("/api/claims", claims),
    Route("/api/late", too_late),
    WebSocketRoute("/api/socket", socket),
    Route("/other/me", me),
    Route("/elsewhere", me),
    Route("/files/{path:path}", anything),
]


def app(login: Login) -> Starlette:
    return Starlette(routes=ROUTES, middleware=[Middleware(login.middleware)])


@pytest.fixture
async def home(house: Open) -> AsyncIterator[House]:
    async with house(app) as running:
        yield running


async def test_a_request_without_a_token_is_told_where_to_log_in(home: House) -> None:
    answer = await home.http.get(f"{home.issuer}/api/anything")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Bearer scope="read", '
        f'resource_metadata="{home.issuer}/.well-known/oauth-protected-resource/api", '
        'DPoP algs="ES256 EdDSA Ed25519 RS256 PS256"'
    )
    metadata = await home.http.get(f"{home.issuer}/.well-known/oauth-protected-resource/api")
    assert metadata.json()["authorization_servers"] == [home.issuer]


async def test_an_endpoint_knows_who_is_calling(home: House) -> None:
    session = await home.log_in()
    assert (await session.get("/api/me")).json() == {
        "client_id": session.client.client_id,
        "issuer": home.upstream.issuer,
        "subject": "alice",
        "scopes": ["read"],
        "resource": f"{home.issuer}/api",
        "email": "alice@example.com",
        "for": 3605,  # with the leeway of the clocks
    }


async def test_every_route_below_the_resource_is_guarded_and_no_other(home: House) -> None:
    session = await home.log_in()
    for path in ("/api", "/api/", "/api/anything", "/api/nothing-there"):
        assert (await home.http.get(home.issuer + path)).status_code == 401, path
    assert (await session.get("/api/anything")).text == "no guard of its own"
    assert (await session.get("/api/nothing-there")).status_code == 404
    assert (await home.http.get(f"{home.issuer}/files/api")).status_code == 200
    assert (await home.http.get(f"{home.issuer}/apis")).status_code == 404


async def test_a_token_that_lacks_a_scope_is_told_all_that_it_needs(home: House) -> None:
    session = await home.log_in()
    answer = await session.get("/api/write")
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="read write admin"' in answer.headers["www-authenticate"]
    assert answer.headers["x-request-id"]
    more = await home.log_in(scope="read write admin")
    assert (await more.get("/api/write")).text == "written"


async def test_the_rules_of_the_resource_hold(home: House) -> None:
    session = await home.log_in()
    answer = await session.get("/api/admin/keys")
    assert answer.status_code == 403
    assert 'scope="read admin"' in answer.headers["www-authenticate"]
    assert (await (await home.log_in(scope="read admin")).get("/api/admin/keys")).is_success


async def test_pages_of_other_sites_are_turned_away(home: House) -> None:
    session = await home.log_in()
    answer = await session.get("/api/me", origin="https://evil.example")
    assert answer.status_code == 403
    assert answer.json()["error"] == "access_denied"
    assert (await session.get("/api/me", origin=home.issuer)).is_success


async def test_a_script_may_ask_and_read_the_refusal(home: House) -> None:
    ask = {"origin": home.issuer, "access-control-request-method": "GET"}
    preflight = await home.http.options(f"{home.issuer}/api/me", headers=ask)
    assert preflight.status_code == 204
    refusal = await home.http.get(f"{home.issuer}/api/me")
    assert "WWW-Authenticate" in refusal.headers["access-control-expose-headers"]


async def test_a_revoked_login_is_refused(home: House) -> None:
    session = await home.log_in()
    await session.client.revoke(session.tokens["refresh_token"])
    answer = await session.get("/api/me")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


class TestTheTokenUpstream:
    async def test_is_renewed_when_it_is_about_to_end(self, home: House) -> None:
        home.upstream.lifetime = 600
        session = await home.log_in()
        first = (await session.get("/api/upstream")).text
        assert home.upstream.is_live(first)
        home.clock.advance(601)
        second = (await session.get("/api/upstream")).text
        assert second != first
        assert home.upstream.is_live(second)

    async def test_of_a_login_that_ended_there_sends_the_user_to_log_in(self, home: House) -> None:
        home.upstream.lifetime = 600
        session = await home.log_in()
        home.upstream.faults["token"] = "invalid_grant"
        home.clock.advance(601)
        answer = await session.get("/api/upstream")
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]

    async def test_in_an_outage_is_503_with_a_way_on(self, home: House) -> None:
        home.upstream.lifetime = 600
        session = await home.log_in()
        home.upstream.faults["token"] = "503"
        home.clock.advance(601)
        answer = await session.get("/api/upstream")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_a_guard_where_nobody_is_asked_for_a_token_is_a_fault(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", logger="uvicorn.error")
    answer = await (await home.log_in()).get("/elsewhere")
    assert answer.status_code == 500
    assert "the path is below no resource of the login" in caplog.text


async def test_a_scope_that_no_token_can_have_is_a_fault(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", logger="uvicorn.error")
    answer = await (await home.log_in()).get("/api/misspelt")
    assert answer.status_code == 500
    assert "no token can have the scope misspelt" in caplog.text


async def test_a_fault_of_the_application_is_its_own(home: House) -> None:
    assert (await (await home.log_in()).get("/api/breaks")).text == "Internal Server Error"


async def test_a_refusal_that_comes_too_late_is_no_second_answer(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", logger="uvicorn.error")
    session = await home.log_in()
    with pytest.raises(httpx2.RemoteProtocolError):
        await session.get("/api/late")
    assert "InsufficientScope" in caplog.text
    assert "unexpected ASGI message" not in caplog.text.lower()
    assert "expected asgi message" not in caplog.text.lower()


async def test_no_endpoint_writes_into_what_others_read(home: House) -> None:
    session = await home.log_in()
    for _ in range(2):
        assert (await session.get("/api/claims")).json() == "alice@example.com"


async def test_a_request_that_is_too_large_is_refused_before_it_is_read(home: House) -> None:
    answer = await home.http.get(
        f"{home.issuer}/files/x", headers={f"x-{n}": "" for n in range(250)}
    )
    assert answer.status_code == 431


class TestWebSockets:
    async def test_who_has_a_token_is_let_in(self, home: House) -> None:
        session = await home.log_in()
        url = home.issuer.replace("http", "ws") + "/api/socket"
        async with websockets.connect(url, additional_headers=session.headers) as there:
            assert await there.recv() == "alice"

    async def test_who_has_none_is_told_so_before_it_opens(self, home: House) -> None:
        url = home.issuer.replace("http", "ws") + "/api/socket"
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url)
        assert refused.value.response.status_code == 401
        assert "resource_metadata" in refused.value.response.headers["www-authenticate"]

    async def test_a_server_that_can_only_close_closes(self, home: House) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/api/socket", "headers": []}
        await home.login.middleware(anything)(scope, receive, send)  # type: ignore[arg-type]
        assert sent == [{"type": "websocket.close", "code": 4401}]


async def test_a_resource_with_a_backend_is_the_gateways(
    house: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="mintage.access")
    port = free_port()
    backend = Starlette(routes=[Route("/base/{rest:path}", shown)])
    config = uvicorn.Config(backend, host="127.0.0.1", port=port, log_config=None)
    proxied = {"path": "/proxied", "backend": f"http://127.0.0.1:{port}/base", "scopes": ["tools"]}
    async with (
        serving(uvicorn.Server(config)),
        house(app, resource=[proxied | {"credential": "identity"}, API]) as home,
    ):
        assert (await home.http.get(f"{home.issuer}/proxied/x")).status_code == 401
        session = await home.log_in("/proxied")
        for _ in range(3):  # the gateway knows the head by then
            assert (await session.get("/proxied/x")).json() == ["/base/x", "alice"]
        assert (await session.get("/api/me")).status_code == 401
    told = [getattr(record, FIELDS) for record in caplog.records if hasattr(record, FIELDS)]
    places = {each["endpoint"] for each in told if each.get("path") in ("/proxied/x", "/api/me")}
    assert places == {"resource"}


async def shown(request: Request) -> Response:
    return JSONResponse([request.url.path, request.headers.get("x-forwarded-user")])


class TestAWholeSite:
    async def test_has_no_path_without_a_token(self, house: Open) -> None:
        async with house(app, resource=[{"path": "/", "scopes": ["read"]}]) as home:
            for path in ("/", "/api/me", "/files/x", "/%66iles/x", "/nothing"):
                answer = await home.http.get(home.issuer + path)
                assert answer.status_code == 401, path
            session = await home.log_in("")
            assert (await session.get("/elsewhere")).json()["subject"] == "alice"
            for path in ("/files//x", "/x/..%2ffiles"):
                assert (await session.get(path)).status_code == 400, path

    async def test_leaves_what_begins_like_an_endpoint_to_nobody(self, house: Open) -> None:
        off = {"mode": "off"}
        async with house(
            app, resource=[{"path": "/", "scopes": ["read"]}], registration=off
        ) as home:
            for path in ("/register", "/token/x", "/.well-known/other"):
                assert (await home.http.get(home.issuer + path)).status_code == 404, path

    async def test_leaves_a_resource_in_it_its_own_scopes(self, house: Open) -> None:
        whole = {"path": "/", "scopes": ["all"]}
        async with house(
            app, resource=[whole, API], base="/v1", server={"root_path": "/v1"}
        ) as home:
            answer = await home.http.get(f"{home.origin}/api/me")
            assert 'scope="read"' in answer.headers["www-authenticate"]
            answer = await home.http.get(f"{home.origin}/files/x")
            assert 'scope="all"' in answer.headers["www-authenticate"]


async def test_a_proxy_may_ask_here_too(house: Open) -> None:
    """Forward-auth is an endpoint as every other."""
    async with house(app, gateway={"forward_auth": "nginx"}) as home:
        answer = await home.http.get(f"{home.issuer}/verify")
        assert answer.headers["x-request-id"]
        assert answer.status_code != 404


class TestGuard:
    def test_wants_an_endpoint_that_takes_a_request(self) -> None:
        def endpoint(there: Request) -> None:
            pytest.fail("called")

        with pytest.raises(TypeError, match="needs a parameter: request, or websocket"):
            guard()(endpoint)

    async def test_lets_nobody_in_who_comes_without_one(self) -> None:
        with pytest.raises(TypeError, match="without its request"):
            await me(request=None)  # type: ignore[arg-type]

    async def test_keeps_the_endpoints_name(self) -> None:
        assert me.__name__ == "me"


class TestSettings:
    def test_are_keyword_arguments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("THE_SECRET", SECRET)
        login = Login(
            issuer="https://api.example",
            store="memory://",
            secret="env:THE_SECRET",
            upstream={"issuer": "https://idp.example", "client_id": "x"},
            resource={"path": "/api"},
            tokens={"access_token_lifetime": 5},
        )
        assert login.mintage.config.tokens.access_token_lifetime == 5
        assert login.mintage.config.resources[0].path == "/api"

    def test_that_are_wrong_are_named(self) -> None:
        with pytest.raises(ConfigError, match=r"resource\[0\]\.path"):
            Login(
                issuer="https://api.example",
                upstream={"issuer": "https://idp.example", "client_id": "x"},
                resource={"path": 7},
            )

    def test_stand_in_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="there is no such file"):
            Login.from_file(tmp_path / "mintage.toml")


async def test_nobody_is_let_in_while_the_login_is_not_open(home: House) -> None:
    bare = Login.of(home.login.mintage)
    scope = {"type": "http", "path": "/public", "method": "GET", "headers": []}
    with pytest.raises(RuntimeError, match="was not started"):
        await bare.middleware(anything)(scope, None, None)  # type: ignore[arg-type]
