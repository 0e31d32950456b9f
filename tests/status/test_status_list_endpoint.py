"""``/status-list``: what verifiers elsewhere read (draft-ietf-oauth-status-list)."""

import json
import zlib
from pathlib import Path
from typing import Any

import joserfc.jwk
import joserfc.jwt
import pytest

from mintage.crypto.base64url import decode_text
from mintage.errors import ConfigError
from mintage.grants import records
from mintage.settings.load import parse
from mintage.testing.oauth_client import OAuthClient
from tests.support.forge import P256, pem
from tests.support.world import SECRET, World, every_store

MINIMAL: dict[str, Any] = {
    "issuer": "https://auth.example.com",
    "store": "memory://",
    "secret": "env:SECRET",
    "upstream": {
        "issuer": "https://idp.example.com",
        "client_id": "x",
        "client_secret": "env:UPSTREAM_SECRET",
    },
    "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:9/mcp"}],
}


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key.pem").write_bytes(pem(P256))
    return {"tokens": {"signing_key": "file:key.pem"}, "status_list": {"size": 8192}}


async def logged_in(world: World) -> tuple[OAuthClient, dict[str, Any]]:
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def keys_of(world: World) -> joserfc.jwk.KeySet:
    return joserfc.jwk.KeySet.import_key_set((await world.http.get(f"{world.issuer}/jwks")).json())


async def place_of(world: World, token: str) -> dict[str, Any]:
    """The token's ``status_list``, read by another library."""
    claims = joserfc.jwt.decode(token, await keys_of(world), algorithms=["ES256"]).claims
    place: dict[str, Any] = claims["status"]["status_list"]
    return place


async def the_list(world: World) -> joserfc.jwt.Token:
    answer = await world.http.get(f"{world.issuer}/status-list")
    assert answer.status_code == 200, answer.text
    return joserfc.jwt.decode(answer.text, await keys_of(world), algorithms=["ES256"])


def bits_of(token: joserfc.jwt.Token) -> bytes:
    return zlib.decompress(decode_text(token.claims["status_list"]["lst"]))


async def is_revoked(world: World, idx: int) -> bool:
    """Whether the list says so, a moment later."""
    world.clock.advance(1)
    bits = bits_of(await the_list(world))
    return bool(bits[idx // 8] >> idx % 8 & 1)


@every_store
async def test_a_revoked_grant_has_its_bit_and_others_do_not(world: World) -> None:
    client, tokens = await logged_in(world)
    _, others = await logged_in(world)
    mine = await place_of(world, tokens["access_token"])
    other = await place_of(world, others["access_token"])
    assert mine["uri"] == f"{world.issuer}/status-list"
    assert mine["idx"] != other["idx"]
    assert not await is_revoked(world, mine["idx"])
    assert (await client.revoke(tokens["access_token"])).status_code == 200
    assert await is_revoked(world, mine["idx"])
    assert not await is_revoked(world, other["idx"])


async def test_the_list_is_what_the_draft_says(world: World) -> None:
    answer = await world.http.get(f"{world.issuer}/status-list")
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    assert answer.headers["cache-control"] == "public, max-age=3"
    assert answer.headers["access-control-allow-origin"] == "*"
    token = await the_list(world)
    assert token.header["typ"] == "statuslist+jwt"
    now = int(world.clock())
    assert token.claims == {
        "iss": world.issuer,
        "sub": f"{world.issuer}/status-list",
        "iat": now,
        "exp": now + 60,
        "ttl": 3,
        "status_list": {
            "bits": 1,
            "lst": token.claims["status_list"]["lst"],
            "aggregation_uri": f"{world.issuer}/status-lists",
        },
    }
    assert bits_of(token) == bytes(1024)


async def test_the_metadata_lead_to_the_list(world: World) -> None:
    where = f"{world.issuer}/.well-known/oauth-authorization-server"
    metadata = (await world.http.get(where)).json()
    all_lists = (await world.http.get(metadata["status_list_aggregation_endpoint"])).json()
    assert all_lists == {"status_lists": [f"{world.issuer}/status-list"]}


async def test_it_is_signed_once_and_again_after_a_change(world: World) -> None:
    url = f"{world.issuer}/status-list"
    first = await world.http.get(url)
    world.clock.advance(2)
    again = await world.http.get(url)
    assert again.content == first.content
    known = {"if-none-match": f'"other", W/{first.headers["etag"]}'}
    assert (await world.http.get(url, headers=known)).status_code == 304
    client, tokens = await logged_in(world)
    await client.revoke(tokens["refresh_token"])
    world.clock.advance(1)
    changed = await world.http.get(url, headers=known)
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_it_is_signed_again_before_it_ends(world: World) -> None:
    first = await the_list(world)
    world.clock.advance(11)
    assert (await the_list(world)).claims["exp"] == first.claims["exp"] + 11


async def test_lists_of_former_times_are_refused_with_501(world: World) -> None:
    answer = await world.http.get(f"{world.issuer}/status-list?time=1686925000")
    assert answer.status_code == 501


async def test_a_refresh_keeps_the_number_and_both_tokens_end_together(world: World) -> None:
    client, tokens = await logged_in(world)
    first = await place_of(world, tokens["access_token"])
    fresh = (await client.refresh(tokens["refresh_token"])).json()
    assert await place_of(world, fresh["access_token"]) == first
    world.clock.advance(3700)
    later = (await client.refresh(fresh["refresh_token"])).json()
    second = await place_of(world, later["access_token"])
    assert second["idx"] != first["idx"]
    await client.revoke(later["refresh_token"])
    assert await is_revoked(world, first["idx"])
    assert await is_revoked(world, second["idx"])


async def test_a_repeated_refresh_gets_the_same_claims(world: World) -> None:
    client, tokens = await logged_in(world)
    world.clock.advance(3700)
    fresh = (await client.refresh(tokens["refresh_token"])).json()
    again = (await client.refresh(tokens["refresh_token"])).json()
    payloads = [each["access_token"].split(".")[1] for each in (fresh, again)]
    assert payloads[0] == payloads[1]


async def test_ended_numbers_leave_the_list_when_their_tokens_have_ended(world: World) -> None:
    client, tokens = await logged_in(world)
    idx = (await place_of(world, tokens["access_token"]))["idx"]
    await client.revoke(tokens["refresh_token"])
    assert await is_revoked(world, idx)
    world.clock.advance(3 * 3600)
    assert bits_of(await the_list(world)) == bytes(1024)


@pytest.mark.parametrize("overrides", [{}])
async def test_without_the_setting_there_is_no_trace_of_it(world: World) -> None:
    """No endpoint, no metadata, no claim; and the records are of the format that others read."""
    assert (await world.http.get(f"{world.issuer}/status-list")).status_code == 404
    where = f"{world.issuer}/.well-known/oauth-authorization-server"
    assert "status_list_aggregation_endpoint" not in (await world.http.get(where)).json()
    client, tokens = await logged_in(world)
    payload = json.loads(decode_text(tokens["access_token"].split(".")[1]))
    assert "status" not in payload
    assert world.running.vault.status is None
    before = {row.key async for row in world.running.store.rows()}
    await client.revoke(tokens["access_token"])
    rows = [row async for row in world.running.store.rows()]
    assert {row.key for row in rows} == before
    assert {row.record[0] for row in rows if row.index is not None} <= {records.VERSION}


async def test_the_setting_needs_a_key_that_others_can_verify_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"status_list: needs tokens\.signing_key"):
        parse(
            MINIMAL | {"status_list": {}},
            base=tmp_path,
            environ={"SECRET": SECRET, "UPSTREAM_SECRET": "s"},
        )
