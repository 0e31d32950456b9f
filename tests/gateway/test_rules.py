"""Rules at the gateway: per path, method, tool and claim; step-up; and whose pages may call."""

import base64
from typing import Any

import pytest

from mintage.errors import InvalidRequest
from mintage.gateway.mcp_headers import mirrored
from mintage.gateway.origins import Origins
from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    backend = "http://127.0.0.1:9/mcp"
    return {
        "resource": [
            {
                "path": "/mcp",
                "backend": backend,
                "scopes": ["read"],
                "optional_scopes": ["write", "admin", "owner"],
                "rule": [
                    {"methods": ["POST"], "scopes": ["write"]},
                    {"path": "/admin", "methods": ["DELETE"], "scopes": ["admin", "write"]},
                    {"path": "/staff", "claims": {"email": "*@nowhere.example"}},
                ],
            },
        ],
        "scopes": {"implies": {"owner": ["admin", "write"]}},
        "gateway": {"allowed_origins": ["https://app.example"]},
    }


class Caller:
    """A login, and requests with its token."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self.headers = {"authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        """(status, challenge); 502 is past the gateway: nobody listens behind it."""
        url = self.world.issuer + path
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.world.http.request(method, url, headers=sent)
        return answer.status_code, answer.headers.get("www-authenticate", "")


async def caller(world: World, scope: str, resource: str = "/mcp") -> Caller:
    client = await world.client()
    client.resource = world.issuer + resource
    async with world.browser() as browser:
        tokens = await client.tokens(browser, scope=scope)
    return Caller(world, tokens["access_token"])


PAST = 502


async def test_spec020_spec021_what_a_path_and_method_need_is_asked_for_in_one_challenge(
    world: World,
) -> None:
    call = await caller(world, "read")
    assert (await call("GET", "/mcp/things"))[0] == PAST
    status, challenge = await call("DELETE", "/mcp/admin/users")
    assert status == 403
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="read admin write"' in challenge
    assert "resource_metadata=" in challenge


async def test_a_step_up_with_the_scopes_named_gets_in(world: World) -> None:
    call = await caller(world, "read admin write")
    assert (await call("DELETE", "/mcp/admin/users"))[0] == PAST


async def test_spec021_a_scope_that_holds_others_is_enough(world: World) -> None:
    call = await caller(world, "read owner")
    assert (await call("DELETE", "/mcp/admin/users"))[0] == PAST
    assert (await call("POST", "/mcp/things"))[0] == PAST


async def test_attack_d09_no_spelling_of_a_path_gets_around_its_rule(world: World) -> None:
    call = await caller(world, "read")
    for path in ("/mcp/%61dmin/users", "/mcp/admin;x=1/users", "/mcp/admin/"):
        assert (await call("DELETE", path))[0] == 403
    for path in ("/mcp//admin/users", "/mcp/x/../admin/users", "/mcp/admin%2fusers"):
        assert (await call("DELETE", path))[0] in (400, 403)


async def test_a_claim_that_the_provider_did_not_make_keeps_out(world: World) -> None:
    call = await caller(world, "read")
    status, challenge = await call("GET", "/mcp/staff/lounge")
    assert (status, challenge) == (403, "")  # no scope would help


def test_an_mcp_header_comes_once_and_whole() -> None:
    version, method = (b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", b"tools/call")
    assert mirrored([version, method], method="POST") == ("tools/call", None)
    wrapped = (b"mcp-name", b"=?base64?" + base64.b64encode(b"a,b") + b"?=")
    assert mirrored([version, method, wrapped], method="POST") == ("tools/call", "a,b")
    broken = [version, (b"mcp-method", b"=?base64?%%?=")]
    assert mirrored(broken, method="POST") == ("=?base64?%%?=", None)
    assert mirrored([], method="GET") == (None, None)
    for bad in (
        [version, method, method],
        [version, (b"mcp-method", b"=?base64?/w==?=")],
        [version, method, (b"mcp-name", b"list, drop")],
        [version],
        [method],
        [(b"mcp-protocol-version", b"2025-11-25"), method],
        [(b"mcp-protocol-version", b"next"), method],
        [(b"mcp-protocol-version", b"2026-07-28, 2026-07-28"), method],
    ):
        with pytest.raises(InvalidRequest):
            mirrored(bad, method="POST")


class TestSpec025Origin:
    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("http://localhost:6274", PAST),
            ("http://127.0.0.1", PAST),
            ("http://[::1]:80", PAST),
            ("https://app.example", PAST),
            ("https://evil.example", 403),
            ("https://app.example.evil.example", 403),
            ("http://localhost.evil.example", 403),
            ("http://localhost@evil.example", 403),
            ("http://evil.example#@localhost", 403),
            ("null", 403),
            ("", 403),
            ("file://", 403),
        ],
    )
    async def test_spec025_pages_that_are_not_known_may_not_call(
        self, world: World, origin: str, status: int
    ) -> None:
        call = await caller(world, "read")
        assert (await call("GET", "/mcp", origin=origin))[0] == status

    async def test_spec025_programs_send_none_and_may(self, world: World) -> None:
        assert (await (await caller(world, "read"))("GET", "/mcp"))[0] == PAST

    def test_spec025_every_page_may_where_that_was_said_in_full(self) -> None:
        headers = [(b"origin", b"https://evil.example")]
        assert Origins(own="https://a.example", let_any_web_page_call=True).accept(headers)
        assert not Origins(own="https://a.example").accept(headers)
        assert not Origins(own="https://a.example").accept(
            [(b"origin", b"https://a.example"), *headers]
        )
