"""The description of the endpoints tells the truth: about the routes, and as the metadata do."""

from typing import Any

import pytest

from mintage.server.metadata import documents
from mintage.server.openapi import describe
from tests.support.forge import P256, pem
from tests.support.world import THE_BACKEND, World

KINDS = ["plain", "signed", "closed", "several", "branded", "browsers", "listed", "machines"]
MACHINES = {
    "upstream": (),
    "resource": [{"path": "/mcp", "backend": THE_BACKEND}],
    "grant_types": {"client_credentials": {}},
}
CLOSED = {"registration": {"mode": "off"}, "cimd": {"enabled": False}}


@pytest.fixture
def overrides(request: pytest.FixtureRequest, tmp_path: Any) -> dict[str, Any]:
    (tmp_path / "signing.pem").write_bytes(pem(P256))
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    signed = {"tokens": {"signing_key": "file:signing.pem"}}
    one = {"issuer": "https://idp.example", "client_id": "x"}
    several = {"upstream": [one | {"name": "a", "legacy_default": True}, one | {"name": "b"}]}
    found: dict[str, dict[str, Any]] = {
        "plain": {},
        "signed": signed,
        "listed": signed | {"status_list": {}},
        "closed": CLOSED,
        "several": several,
        "branded": {"branding": {"logo": "logo.png"}},
        "machines": MACHINES,
        "browsers": {"resource": [{"path": "/mcp", "backend": THE_BACKEND, "browser": True}]},
    }
    return found[getattr(request, "param", "plain")]


def description(world: World) -> dict[str, Any]:
    logo = world.config.branding.logo is not None
    return describe(world.running.site, world.config.capabilities, logo=logo)


@pytest.mark.parametrize("overrides", KINDS, indirect=True)
async def test_each_route_is_described_and_nothing_else(world: World) -> None:
    backends = world.running.gateway.resources
    resources = {path for path, backend in backends.items() if backend.answers}
    assert set(description(world)["paths"]) == set(world.running.router.endpoints) | resources


@pytest.mark.parametrize("overrides", KINDS, indirect=True)
async def test_each_described_method_is_taken_and_no_other(world: World) -> None:
    for path, operations in description(world)["paths"].items():
        if path in world.running.gateway.resources:
            continue
        for method in ("get", "post", "put", "delete", "patch"):
            answer = await world.http.request(method.upper(), world.issuer + path)
            assert (answer.status_code != 405) == (method in operations), (path, method)


@pytest.mark.parametrize("overrides", KINDS, indirect=True)
async def test_the_metadata_name_described_endpoints(world: World) -> None:
    paths = description(world)["paths"]
    where = f"{world.issuer}/.well-known/oauth-authorization-server"
    metadata = (await world.http.get(where)).json()
    named = {value for name, value in metadata.items() if name.endswith(("_endpoint", "jwks_uri"))}
    assert {url.removeprefix(world.issuer) for url in named} <= paths.keys()
    assert ("/register" in paths) == ("registration_endpoint" in metadata)
    assert ("/jwks" in paths) == ("jwks_uri" in metadata)


async def test_the_documents_are_the_ones_that_are_served(world: World) -> None:
    described = description(world)["paths"]
    for path in documents(world.running.site, world.config.capabilities):
        schema = described[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert (await world.http.get(world.issuer + path)).json() == schema["const"]


async def test_spec122_a_proof_may_be_sent_where_it_is_read(world: World) -> None:
    """RFC 9449: the header, the nonce in the answer, both token types, and the error codes."""
    whole = description(world)
    paths = whole["paths"]
    with_proof = {
        path
        for path, operations in paths.items()
        for operation in operations.values()
        if any(one["name"] == "DPoP" for one in operation.get("parameters", ()))
    }
    resources = {one.identifier.removeprefix(world.issuer) for one in world.running.site.resources}
    assert with_proof == {"/token", "/par"} | resources
    for path in ("/token", "/par", *resources):
        for status, response in paths[path]["post"]["responses"].items():
            assert "DPoP-Nonce" in response["headers"], (path, status)
    codes = whole["components"]["schemas"]["Error"]["properties"]["error"]["enum"]
    assert {"invalid_dpop_proof", "use_dpop_nonce"} <= set(codes)
    answer = paths["/token"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["token_type"] == {"enum": ["Bearer", "DPoP"]}
