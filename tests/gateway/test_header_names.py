"""Which names of headers pass to a backend, however it reads them."""

import re
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import ConfigError, InvalidRequest
from mintage.gateway.header_names import ALL, Passing, check_connection, claims_something
from mintage.gateway.headers import identity_headers
from mintage.grants.states import Identity
from mintage.settings.load import parse
from tests.support.raw_backend import RawBackend, access_token
from tests.support.world import SECRET, World

PUNCTUATION = "!#$%&'*+-.^_`|~"
OURS = [
    "x-forwarded-user", "x-forwarded-groups", "x-forwarded-email", "x-identity-token",
    "authorization", "x-forwarded-for", "forwarded", "remote-user", "cookie2",
]  # fmt: skip


def cgi(name: str) -> str:
    """The variable that CGI, WSGI and PHP make of *name*."""
    return re.sub(r"[^0-9A-Za-z]", "_", name).upper()


@given(st.sampled_from(OURS[:-1]), st.data())
def test_attack_e03_no_spelling_of_a_name_of_ours_passes(name: str, data: st.DataObject) -> None:
    """Whatever punctuation stands in it, a backend that folds it would read ours."""
    spelled = "".join(
        data.draw(st.sampled_from(PUNCTUATION)) if letter == "-" else letter for letter in name
    )
    if data.draw(st.booleans()):
        spelled = spelled.replace("-", "--")
    assert not ALL.lets[spelled.encode()]


@given(st.text(alphabet="abcuserforwdx-" + PUNCTUATION, min_size=1, max_size=24))
def test_attack_e03_what_passes_has_one_reading(name: str) -> None:
    if ALL.lets[name.encode()]:
        assert re.fullmatch(r"[a-z0-9-]+", name) or name.startswith("mcp-param-")
        assert not cgi(name).startswith("X_FORWARDED_")


@pytest.mark.parametrize(
    "name",
    [
        b"client-cert", b"client-cert-chain", b"iv-user", b"iv-groups", b"sm-user", b"sm-userdn",
        b"x-apigateway-api-userinfo", b"x-endpoint-api-userinfo", b"teleport-jwt-assertion",
        b"oam-remote-user", b"impersonate-user", b"impersonate-extra-scopes", b"x-original-uri",
        b"x-hasura-role", b"x-hasura-admin-secret", b"x-forwarded", b"proxy", b"x--forwarded-user",
        b"x-forwarded-user-", b"shib-session-id", b"x-jwt-claims", b"x-identity", b"x-principal",
        b"x-authuser", b"x-remoteuser", b"webauth-user", b"x-goog-authuser", b"end-user-id",
        b"logged-in-username", b"principal-name", b"x-superuser", b"x-app-identity-id", b"user",
    ],
)  # fmt: skip
def test_attack_e03_names_that_other_proxies_set_do_not_pass(name: bytes) -> None:
    assert claims_something(name)
    assert not ALL.lets[name]


@pytest.mark.parametrize("name", [b"user-agent", b"x-amz-user-agent", b"x-browser", b"x-api-key"])
def test_the_name_of_a_program_is_nobodys_identity(name: bytes) -> None:
    assert ALL.lets[name]


def test_attack_e03_what_a_browser_says_of_a_click_passes_and_nothing_like_it() -> None:
    """``Sec-Fetch-User: ?1`` (Fetch Metadata §2.4) tells that somebody clicked, not who."""
    assert ALL.lets[b"sec-fetch-user"]
    for name in (b"sec-fetch-user-id", b"sec-fetch-username", b"x-sec-fetch-user", b"sec-user"):
        assert not ALL.lets[name]


@pytest.mark.parametrize("name", [b"mcp-param-tenant_id", b"mcp-param-x-forwarded-user"])
def test_a_parameter_of_a_tool_passes_under_its_own_name(name: bytes) -> None:
    assert ALL.lets[name]
    assert not ALL.lets[name.replace(b"mcp-", b"mcp_")]


def test_attack_e03_an_operator_names_further_headers_and_the_only_ones() -> None:
    dropped = Passing(("X-Tenant-*", "mcp-param-secret-id"))
    assert not dropped.lets[b"x-tenant-id"]
    assert not dropped.lets[b"mcp-param-secret_id"], "compared after folding"
    assert dropped.lets[b"x-tenancy"]
    only = Passing(("x-b",), ("Accept", "X-*"))
    passing = {name for name in (b"accept", b"x-a", b"x-b", b"accept-language") if only.lets[name]}
    assert passing == {b"accept", b"x-a"}
    assert only.lets[b"content-length"]
    assert not only.lets[b"x-forwarded-user"]


