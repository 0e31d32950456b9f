"""The metadata tells the exact truth: what it names works, and what works is named (RFC 8414)."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.server.ways_back import told
from tests.support.world import World

# Nobody's client calls these.
UNADVERTISED = {
    "/account",
    "/backchannel-logout",
    "/branding/icon.svg",
    "/callback",
    "/consent",
    "/healthz",
    "/readyz",
}


async def metadata_of(world: World) -> dict[str, Any]:
    answer = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
    found: dict[str, Any] = answer.json()
    return found


async def test_spec094_every_endpoint_that_it_names_is_there_and_no_other(world: World) -> None:
    metadata = await metadata_of(world)
    named = {
        urlsplit(value).path
        for name, value in metadata.items()
        if name.endswith("_endpoint") or name == "jwks_uri"
    }
    endpoints = world.running.router.endpoints
    served = {path for path in endpoints if not path.startswith("/.well-known")}
    assert named == served - UNADVERTISED


async def test_spec092_spec096_each_document_is_found_where_its_issuer_says(world: World) -> None:
    metadata = await metadata_of(world)
    assert metadata["issuer"] == world.issuer
    for resource in metadata["protected_resources"]:
        path = urlsplit(resource).path
        url = f"{world.issuer}/.well-known/oauth-protected-resource{path}"
        document = (await world.http.get(url)).json()
        assert document["resource"] == resource
        assert document["authorization_servers"] == [metadata["issuer"]]
    assert not [name for name, value in metadata.items() if value in ([], None)]


async def test_spec022_offline_access_is_named_nowhere(world: World) -> None:
    document = await world.http.get(f"{world.issuer}/.well-known/oauth-protected-resource/mcp")
    refused = await world.http.get(world.resource)
    assert "offline_access" not in document.text + refused.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_spec094_each_method_of_authentication_works_wherever_it_is_named(
    world: World, method: str
) -> None:
    metadata = await metadata_of(world)
    client = await world.client(token_endpoint_auth_method=method)
    secret, client.client_secret = client.client_secret, None
    assert secret is not None
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    proof: dict[str, Any] = {}
    if method == "client_secret_basic":
        proof["auth"] = (client.client_id, secret)
    form = {"client_id": client.client_id}
    if method == "client_secret_post":
        form["client_secret"] = secret
    redeemed = await world.http.post(
        metadata["token_endpoint"],
        data=form
        | {"grant_type": "authorization_code", "code": code, "code_verifier": login.verifier},
        **proof,
    )
    assert redeemed.status_code == 200
    token = redeemed.json()["refresh_token"]
    for endpoint in ("introspection", "revocation"):
        assert method in metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        url = metadata[f"{endpoint}_endpoint"]
        answer = await world.http.post(url, data=form | {"token": token}, **proof)
        assert answer.status_code == 200


async def test_spec094_a_method_that_is_not_named_is_refused(world: World) -> None:
    metadata = await metadata_of(world)
    assert "none" not in metadata["introspection_endpoint_auth_methods_supported"]
    for method in ("client_secret_jwt", "tls_client_auth"):
        assert method not in metadata["token_endpoint_auth_methods_supported"]
        answer = await world.http.post(
            metadata["registration_endpoint"],
            json={
                "redirect_uris": ["https://app.example/cb"],
                "token_endpoint_auth_method": method,
            },
        )
        assert answer.status_code == 400


async def test_spec092_spec116_what_it_says_of_pkce_responses_and_grants_is_all_there_is(
    world: World,
) -> None:
    metadata = await metadata_of(world)
    client = await world.client()
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["response_types_supported"] == ["code"]
    for parameters in (
        {"code_challenge_method": "plain"},
        {"response_type": "token"},
        {"response_type": "code id_token"},
    ):
        assert "error" in await refused(world, client, parameters)
    for grant in ("password", "client_credentials", "implicit"):
        answer = await client.token(grant_type=grant)
        assert answer.json()["error"] == "unsupported_grant_type"
        assert grant not in metadata["grant_types_supported"]


async def test_spec005_spec100_it_promises_iss_and_each_answer_has_it(world: World) -> None:
    metadata = await metadata_of(world)
    assert metadata["authorization_response_iss_parameter_supported"] is True
    client = await world.client()
    error = await refused(world, client, {"response_type": "token"})
    assert error["iss"] == metadata["issuer"]


async def test_each_scope_that_it_names_is_granted_somewhere(world: World) -> None:
    metadata = await metadata_of(world)
    client = await world.client()
    granted = set()
    async with world.browser() as browser:
        for resource in metadata["protected_resources"]:
            client.resource = resource
            tokens = await client.tokens(browser, scope=" ".join(metadata["scopes_supported"]))
            granted |= set(tokens["scope"].split())
    assert granted == set(metadata["scopes_supported"])


async def refused(world: World, client: OAuthClient, parameters: dict[str, str]) -> dict[str, str]:
    async with world.browser() as browser:
        return told(await browser.open(client.authorization(**parameters).url))


async def test_the_grant_types_that_it_names_are_those_of_the_token_endpoint(world: World) -> None:
    answer = await world.http.post(f"{world.issuer}/token", data={"grant_type": "none"})
    description = answer.json()["error_description"]
    served = description.removeprefix("grant_type must be one of: ").split(", ")
    assert served == (await metadata_of(world))["grant_types_supported"]
