"""Who gets in at the gateway and what passes (MCP, authorization and transports), line by line."""

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.raw_backend import RawBackend, access_token
from tests.support.world import World


async def call(world: World, token: str | None, **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    return await world.http.get(f"{world.resource}/echo", headers=sent)


async def revoked(world: World) -> str:
    client = await world.client()
    async with world.browser() as browser:
        token: str = (await client.tokens(browser))["access_token"]
    await client.revoke(token)
    return token


async def expired(world: World) -> str:
    token = await access_token(world)
    world.clock.advance(3600 + 6)
    return token


async def of_another_resource(world: World) -> str:
    return await access_token(world, "/down")


async def made_up(_: World) -> str:
    return "e30.e30.c2ln"


async def signed_otherwise(world: World) -> str:
    good = await access_token(world)
    return good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")


@pytest.mark.parametrize("made", [revoked, expired, of_another_resource, made_up, signed_otherwise])
async def test_spec017_spec020_a_token_that_is_not_good_here_is_401_and_reaches_no_backend(
    world: World, raw: RawBackend, made: Any
) -> None:
    token = await made(world)
    answer = await call(world, token)
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert "resource_metadata=" in challenge
    assert answer.json().keys() == {"error", "error_description"}
    assert token not in answer.text + str(answer.headers)
    assert raw.seen == []


async def test_spec017_the_token_is_looked_at_before_the_body_is(
    world: World, raw: RawBackend
) -> None:
    """A body that never comes, and no token: the answer is there at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(world.issuer).port)
    writer.write(b"POST /mcp/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    assert raw.seen == []


async def test_spec015_metadata_is_found_by_the_challenge_at_the_path_and_at_the_root(
    world: World,
) -> None:
    refused = await call(world, None)
    named = refused.headers["www-authenticate"].partition('resource_metadata="')[2].partition('"')
    root = f"{world.issuer}/.well-known/oauth-protected-resource"
    found = [(await world.http.get(url)).json() for url in (named[0], f"{root}/mcp", root)]
    assert [document["resource"] for document in found] == [world.resource] * 3
    assert found[0] == found[1] == found[2]


async def test_spec023_a_token_in_the_query_or_the_form_is_not_seen(
    world: World, raw: RawBackend
) -> None:
    token = await access_token(world)
    for name in ("access_token", "token"):
        query = await world.http.get(f"{world.resource}/echo?{name}={token}")
        form = await world.http.post(f"{world.resource}/echo", data={name: token})
        for answer in (query, form):
            assert answer.status_code == 401
            assert "error=" not in answer.headers["www-authenticate"], "nobody sent credentials"
    assert raw.seen == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_spec024_the_scheme_is_read_in_any_case(world: World, scheme: str) -> None:
    token = await access_token(world)
    answer = await call(world, None, authorization=f"{scheme} {token}")
    assert answer.status_code == 200


async def test_spec024_spec086_a_malformed_header_is_400(world: World, raw: RawBackend) -> None:
    token = await access_token(world)
    url = f"{world.resource}/echo"
    twice = [("authorization", f"Bearer {token}")] * 2
    for headers in (
        [("authorization", "Bearer")],
        [("authorization", f"Bearer {token} {token}")],
        twice,
    ):
        answer = await world.http.get(url, headers=headers)
        assert answer.status_code == 400, headers
        assert 'error="invalid_request"' in answer.headers["www-authenticate"]
    assert raw.seen == []


async def test_spec028_parameters_in_headers_arrive_as_they_were_sent(
    world: World, raw: RawBackend
) -> None:
    sent = {
        "mcp-param-region": "eu-west-1",
        "mcp-param-never-heard-of": "=?base64?w7w=?=",
        "mcp-param-spaced": "a  b",
        "mcp-param-tenant_id": "a name is a token, underscores and all",
        "mcp-param-!#$%&'*+.^`|~": "1",
        "mcp-method": "tools/call",
        "mcp-name": "=?base64?ZHJvcA==?=",
        "mcp-protocol-version": "2026-07-28",
    }
    token = await access_token(world)
    answer = await world.http.get(
        f"{world.resource}/echo", headers=sent | {"authorization": f"Bearer {token}"}
    )
    arrived = dict(answer.json()["headers"])
    assert {name: arrived.get(name) for name in sent} == sent
    assert len(raw.seen) == 1


async def test_spec029_a_session_id_lets_nobody_in(world: World, raw: RawBackend) -> None:
    """Not even one that came with a good token just before: each request shows its own."""
    good = await call(world, await access_token(world), mcp_session_id="s-1")
    assert good.status_code == 200
    raw.seen.clear()
    for token in (None, "e30.e30.c2ln"):
        assert (await call(world, token, mcp_session_id="s-1")).status_code == 401
    assert raw.seen == []


async def test_spec029_the_backend_learns_with_each_handle_whose_it_is(world: World) -> None:
    """So that it can tie its handles to a user who was verified."""
    answer = await call(world, await access_token(world), mcp_session_id="s-1")
    arrived = dict(answer.json()["headers"])
    assert (arrived["mcp-session-id"], arrived["x-forwarded-user"]) == ("s-1", "alice")


class TestElevation:
    @pytest.fixture
    def overrides(self, raw: RawBackend) -> dict[str, Any]:
        resource = {
            "path": "/mcp",
            "backend": f"http://127.0.0.1:{raw.port}/base",
            "scopes": ["tools"],
            "optional_scopes": ["admin"],
            "rule": [{"path": "/admin", "scopes": ["admin"]}],
        }
        return {"resource": [resource]}

    async def test_spec040_a_request_for_more_is_in_the_log_under_its_reference(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "mintage.server")
        headers = {"authorization": f"Bearer {await access_token(world)}"}
        answer = await world.http.get(f"{world.resource}/admin", headers=headers)
        assert answer.status_code == 403
        (line,) = [text for text in caplog.messages if "insufficient_scope" in text]
        assert line.startswith(
            f"{answer.headers['x-request-id']} GET /mcp/admin from 127.0.0.1: 403"
        )
        assert "admin" in line.partition("insufficient_scope")[2]
