"""What the manual says of proxies that are not run here: their files are read, at least."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from mintage.gateway.credentials import IDENTITY_HEADER
from mintage.gateway.forward_auth import ANSWERED
from mintage.gateway.headers import identity_headers
from mintage.grants.states import Identity
from tests.support.proxies import block, blocks

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


def test_every_proxy_leads_to_the_same_endpoints() -> None:
    """Those that a client or a browser calls; not those for whoever watches the server."""
    names = {
        "authorize", "callback", "consent", "introspect", "jwks", "register", "revoke", "token",
    }  # fmt: skip
    for text in (block("nginx"), block("caddyfile"), block("haproxy"), *blocks("yaml")[:2]):
        assert all(re.search(rf"\b{name}\b", text) for name in names)
        assert ".well-known/" in text
