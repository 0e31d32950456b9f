"""What the manual's proxies tell Mintage of the client: nothing that the client chose."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import uvicorn
from ruamel.yaml import YAML
from starlette.types import Receive, Scope, Send

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.proxies import FOR_SITES, PAGE, blocks, caddy, envoy, haproxy, nginx

Front = Callable[..., AbstractAsyncContextManager[object]]

FRONTS: Final[dict[str, tuple[Front, dict[str, Any]]]] = {
    "nginx": (nginx, {}),
    "nginx for sites": (nginx, {"page": FOR_SITES}),
    "caddy": (caddy, {}),
    "caddy for sites": (caddy, {"page": FOR_SITES}),
    "haproxy": (haproxy, {}),
    "envoy": (envoy, {}),
}
CLAIMS: Final = {
    "x-forwarded-for": "6.6.6.6",
    "forwarded": "for=6.6.6.6",
    "x-request-id": "f0rged0001",
}
PREFLIGHT: Final = {"origin": "https://a.example", "access-control-request-method": "POST"}


@pytest.fixture
def seen() -> list[Scope]:
    """What reached Mintage."""
    return []


@pytest.fixture
async def mintage(seen: list[Scope]) -> AsyncIterator[int]:
    """The port of a Mintage that refuses everything."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({**scope})
        await send({"type": "http.response.start", "status": 401})
        await send({"type": "http.response.body"})

    port = free_port()
    config = uvicorn.Config(
        refusing, port=port, log_config=None, lifespan="off", proxy_headers=False
    )
    async with serving(uvicorn.Server(config)):
        yield port


@pytest.mark.parametrize("front", FRONTS)
async def test_attack_d08_a_client_does_not_say_for_a_proxy_who_it_is_or_choose_its_reference(
    front: str, mintage: int, seen: list[Scope], tmp_path: Path
) -> None:
    """Mintage believes its proxy: that must not pass on what a client claims."""
    proxy, more = FRONTS[front]
    listen = free_port()
    url = f"http://127.0.0.1:{listen}"
    async with (
        proxy(tmp_path, listen=listen, mintage=mintage, tools=free_port(), **more),
        httpx2.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        await http.get(f"{url}/jwks", headers=CLAIMS)
        await http.options(f"{url}/mcp", headers=CLAIMS | PREFLIGHT)
        await http.get(f"{url}/mcp", headers=CLAIMS)
    own, preflight, question = seen
    asked = "/verify" if more else "/mcp"  # a site's own scripts need no leave
    assert own["path"] == "/jwks"
    assert preflight["path"] == asked
    assert question["path"].startswith("/verify")
    for scope in seen:
        told = dict(scope["headers"])
        assert told.get(b"x-forwarded-for", b"127.0.0.1") == b"127.0.0.1"
        assert {b"forwarded", b"x-request-id"}.isdisjoint(told)
        assert "f0rged" not in str(scope["headers"])


@pytest.mark.parametrize("page", [PAGE, FOR_SITES], ids=["backends", "sites"])
def test_attack_d08_nor_for_traefik(page: Path) -> None:
    http = YAML(typ="safe").load(blocks("yaml", page)[0])["http"]
    asking = http["middlewares"]["ask-mintage"]["forwardAuth"]
    assert not {"Forwarded", "X-Request-ID"} & set(asking["authRequestHeaders"])
    for router in http["routers"].values():
        if router["service"] != "mintage":
            continue
        dropped = [
            name.lower()
            for middleware in router.get("middlewares", ())
            for name, value in http["middlewares"][middleware]["headers"][
                "customRequestHeaders"
            ].items()
            if value == ""
        ]
        assert {"forwarded", "x-request-id"} <= set(dropped), router["rule"]
