"""A FastAPI application with the login around it: dependencies, routers, sub-applications."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import websockets

from mintage.integrations.starlette import Login, User, require
from tests.integrations.conftest import House, Open

if TYPE_CHECKING or os.environ.get("CI"):
    import fastapi
else:
    fastapi = pytest.importorskip("fastapi")

Reader = Annotated[User, fastapi.Depends(require())]
Writer = Annotated[User, fastapi.Depends(require("write"))]


def notes() -> fastapi.APIRouter:
    router = fastapi.APIRouter(prefix="/api")

    @router.get("/me")
    async def me(user: Reader) -> dict[str, Any]:
        return {"subject": user.subject, "groups": user.claims.get("groups", [])}

    @router.post("/notes")
    def write(user: Writer, text: Annotated[str, fastapi.Body()]) -> str:
        return f"{user.subject}: {text}"

    @router.websocket("/socket")
    async def socket(websocket: fastapi.WebSocket, user: Reader) -> None:
        await websocket.accept()
        await websocket.send_text(user.subject)
        await websocket.close()

    return router


def app(login: Login) -> fastapi.FastAPI:
    made = fastapi.FastAPI()
    made.add_middleware(login.middleware)
    made.include_router(notes())

    @made.get("/public")
    async def public() -> str:
        return "for all"

    @made.get("/forgotten")
    async def forgotten(user: Reader) -> str:
        return "never"

    return made


@pytest.fixture
async def home(house: Open) -> AsyncIterator[House]:
    async with house(app) as running:
        yield running


async def test_a_dependency_gives_the_user(home: House) -> None:
    session = await home.log_in()
    assert (await session.get("/api/me")).json() == {"subject": "alice", "groups": []}
    assert (await home.http.get(f"{home.issuer}/api/me")).status_code == 401
    assert (await home.http.get(f"{home.issuer}/public")).json() == "for all"


async def test_a_dependency_asks_for_its_scopes(home: House) -> None:
    url = f"{home.issuer}/api/notes"
    session = await home.log_in()
    refused = await home.http.post(url, json="hello", headers=session.headers)
    assert refused.status_code == 403
    assert 'scope="read write"' in refused.headers["www-authenticate"]
    session = await home.log_in(scope="read write")
    written = await home.http.post(url, json="hello", headers=session.headers)
    assert written.json() == "alice: hello"


async def test_a_dependency_works_for_websockets(home: House) -> None:
    session = await home.log_in()
    url = home.issuer.replace("http", "ws") + "/api/socket"
    async with websockets.connect(url, additional_headers=session.headers) as there:
        assert await there.recv() == "alice"


async def test_a_dependency_outside_of_the_resource_lets_nobody_in(home: House) -> None:
    session = await home.log_in()
    assert (await session.get("/forgotten")).status_code == 500


def bare(_login: Login) -> fastapi.FastAPI:
    """Somebody forgot the middleware."""
    made = fastapi.FastAPI()
    made.include_router(notes())
    return made


async def test_a_dependency_without_the_middleware_lets_nobody_in(
    house: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", logger="uvicorn.error")
    async with house(bare) as home:
        assert (await home.http.get(f"{home.origin}/api/me")).status_code == 500
    assert "its middleware was not added" in caplog.text


def test_equal_requirements_are_one_dependency() -> None:
    """So that a test can put another in its place (``app.dependency_overrides``)."""
    assert {require("write"): 1}[require("write")] == 1


@pytest.mark.parametrize("told", ["/v1", ""])
async def test_a_prefix_that_a_proxy_cut_off_opens_nothing(house: Open, told: str) -> None:
    """Whether the server was told of it (``--root-path``) or not."""
    async with house(app, base="/v1", server={"root_path": told}) as home:
        answer = await home.http.get(f"{home.origin}/api/me")
        assert answer.status_code == 401
        metadata = f"{home.origin}/.well-known/oauth-protected-resource/v1/api"
        assert f'resource_metadata="{metadata}"' in answer.headers["www-authenticate"]


async def test_behind_a_prefix_all_of_it_works(house: Open) -> None:
    async with house(app, base="/v1", server={"root_path": "/v1"}) as home:
        token = (await home.http.get(f"{home.origin}/token")).json()
        assert token["error"] == "invalid_request"
        assert (await home.http.get(f"{home.origin}/public")).json() == "for all"


def mounted(login: Login) -> fastapi.FastAPI:
    """The login's middleware around the application that is mounted, not around the outer one."""
    outer = fastapi.FastAPI(lifespan=login.lifespan)
    outer.mount("/v1", app(login))
    outer.mount("/.well-known", login.mintage)
    return outer


async def test_a_mounted_application_is_started_by_the_outer_one(house: Open) -> None:
    async with house(mounted, base="/v1") as home:
        answer = await home.http.get(f"{home.origin}/v1/api/me")
        assert answer.status_code == 401
        named = answer.headers["www-authenticate"].partition('resource_metadata="')[2]
        document = (await home.http.get(named.partition('"')[0])).json()
        assert document["resource"] == f"{home.issuer}/api"
        session = await home.log_in()
        assert (await session.get("/v1/api/me")).json()["subject"] == "alice"
        assert (await home.http.get(f"{home.origin}/v1/public")).json() == "for all"
        assert (await home.http.get(f"{home.origin}/.well-known/other")).status_code == 404