@pytest.mark.parametrize(
    "value",
    [b"close, mcp-name", b"Origin", b"MCP-METHOD", b"host", b"x_forwarded_user", b"x-forwarded-for",
     b"keep-alive,\tcookie", b"content-length", b"transfer-encoding", b"accept", b"\xa0mcp-name",
     b"close mcp-name", b"sec-websocket-key", b"last-event-id"],
)  # fmt: skip
def test_attack_e01_connection_may_not_name_what_is_needed(value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        check_connection([b"keep-alive", value])


@pytest.mark.parametrize(
    "value",
    [b"close", b"Keep-Alive, TE", b"Upgrade, HTTP2-Settings", b"", b", ,", b"x-trace-hop",
     b"trailer"],
)  # fmt: skip
def test_connection_may_name_what_is_its_own(value: bytes) -> None:
    check_connection([value])


def identity(groups: Any) -> Identity:
    return Identity(issuer="https://i", subject="alice", claims={"groups": groups})


def test_attack_e03_groups_beyond_the_bound_are_left_out_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many = [f"group-{number:04}-{'x' * 80}" for number in range(500)]
    told = identity_headers(identity(many), 1024)
    assert len(told["x-forwarded-groups"]) <= 1024
    kept = told["x-forwarded-groups"].split(",")
    assert kept == many[: len(kept)], "whole names, in their order"
    assert told["x-forwarded-groups-truncated"] == "true"
    assert f"holds {len(kept)} of 500 groups" in caplog.text
    assert "x-forwarded-groups-truncated" not in identity_headers(identity(many[:3]), 1024)


class TestSettings:
    @pytest.fixture
    def overrides(self, raw: RawBackend) -> dict[str, Any]:
        backend = {"backend": f"http://127.0.0.1:{raw.port}", "scopes": ["tools"]}
        return {
            "resource": [
                {"path": "/mcp", **backend},
                {"path": "/few", "pass_headers": ["accept", "X-Only"], **backend},
            ],
            "gateway": {"drop_headers": ["x-tenant"]},
        }

    async def arrived(self, world: World, path: str, **headers: str) -> dict[str, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["authorization"] = f"Bearer {await access_token(world, path)}"
        answer = await world.http.get(f"{world.issuer}{path}/echo", headers=sent)
        return dict(answer.json()["headers"])

    async def test_what_the_operator_drops_and_what_alone_may_pass(self, world: World) -> None:
        sent = {"x_tenant": "1", "x_only": "2", "x_other": "3", "cookie": "a=b"}
        many = await self.arrived(world, "/mcp", **sent)
        assert many.keys() & {"x-tenant", "x-only", "x-other", "cookie"} == {
            "x-only", "x-other", "cookie",
        }  # fmt: skip
        few = await self.arrived(world, "/few", **sent)
        assert few.keys() & {"x-tenant", "x-only", "x-other", "cookie", "user-agent"} == {"x-only"}

    @pytest.mark.parametrize("name", ["mcp-name", "mcp-method", "mcp-protocol-version"])
    async def test_attack_e19_twice_is_refused_where_no_rule_asks_too(
        self, world: World, raw: RawBackend, name: str
    ) -> None:
        bearer = ("authorization", f"Bearer {await access_token(world)}")
        headers = httpx2.Headers([bearer, (name, "2026-07-28"), (name, "b")])
        answer = await world.http.get(f"{world.issuer}/mcp/echo", headers=headers)
        assert answer.status_code == 400
        assert raw.seen == []

    @pytest.mark.parametrize(
        "more",
        [
            {"resource": {"pass_headers": ["x_tenant"]}},
            {"resource": {"pass_headers": ["x-forwarded-user"]}},
            {"resource": {"pass_headers": ["x-forwarded-*"]}},
            {"resource": {"filter_lists": True}},
            {"gateway": {"drop_headers": ["a b"]}},
        ],
    )
    def test_names_that_can_not_be_meant_are_refused(
        self, tmp_path: Any, more: dict[str, dict[str, Any]]
    ) -> None:
        resource = {"path": "/mcp", "backend": "http://127.0.0.1:9"} | more.get("resource", {})
        data = {
            "issuer": "https://auth.example",
            "store": "memory://",
            "secret": "env:SECRET",
            "upstream": {"issuer": "https://idp.example", "client_id": "x"},
            "resource": [resource],
            "gateway": more.get("gateway", {}),
        }
        key = next(iter(next(iter(more.values()))))
        with pytest.raises(ConfigError, match=key):
            parse(data, base=tmp_path, environ={"SECRET": SECRET})
