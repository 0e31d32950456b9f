"""Registration over HTTP (RFC 7591), line by line."""

from typing import Any

import httpx2
import pytest

from mintage.testing.oauth_client import REDIRECT_URI
from tests.support.client_keys import jwks, key
from tests.support.world import World


async def register(world: World, **metadata: Any) -> httpx2.Response:
    sent = {"redirect_uris": [REDIRECT_URI]} | metadata
    return await world.http.post(
        f"{world.issuer}/register",
        json={name: value for name, value in sent.items() if value is not None},
    )


async def test_spec054_all_that_was_registered_comes_back(world: World) -> None:
    sent = {
        "redirect_uris": [REDIRECT_URI, "https://app.example/cb"],
        "client_name": "Ein Büro",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "tools other",
        "application_type": "native",
        "jwks": jwks(key()),
    }
    answer = await register(world, **sent)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert {name: body[name] for name in sent} == sent
    assert body.keys() - sent.keys() == {"client_id", "client_id_issued_at"}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
async def test_spec054_a_secret_comes_with_its_end_and_is_kept_by_no_cache(
    world: World, method: str
) -> None:
    answer = await register(world, token_endpoint_auth_method=method)
    body = answer.json()
    assert ("client_secret" in body) == (method != "none")
    assert ("client_secret_expires_at" in body) == ("client_secret" in body)
    assert answer.headers["cache-control"] == "no-store"


async def test_spec054_what_the_server_put_in_is_told(world: World) -> None:
    body = (await register(world, grant_types=["authorization_code", "password"])).json()
    assert body["grant_types"] == ["authorization_code"]
    assert body["response_types"] == ["code"]
    assert body["token_endpoint_auth_method"] == "client_secret_basic"
    assert body["client_name"]


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb#part"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb#"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["nodots:/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [REDIRECT_URI, "nodots:/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": None}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://a.example/k"}, "invalid_client_metadata"),
    ],
)
async def test_spec055_spec056_spec057_a_refusal_names_what_is_wrong(
    world: World, metadata: dict[str, Any], error: str
) -> None:
    answer = await register(world, **metadata)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"] == error
    assert len(answer.json()["error_description"].split()) > 2


async def test_spec055_a_software_statement_is_not_read(world: World) -> None:
    """RFC 7591 §3.1.1: a server that trusts nobody to make one ignores it."""
    answer = await register(world, software_statement="e30.e30.c2ln")
    assert answer.status_code == 201
    assert "software_statement" not in answer.json()


@pytest.mark.parametrize(
    "uri", ["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb"]
)
async def test_spec056_what_is_absolute_and_safe_is_taken(world: World, uri: str) -> None:
    assert (await register(world, redirect_uris=[uri])).status_code == 201


@pytest.mark.parametrize(
    ("grants", "responses", "status"),
    [
        (["authorization_code"], ["code"], 201),
        (["authorization_code", "implicit"], ["code", "token"], 201),
        (["authorization_code"], ["token"], 400),
        (["implicit"], ["code"], 400),
        (["refresh_token"], ["code"], 400),
        (["client_credentials"], [], 400),
    ],
)
async def test_spec058_grants_and_responses_go_together_and_only_ours_are_kept(
    world: World, grants: list[str], responses: list[str], status: int
) -> None:
    answer = await register(world, grant_types=grants, response_types=responses)
    assert answer.status_code == status
    if status == 201:
        assert answer.json()["grant_types"] == ["authorization_code"]
        assert answer.json()["response_types"] == ["code"]


async def test_spec052_spec059_each_client_id_is_new_and_no_url(world: World) -> None:
    """The same metadata at the same second; a URL would be somebody's document (CIMD §8.4)."""
    ids = [(await register(world)).json()["client_id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert not [client_id for client_id in ids if ":" in client_id or "/" in client_id]


async def test_spec060_a_registration_can_not_be_managed_and_nobody_is_told_it_can(
    world: World,
) -> None:
    body = (await register(world)).json()
    assert not {"registration_access_token", "registration_client_uri"} & body.keys()
    for method in ("GET", "PUT", "DELETE"):
        url = f"{world.issuer}/register"
        assert (await world.http.request(method, url)).status_code == 405
        assert (await world.http.request(method, f"{url}/{body['client_id']}")).status_code == 404
