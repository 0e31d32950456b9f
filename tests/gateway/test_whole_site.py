"""A resource that is a whole site: the server's own paths win, and nothing slips between."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World


class Site(RawBackend):
    """Its ``/moved/STATUS?URL`` are redirects, with that status, to there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "/moved/" not in scope["path"]:
            return await super().__call__(scope, receive, send)
        status = int(scope["path"].rpartition("/")[2])
        headers = [(b"location", scope["query_string"]), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        return await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def raw() -> AsyncIterator[RawBackend]:
    site = Site(free_port())
    config = uvicorn.Config(site, port=site.port, log_config=None, lifespan="off")
    async with serving(uvicorn.Server(config)):
        yield site


@pytest.fixture
def overrides(raw: RawBackend) -> dict[str, Any]:
    site = f"http://127.0.0.1:{raw.port}/site"
    return {
        "resource": [
            {"path": "/", "backend": site, "scopes": ["tools"]},
            {"path": "/mcp", "backend": f"http://127.0.0.1:{raw.port}/base", "scopes": ["tools"]},
            {"path": "/asked", "scopes": ["tools"]},
        ]
    }


async def bearer(world: World, path: str = "") -> dict[str, str]:
    return {"authorization": f"Bearer {await access_token(world, path)}"}


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/", "/site/"),
        ("/a/b", "/site/a/b"),
        ("/tokens", "/site/tokens"),
        ("/mcpx", "/site/mcpx"),
        ("/a/token", "/site/a/token"),
    ],
)
async def test_all_that_is_not_otherwise_taken(world: World, path: str, seen: str) -> None:
    answer = await world.http.get(world.issuer + path, headers=await bearer(world))
    assert (answer.status_code, answer.json()["path"]) == (200, seen)


@pytest.mark.parametrize(
    "path", ["/token/x", "/jwks", "/verify", "/verify/x", "/.well-known/x", "/%74oken/x",
             "/authorize;x", "/callback/", "/asked", "/asked/x"],
)  # fmt: skip
async def test_attack_d09_paths_of_ours_and_of_others_are_not_the_site(
    world: World, raw: RawBackend, path: str
) -> None:
    answer = await world.http.get(world.issuer + path, headers=await bearer(world))
    assert answer.status_code == 404
    assert raw.seen == []


async def test_attack_a09_its_token_opens_no_resource_within(world: World, raw: RawBackend) -> None:
    inside = await world.http.get(f"{world.issuer}/mcp/x", headers=await bearer(world))
    outside = await world.http.get(f"{world.issuer}/x", headers=await bearer(world, "/mcp"))
    assert (inside.status_code, outside.status_code) == (401, 401)
    assert raw.seen == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/%6dcp/x", 401), ("/%6D%63%70", 401), ("/mcp%3Fx", 400), ("/mcp%23", 400),
        ("/mcp;x", 400), ("/MCP/x", 400), ("/mcp%2fx", 400), ("//mcp/x", 400), ("/./mcp/x", 400),
        ("/x/%2e%2e/mcp", 400),
        ("/%c0%ae/mcp", 400), ("/mcp%20", 400), ("/mcp%5cx", 400), ("/mcp.", 400), ("/a/%ff", 400),
    ],
)  # fmt: skip
async def test_attack_e02_a_token_of_the_site_opens_no_spelling_of_a_resource_within(
    world: World, raw: RawBackend, caplog: pytest.LogCaptureFixture, path: str, status: int
) -> None:
    caplog.set_level("INFO")
    token = await access_token(world, "")
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    answer = await raw_answer(world, head.encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert raw.seen == []
    assert f"GET {path} from 127.0.0.1: {status}" in caplog.text  # the path as it came


async def test_attack_e02_the_backend_gets_the_path_that_was_judged(
    world: World, raw: RawBackend
) -> None:
    token = await access_token(world, "/mcp")
    head = f"GET /%6d%63p/%61%7e%c3%bc HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert (await raw_answer(world, head.encode())).startswith(b"HTTP/1.1 200 ")
    assert [scope["raw_path"] for scope in raw.seen] == [b"/base/a~%C3%BC"]


async def test_attack_a08_a_refresh_token_does_not_open_it(world: World) -> None:
    """Its audience is the server, and so is that of the site's access tokens."""
    client = await world.client()
    client.resource = world.issuer
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    tokens = (await client.redeem(login, code)).json()
    statuses = [
        (
            await world.http.get(
                f"{world.issuer}/x", headers={"authorization": f"Bearer {tokens[kind]}"}
            )
        ).status_code
        for kind in ("access_token", "refresh_token")
    ]
    assert statuses == [200, 401]
    renewed = await client.refresh(tokens["access_token"])
    assert renewed.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(("path", "slash"), [("/", "/"), ("/x", "")])
async def test_its_metadata_is_at_the_root(world: World, path: str, slash: str) -> None:
    """RFC 9728 §3.1; a request for "/" is by a client that calls the resource so."""
    refused = await world.http.get(world.issuer + path)
    url = f"{world.issuer}/.well-known/oauth-protected-resource{slash}"
    assert f'resource_metadata="{url}"' in refused.headers["www-authenticate"]
    assert (await world.http.get(url)).json()["resource"] == world.issuer + slash


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    ("place", "seen"),
    [
        ("http://{backend}/site/x/", "{issuer}/x/"),
        ("/site/x/", "{issuer}/x/"),
        ("/site/", "{issuer}/"),
        ("/site", "{issuer}"),
        ("http://{backend}/elsewhere", "http://{backend}/elsewhere"),
        ("https://login.example.com/", "https://login.example.com/"),
    ],
)
async def test_its_redirects_stay_within_it(
    world: World, raw: RawBackend, status: int, place: str, seen: str
) -> None:
    names = {"backend": f"127.0.0.1:{raw.port}", "issuer": world.issuer}
    url = f"{world.issuer}/moved/{status}?{place.format(**names)}"
    answer = await world.http.post(url, headers=await bearer(world), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (status, seen.format(**names))
