"""Access tokens that others verify: signed with a private key, the public one at ``jwks_uri``."""

import json
from pathlib import Path
from typing import Any

import joserfc.jwk
import joserfc.jwt
import joserfc.util
import pytest

from mintage.errors import ConfigError
from mintage.settings.load import parse
from tests.support.forge import ED25519, P256, pem
from tests.support.world import World


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "new.pem").write_bytes(pem(P256))
    (tmp_path / "old.pem").write_bytes(pem(ED25519))
    return {"tokens": {"signing_key": ["file:new.pem", "file:old.pem"]}}


async def logged_in(world: World) -> dict[str, Any]:
    client = await world.client()
    async with world.browser() as browser:
        return await client.tokens(browser)


async def test_spec101_spec102_a_token_is_what_rfc_9068_says(world: World) -> None:
    """Verified by another library, with nothing but what the metadata leads to."""
    tokens = await logged_in(world)
    metadata = (
        await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
    ).json()
    keys = joserfc.jwk.KeySet.import_key_set((await world.http.get(metadata["jwks_uri"])).json())
    token = joserfc.jwt.decode(tokens["access_token"], keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"} <= set(token.claims)
    assert token.claims["iss"] == metadata["issuer"]
    assert token.claims["aud"] == world.resource
    assert token.claims["sub"] == "alice"


async def test_spec094_only_public_halves_are_shown_and_all_of_them(world: World) -> None:
    shown = (await world.http.get(f"{world.issuer}/jwks")).json()["keys"]
    assert [key["alg"] for key in shown] == ["ES256", "EdDSA"]
    assert not {"d", "p", "q", "k"} & {name for key in shown for name in key}


async def test_spec103_such_a_token_is_good_at_the_gateway_and_the_refresh_token_stays_ours(
    world: World,
) -> None:
    tokens = await logged_in(world)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await world.http.get(world.resource, headers=headers)).status_code == 200
    head = tokens["refresh_token"].split(".")[0]
    assert json.loads(joserfc.util.urlsafe_b64decode(head.encode()))["alg"] == "HS256"


async def test_spec103_spec113_a_refresh_token_never_passes_as_an_access_token(
    world: World,
) -> None:
    tokens = await logged_in(world)
    headers = {"authorization": f"Bearer {tokens['refresh_token']}"}
    assert (await world.http.get(world.resource, headers=headers)).status_code == 401


async def test_such_a_token_can_be_asked_about_and_revoked(world: World) -> None:
    client = await world.client(token_endpoint_auth_method="client_secret_post")
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    token = {"token": tokens["access_token"], "client_id": client.client_id}
    token["client_secret"] = client.client_secret or ""
    told = await world.http.post(f"{world.issuer}/introspect", data=token)
    assert told.json()["active"] is True
    assert (await client.revoke(tokens["access_token"])).status_code == 200
    told = await world.http.post(f"{world.issuer}/introspect", data=token)
    assert told.json() == {"active": False}


class TestWithoutAKey:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {}

    async def test_there_is_no_jwks_and_none_is_promised(self, world: World) -> None:
        metadata = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
        assert "jwks_uri" not in metadata.json()
        assert (await world.http.get(f"{world.issuer}/jwks")).status_code == 404


def test_a_key_that_can_not_sign_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key at all")
    settings = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:9"}],
        "tokens": {"signing_key": "file:key.pem"},
    }
    with pytest.raises(ConfigError, match=r"tokens\.signing_key"):
        parse(settings, base=tmp_path, environ={})
