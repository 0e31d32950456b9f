"""What the manual says of proxies that are not run here: their files are read, at least."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mintage.endpoints import ENDPOINTS, HEALTHZ, READYZ, VERIFY
from mintage.gateway.credentials import IDENTITY_HEADER
from mintage.gateway.forward_auth import ANSWERED
from mintage.gateway.headers import identity_headers
from mintage.grants.states import Identity
from tests.support.proxies import FOR_SITES, PAGE, ROOT, block, blocks

ASKED = {"dpop", "origin", "mcp-protocol-version", "mcp-method", "mcp-name", "sec-websocket-key"}
CLAIMS: dict[str, Any] = {"email": "a", "groups": ["a" * 300] * 2, "preferred_username": "a"}
TOLD = {IDENTITY_HEADER, *identity_headers(Identity(issuer="i", subject="s", claims=CLAIMS), 400)}


def read(number: int) -> Any:
    return YAML(typ="safe").load(blocks("yaml")[number])


def lowered(names: list[str]) -> set[str]:
    return {name.lower() for name in names}


def test_traefik_asks_with_what_is_looked_at_and_takes_what_is_told() -> None:
    http = read(0)["http"]
    middlewares = http["middlewares"]
    asking = middlewares["ask-mintage"]["forwardAuth"]
    assert lowered(asking["authRequestHeaders"]) == ASKED | {"authorization"}
    dropped_and_taken = re.compile(asking["authResponseHeadersRegex"])
    for name in (*ANSWERED, *(name.replace("-", "_").title() for name in ANSWERED), "X.User"):
        assert dropped_and_taken.fullmatch(name)
    for name in ("Accept", "Content-Type", "Mcp-Session-Id", "Origin", "X-Forwarded-For"):
        assert not dropped_and_taken.fullmatch(name)
    assert asking["trustForwardHeader"] is False
    assert middlewares["drop-claims"]["headers"]["customRequestHeaders"]["Connection"] == "Upgrade"
    below = "PathRegexp(`^/mcp(/|$)`)"
    assert all(below in http["routers"][name]["rule"] for name in ("preflight", "tools"))
    for router in http["routers"].values():
        assert "verify" not in router["rule"]
        assert router["service"] in http["services"]
        assert set(router.get("middlewares", ())) <= middlewares.keys()


def test_envoy_asks_with_what_is_looked_at_and_takes_what_is_told() -> None:
    manager = read(1)
    filters = {one["name"]: one["typed_config"] for one in manager["http_filters"]}
    assert list(filters) == ["drop-claims", "ask-mintage", "router"]
    (pattern,) = [
        one["remove_on_match"]["key_matcher"]["safe_regex"]["regex"]
        for one in filters["drop-claims"]["mutations"]["request_mutations"]
        if "remove_on_match" in one
    ]
    dropped = re.compile(pattern)
    asking = filters["ask-mintage"]
    told = asking["http_service"]["authorization_response"]["allowed_upstream_headers"]["patterns"]
    for name in (*TOLD, *(name.replace("-", "_") for name in ANSWERED if "-" in name), "x.user"):
        assert dropped.fullmatch(name), name
    for name in (":path", "accept", "content-type", "mcp-session-id", "origin", "x-forwarded-for"):
        assert not dropped.fullmatch(name), name
    assert {one["exact"] for one in told} == set(ANSWERED)
    assert {one["exact"] for one in asking["allowed_headers"]["patterns"]} == ASKED
    assert asking["failure_mode_allow"] is False
    assert asking["http_service"]["path_prefix"] == "/verify"
    *unasked, tools = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert tools["request_headers_to_remove"] == ["cookie", "dpop"]
    assert "typed_per_filter_config" not in tools
    assert [route["match"].get("path_separated_prefix") for route in (unasked[-1], tools)] == [
        "/mcp",
        "/mcp",
    ]
    assert all(route["route"]["cluster"] == "mintage" for route in unasked)


@pytest.mark.parametrize("language", ["nginx", "caddyfile"])
def test_the_others_take_what_is_told(language: str) -> None:
    names = lowered(re.findall(r"X-(?:Forwarded|Identity)-[A-Z][\w-]+", block(language)))
    assert names >= TOLD


# What monitoring reads, and what a proxy asks: no client reaches it.
NOT_PUBLIC = {f"/{endpoint.name}" for endpoint in (HEALTHZ, READYZ, VERIFY)}
PUBLIC = {
    path
    for path in re.findall(
        r"^## `[A-Z]+ (/.+)`$",
        (ROOT / "docs/http-api.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if path not in {"/mcp", *NOT_PUBLIC}
}


def leading(front: str, page: Path) -> Callable[[str], bool]:
    """Whether a path is one that the file of *front* passes on to Mintage."""
    if front == "caddy":
        (line,) = re.findall(r"^\t@mintage path (.+)$", block("caddyfile", page), re.MULTILINE)
        return lambda path: any(fnmatchcase(path, one) for one in line.split())
    if front == "traefik":
        rule = YAML(typ="safe").load(blocks("yaml", page)[0])["http"]["routers"]["mintage"]["rule"]
        patterns = re.findall(r"PathRegexp\(`(.+?)`\)", rule)
        patterns += [f"^{re.escape(one)}" for one in re.findall(r"PathPrefix\(`(.+?)`\)", rule)]
    elif front == "envoy":
        routes = read(1)["route_config"]["virtual_hosts"][0]["routes"]
        matches = [route["match"] for route in routes if "headers" not in route["match"]]
        patterns = [f"^{one['safe_regex']['regex']}$" for one in matches if "safe_regex" in one]
        patterns += [f"^{re.escape(one['prefix'])}" for one in matches if "prefix" in one]
    else:
        text, start, end = {
            "nginx": (block("nginx", page), "    location ~ ", " {\n        proxy_pass"),
            "haproxy": ("\n".join(blocks("haproxy", page)), "    acl own path -m reg ", "\n"),
        }[front]
        _, _, rest = text.partition(f"{start}^/(")
        patterns = [f"^/({rest.partition(end)[0]}"]
    return lambda path: any(re.search(one, path) for one in patterns)


PATTERNS = [(front, PAGE) for front in ("nginx", "caddy", "haproxy", "traefik", "envoy")] + [
    (front, FOR_SITES) for front in ("nginx", "caddy", "traefik")
]


@pytest.mark.parametrize(("front", "page"), PATTERNS)
def test_every_proxy_leads_to_each_endpoint_that_clients_and_people_use(
    front: str, page: Path
) -> None:
    leads = leading(front, page)
    several = {"/callback/github", "/backchannel-logout/github"}
    assert [path for path in sorted(PUBLIC | several) if not leads(path)] == []
    more = {"/verify/mcp", "/_mintage/verify", "/metrics", "/grants", "/token/x", "/tokens", "/"}
    assert [path for path in sorted(NOT_PUBLIC | more) if leads(path)] == []


def test_no_endpoint_is_missing_from_the_page_that_the_patterns_are_compared_with() -> None:
    listed = PUBLIC | NOT_PUBLIC
    for endpoint in ENDPOINTS:
        assert any(f"{path}/".startswith(f"/{endpoint.name}/") for path in listed), endpoint
