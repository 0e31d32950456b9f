"""The response of ``/introspect`` as a signed JWT (RFC 9701)."""

from pathlib import Path
from typing import Any

import httpx2
import joserfc.jwk
import joserfc.jwt
import pytest

from mintage.errors import TokenError
from tests.support.forge import P256, pem
from tests.support.world import World

SECRET = "the secret of the server behind /mcp 0123456789"
JWT = "application/token-introspection+jwt"


@pytest.fixture
def overrides(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "introspector").write_text(SECRET)
    (tmp_path / "key.pem").write_bytes(pem(P256))
    client = {
        "client_id": "mcp-server",
        "client_secret": "file:introspector",
        "introspects": ["/mcp"],
    }
    keys = {"tokens": {"signing_key": "file:key.pem"}}
    return {"client": [client]} | (keys if getattr(request, "param", True) else {})


without_a_key = pytest.mark.parametrize("overrides", [False], indirect=True)


async def ask(world: World, token: str, accept: str = JWT) -> httpx2.Response:
    return await world.http.post(
        f"{world.issuer}/introspect",
        data={"token": token},
        headers={"accept": accept},
        auth=("mcp-server", SECRET),
    )


async def access_token(world: World) -> str:
    client = await world.client()
    async with world.browser() as browser:
        token: str = (await client.tokens(browser))["access_token"]
    return token


async def opened(world: World, answer: httpx2.Response) -> joserfc.jwt.Token:
    keys = (await world.http.get(f"{world.issuer}/jwks")).json()
    key_set = joserfc.jwk.KeySet.import_key_set(keys)
    return joserfc.jwt.decode(answer.text, key_set, algorithms=["ES256"])


async def test_rfc9701_5_the_response_is_a_jwt_for_its_caller(world: World) -> None:
    token = await access_token(world)
    answer = await ask(world, token)
    assert answer.headers["content-type"] == JWT
    assert answer.headers["cache-control"] == "no-store"
    said = await opened(world, answer)
    assert said.header["typ"] == "token-introspection+jwt"
    assert said.claims == {
        "iss": world.issuer,
        "aud": "mcp-server",
        "iat": int(world.clock()),
        "token_introspection": (await ask(world, token, "application/json")).json(),
    }
    assert said.claims["token_introspection"]["active"] is True


async def test_rfc9701_5_an_inactive_token_gets_one_too(world: World) -> None:
    said = await opened(world, await ask(world, "made up"))
    assert said.claims["token_introspection"] == {"active": False}


async def test_rfc9701_8_1_the_response_is_no_access_token(world: World) -> None:
    answer = await ask(world, await access_token(world))
    with pytest.raises(TokenError):
        world.running.tokens.read_access(answer.text, world.resource)
    assert {"sub", "exp", "scope", "client_id"}.isdisjoint((await opened(world, answer)).claims)


@pytest.mark.parametrize(
    ("accept", "signed"),
    [
        ("*/*", False),
        ("application/json", False),
        (f"{JWT};q=0.5, application/json", False),
        (f"{JWT};q=0, */*", False),
        (f"application/json, {JWT}", True),
        (f"{JWT.upper()}, */*;q=0.1", True),
    ],
)
async def test_rfc9701_4_only_who_asks_for_a_jwt_gets_one(
    world: World, accept: str, *, signed: bool
) -> None:
    answer = await ask(world, "made up", accept)
    assert (answer.headers["content-type"] == JWT) == signed


async def test_rfc9701_7_the_metadata_names_the_algorithm(world: World) -> None:
    where = f"{world.issuer}/.well-known/oauth-authorization-server"
    metadata = (await world.http.get(where)).json()
    assert metadata["introspection_signing_alg_values_supported"] == ["ES256"]


@without_a_key
async def test_without_a_key_for_others_nothing_unsigned_takes_its_place(world: World) -> None:
    refused = await ask(world, "made up")
    assert refused.status_code == 406
    assert refused.json()["error"] == "invalid_request"
    assert (await ask(world, "made up", f"{JWT}, */*;q=0.1")).json() == {"active": False}
    where = f"{world.issuer}/.well-known/oauth-authorization-server"
    metadata = (await world.http.get(where)).json()
    assert "introspection_signing_alg_values_supported" not in metadata
