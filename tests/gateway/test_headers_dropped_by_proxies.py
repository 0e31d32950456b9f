"""The manual's proxies drop what the gateway itself drops of a client's headers."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from mintage.gateway.header_names import NEVER, NEVER_PREFIX, claims_something
from mintage.testing.nanoidp import free_port
from tests.support.browsers import FETCH, session_of
from tests.support.proxies import FOR_SITES, PAGE, block, blocks, caddy, envoy, haproxy, nginx
from tests.support.raw_backend import RawBackend, access_token, raw_answer
from tests.support.world import World

FRONTS: Final[dict[str, Callable[..., AbstractAsyncContextManager[object]]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "envoy": envoy,
}
# Every proxy has its own value of these, and refuses or answers a strange one itself.
ITS_OWN: Final = {"host", "expect"}
NAMED: Final = sorted({name.decode() for name in NEVER} - ITS_OWN)
PREFIXES: Final = [prefix.decode() for prefix in NEVER_PREFIX]
OTHERS: Final = ["x-authuser", "x-principal", "end-user-id"]
# What the server behind gets as it was judged.
JUDGED: Final = {"origin", "mcp-protocol-version", "mcp-method", "mcp-name"}
# Traefik sets these itself, before the middlewares of the file run.
TRAEFIKS: Final = {"forwarded", "remote-user", "x-forwarded", "x-real-ip", "via"} | {
    "x-http-method", "x-http-method-override", "x-method-override",
}  # fmt: skip


def nginx_names(page: Path) -> set[str]:
    """The names of the headers that nginx sets or clears for the server behind."""
    pattern = r"^    location (?:/|~ \^/mcp\S+) \{\n(.*?)^    \}"
    (location,) = re.findall(pattern, block("nginx", page), re.DOTALL | re.MULTILINE)
    return {name.lower() for name in re.findall(r"proxy_set_header (\S+)", location)}


def caddy_patterns(page: Path) -> list[str]:
    return [name.lower() for name in re.findall(r"request_header -(\S+)", block("caddyfile", page))]


def matched(name: str, patterns: list[str]) -> bool:
    """Whether Caddy drops *name*: an asterisk at the beginning, the end, or both."""
    for pattern in patterns:
        inner = re.escape(pattern.strip("*") or "*")
        before, after = (".*" if end == "*" else "" for end in (pattern[0], pattern[-1]))
        if re.fullmatch(before + inner + after, name):
            return True
    return name in ("authorization", "x-identity-token")  # copied from the answer


def claims(front: str) -> Iterator[str]:
    """What a client sends. nginx drops by whole names only: those that its file has."""
    yield from NAMED
    yield from OTHERS
    if front != "nginx":
        yield from (f"{prefix.removesuffix('-')}-x" for prefix in PREFIXES)


@pytest.mark.parametrize("page", [PAGE, FOR_SITES], ids=["backends", "sites"])
def test_nginx_names_every_header_that_the_gateway_drops(page: Path) -> None:
    names = nginx_names(page)
    assert sorted({*NAMED, *OTHERS, *ITS_OWN} - names) == []
    assert [one for one in PREFIXES if not any(name.startswith(one) for name in names)] == []
    usual = {"cookie", "upgrade", "connection", *JUDGED}
    assert [name for name in names - usual if not claims_something(name.encode())] == []


@pytest.mark.parametrize("page", [PAGE, FOR_SITES], ids=["backends", "sites"])
def test_caddy_names_every_header_that_the_gateway_drops(page: Path) -> None:
    patterns = caddy_patterns(page)
    assert [name for name in claims("caddy") if not matched(name, patterns)] == []
    for name in (
        "user-agent",
        "sec-fetch-user",
        "x-csrf-token",
        "x-requested-with",
        "x-request-id",
    ):
        assert not matched(name, patterns)


@pytest.mark.parametrize("page", [PAGE, FOR_SITES], ids=["backends", "sites"])
def test_traefik_names_every_header_that_the_gateway_drops(page: Path) -> None:
    middlewares = YAML(typ="safe").load(blocks("yaml", page)[0])["http"]["middlewares"]
    dropped = re.compile(middlewares["ask-mintage"]["forwardAuth"]["authResponseHeadersRegex"])
    for name in claims("traefik"):
        if name not in TRAEFIKS and not name.startswith("x-forwarded-"):
            assert dropped.fullmatch(name), name
    for name in (
        "user-agent",
        "x-csrf-token",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
    ):
        assert not dropped.fullmatch(name), name


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def listen() -> int:
    return free_port()


@pytest.fixture
def overrides(listen: int, front: str, path: str) -> dict[str, Any]:
    site = {"path": path, "scopes": ["tools"], "credential": "identity", "browser": path == "/"}
    return {
        "issuer": f"http://127.0.0.1:{listen}",
        "resource": [site],
        "gateway": {"forward_auth": front},
    }


@pytest.fixture
async def site(
    world: World, raw: RawBackend, listen: int, front: str, path: str, tmp_path: Path
) -> AsyncIterator[World]:
    page = {"page": FOR_SITES} if path == "/" else {}
    run = FRONTS[front]
    async with run(tmp_path, listen=listen, mintage=world.port, tools=raw.port, **page):
        yield world


@pytest.mark.parametrize(
    ("front", "path"),
    [("nginx", "/"), ("caddy", "/"), *((name, "/mcp") for name in FRONTS)],
)
async def test_attack_e04_no_header_that_the_gateway_drops_reaches_a_server_behind_a_proxy(
    site: World, raw: RawBackend, front: str, path: str
) -> None:
    """Frameworks take the address of the page from X-Rewrite-URL: not the one that was judged."""
    sent = [name for name in claims(front) if name not in ("authorization", "x-envoy-x")]
    if front == "nginx":
        page = FOR_SITES if path == "/" else PAGE
        sent += sorted(nginx_names(page) - {*sent, *ITS_OWN, "cookie", "upgrade", "connection"})
        sent = [name for name in sent if name not in {*JUDGED, "authorization"}]
    if path == "/":
        who = [f"Cookie: {(await session_of(site, '/x'))['cookie']}"]
        who += [f"{name}: {value}" for name, value in FETCH.items()]
    else:
        who = [f"Authorization: Bearer {await access_token(site)}"]
    raw.seen.clear()
    for at in range(0, len(sent), 40):  # proxies have a limit on their number
        lines = [f"{name}: /root" for name in sent[at : at + 40]]
        head = [f"GET {path.rstrip('/')}/x HTTP/1.1", f"Host: {site.issuer[7:]}", *who, *lines]
        answer = await raw_answer(site, "\r\n".join([*head, "Connection: close", "", ""]).encode())
        assert answer.startswith(b"HTTP/1.1 200"), answer
    assert len(raw.seen) > 1
    for scope in raw.seen:
        assert [name for name, value in scope["headers"] if b"root" in value] == []
        assert dict(scope["headers"])[b"x-forwarded-user"] == b"alice"