def both_ways(login: Login) -> fastapi.FastAPI:
    """To start it twice is to start it once."""
    made = fastapi.FastAPI(lifespan=login.lifespan)
    made.add_middleware(login.middleware)
    return made


async def test_a_login_that_is_open_is_not_opened_again(house: Open) -> None:
    async with house(both_ways) as home:
        assert (await home.http.get(f"{home.origin}/api/me")).status_code == 401
        generations = home.login.mintage._generations
        assert generations is not None
        assert home.login.running is generations.running


def lived_in(login: Login) -> fastapi.FastAPI:
    """An application with a lifespan of its own, which finds the login open."""

    @asynccontextmanager
    async def lifespan(made: fastapi.FastAPI) -> AsyncIterator[dict[str, Any]]:
        assert login.running is not None
        yield {"opened": True}
        assert login.running is not None

    made = fastapi.FastAPI(lifespan=lifespan)
    made.add_middleware(login.middleware)

    @made.get("/api/state")
    async def state(request: fastapi.Request) -> list[str]:
        return sorted(request.state._state)

    return made


async def test_the_applications_own_lifespan_lies_within(house: Open) -> None:
    async with house(lived_in) as home:
        session = await home.log_in()
        assert (await session.get("/api/state")).json() == ["opened", "user"]
    with pytest.raises(RuntimeError, match="was not started"):
        _ = home.login.running


def documented(login: Login) -> fastapi.FastAPI:
    """With the `require` that FastAPI's OpenAPI document shows."""
    from mintage.integrations.fastapi import require as shown

    made = fastapi.FastAPI()
    made.add_middleware(login.middleware)

    @made.get("/api/me")
    async def me(
        user: Annotated[User, fastapi.Depends(shown(login=login))],
    ) -> str:
        return user.subject

    @made.post("/api/notes")
    async def write(
        user: Annotated[User, fastapi.Depends(shown("write", login=login))],
    ) -> str:
        return user.subject

    @made.get("/api/by-token")
    async def by_token(user: Annotated[User, fastapi.Depends(shown())]) -> str:
        return user.subject

    return made


async def test_the_openapi_document_shows_the_login_and_the_scopes(house: Open) -> None:
    async with house(documented) as home:
        document = (await home.http.get(f"{home.issuer}/openapi.json")).json()
        schemes = document["components"]["securitySchemes"]
        assert schemes["token"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        flow = schemes["login"]["flows"]["authorizationCode"]
        metadata = await home.http.get(f"{home.issuer}/.well-known/oauth-authorization-server")
        assert flow["authorizationUrl"] == metadata.json()["authorization_endpoint"]
        assert flow["tokenUrl"] == flow["refreshUrl"] == metadata.json()["token_endpoint"]
        assert flow["scopes"].keys() == {"read", "write", "admin"}
        paths = document["paths"]
        assert paths["/api/me"]["get"]["security"] == [{"login": ["read"]}]
        assert paths["/api/notes"]["post"]["security"] == [{"login": ["read", "write"]}]


def with_refusals(login: Login) -> fastapi.FastAPI:
    from mintage.integrations.fastapi import require as shown
    from mintage.integrations.fastapi import show_refusals

    made = documented(login)

    @made.get("/public")
    async def public() -> str:
        return "for all"

    @made.get("/api/own", responses={403: {"description": "mine"}})
    async def own(user: Annotated[User, fastapi.Depends(shown("write", login=login))]) -> str:
        return user.subject

    show_refusals(made)
    return made


async def test_the_openapi_document_shows_the_refusals(house: Open) -> None:
    """And they are what a client gets."""
    async with house(with_refusals) as home:
        for _ in range(2):  # FastAPI keeps the first
            document = (await home.http.get(f"{home.issuer}/openapi.json")).json()
        paths = document["paths"]
        assert paths["/public"]["get"]["responses"].keys() == {"200"}
        assert paths["/api/own"]["get"]["responses"]["403"]["description"] == "mine"
        reader = await home.log_in()
        for path, method in (("/api/me", "get"), ("/api/by-token", "get"), ("/api/notes", "post")):
            shown = paths[path][method]["responses"]
            assert {"200", "401", "403"} <= shown.keys()
        url = f"{home.issuer}/api/notes"
        for headers, status in (({}, 401), (reader.headers, 403)):
            answer = await home.http.post(url, headers=headers)
            assert answer.status_code == status
            described = paths["/api/notes"]["post"]["responses"][str(status)]
            body = described["content"]["application/json"]["schema"]
            assert set(body["required"]) == answer.json().keys()
            assert {name.lower() for name in described["headers"]} <= answer.headers.keys()


async def test_what_the_document_shows_is_what_is_asked_for(house: Open) -> None:
    async with house(documented) as home:
        reader = await home.log_in()
        assert (await reader.get("/api/me")).json() == "alice"
        assert (await reader.get("/api/by-token")).json() == "alice"
        url = f"{home.issuer}/api/notes"
        refused = await home.http.post(url, headers=reader.headers)
        assert refused.status_code == 403
        assert 'scope="read write"' in refused.headers["www-authenticate"]
        writer = await home.log_in(scope="read write")
        assert (await home.http.post(url, headers=writer.headers)).json() == "alice"
