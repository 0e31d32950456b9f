"""A request with the same head as one that was admitted: all that may have changed is asked."""

from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mintage.integrations.judged import Judged
from mintage.integrations.starlette import user_of
from tests.integrations.conftest import Open

if TYPE_CHECKING:
    from mintage.app import Running
    from mintage.gateway.paths import Match


def build(login: Any) -> Starlette:
    async def me(request: Request) -> JSONResponse:
        user = user_of(request)
        return JSONResponse([user.client_id, request.headers.get("traceparent")])

    routes = [Route(path, me) for path in ("/api/me", "/api/admin")]
    return Starlette(routes=routes, middleware=[Middleware(login.middleware)])


@pytest.mark.parametrize("end", ["login", "token"])
async def test_what_has_ended_is_refused(house: Open, end: str) -> None:
    async with house(build) as at:
        session = await at.log_in()
        for _ in range(3):
            assert (await session.get("/api/me")).status_code == 200
        if end == "login":
            await session.client.revoke(session.tokens["refresh_token"])
        else:
            at.clock.advance(2 * 3600)
        assert (await session.get("/api/me")).status_code == 401


async def test_another_head_is_judged_for_itself(house: Open) -> None:
    async with house(build) as at:
        session, other = await at.log_in(), await at.log_in()
        for _ in range(3):
            assert (await session.get("/api/me")).json()[0] == session.client.client_id
        assert (await other.get("/api/me")).json()[0] == other.client.client_id
        assert (await session.get("/api/me", origin="https://evil.example")).status_code == 403
        assert (await session.get("/api/admin")).status_code == 403
        assert (await at.http.get(f"{at.origin}/api/me")).status_code == 401


async def test_the_application_gets_the_trace_of_each_request(house: Open) -> None:
    """It differs each time, and is not part of what is remembered."""
    async with house(build) as at:
        session = await at.log_in()
        for number in range(1, 4):
            trace = f"00-{number:032x}-{number:016x}-01"
            assert (await session.get("/api/me", traceparent=trace)).json()[1] == trace


async def test_each_request_counts_towards_a_limit(house: Open) -> None:
    async with house(build, limits={"requests_per_user": 3}) as at:
        session = await at.log_in()
        statuses = [(await session.get("/api/me")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


def test_nothing_holds_for_another_start_or_another_mount() -> None:
    running, later = (cast("Running", object()) for _ in range(2))
    judged = Judged(running, "/a", cast("Match[Any]", object()))
    assert judged.holds_for(running, {"root_path": "/a"})
    assert not judged.holds_for(running, {"root_path": "/b"})
    assert not judged.holds_for(running, {})
    assert not judged.holds_for(later, {"root_path": "/a"})
