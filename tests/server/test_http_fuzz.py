"""Anything, sent to any endpoint: no 500, no leak, what the description promises, nothing stored.

Requests come from our own OpenAPI document (as it says, and as it forbids), with ids, addresses
and tokens that the server knows mixed in; and wild ones that no description would make.
"""

from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from joserfc import jwk
from msgspec.structs import replace

from mintage.clients.client import DEVICE_CODE
from mintage.server.capabilities import CORE_GRANT_TYPES, Capabilities
from mintage.server.openapi import describe
from mintage.settings.grant_types import TABLES
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.support.forge import P256, pem
from tests.support.http_fuzz import Promises, Sent, check, from_description, wild
from tests.support.stage import FULL, Stage
from tests.support.world import World


def everything() -> dict[str, Any]:
    """Settings with all that is off by default."""
    public = jwk.ECKey.generate_key("P-256", {"kid": "platform"}).as_dict(private=False)
    return {
        "tokens": {"signing_key": "env:THE_SIGNING_KEY"},
        "status_list": {"size": 8192},
        "dpop": {"nonce": "required"},
        "grant_types": {name: {} for name in TABLES},
        "client": [
            {
                "client_id": "configured",
                "client_secret": "env:THE_CLIENT_SECRET",
                "grant_types": ["client_credentials"],
                "scopes": ["tools"],
                "resources": ["/mcp"],
            },
            {
                "client_id": "backend",
                "client_secret": "env:THE_CLIENT_SECRET",
                "token_exchange": {
                    "resource": "/mcp",
                    "target": [{"path": "/other", "scopes": ["other"]}],
                },
            },
        ],
        "trusted_issuer": [
            {
                "name": "platform",
                "issuer": "https://platform.example",
                "purpose": "workload",
                "jwks": {"keys": [public]},
                "rule": [{"name": "all", "claims": {"sub": "a"}, "resources": ["/mcp"]}],
            }
        ],
    }


@cache
def example(*, everything: bool = False) -> dict[str, Any]:
    """A server of the same shape as the one under test: its paths are known before it runs.

    *everything*: all that is off by default is on.
    """
    issuer = "https://auth.example.com"
    resources = tuple(
        Resource(path=path, identifier=issuer + path, scopes=(scope,))
        for path, scope in (("/mcp", "tools"), ("/other", "other"))
    )
    site = Site(issuer=issuer, resources=resources)
    capabilities = Capabilities(registration=True, documents=True)
    if everything:
        grant_types = (*CORE_GRANT_TYPES, *TABLES.values())
        capabilities = replace(capabilities, keys=True, status_list=True, grant_types=grant_types)
    return describe(site, capabilities)


def operations_of(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(path, method) for path, found in document["paths"].items() for method in found]


OPERATIONS = operations_of(example())


def described(world: World) -> dict[str, Any]:
    return describe(world.running.site, world.config.capabilities)


def with_known(part: Any, known: dict[str, list[str]]) -> Any:
    """*part* of a description, where a value may as well be one that the server *known*s."""
    if isinstance(part, list):
        return [with_known(inner, known) for inner in part]
    if not isinstance(part, dict):
        return part
    if part.get("in") == "query" and part["name"] in known:
        return part | {"schema": {"anyOf": [{"enum": known[part["name"]]}, part["schema"]]}}
    return {
        name: {"anyOf": [{"enum": known[name]}, inner]}
        if name in known and isinstance(inner, dict)
        else with_known(inner, known)
        for name, inner in part.items()
    }


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_no_request_breaks_an_endpoint(
    stage: Stage,
    tokens: tuple[OAuthClient, dict[str, str]],
    path: str,
    method: str,
) -> None:
    send_anything(stage, tokens, path, method, {})


class TestAServerWithEverything:
    """All grant types are on, it publishes keys and status lists, and DPoP has nonces."""

    @pytest.fixture
    def stage_settings(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        monkeypatch.setenv("THE_SIGNING_KEY", pem(P256).decode())
        monkeypatch.setenv("THE_CLIENT_SECRET", "the secret of a client in the settings 0123456789")
        return everything()

    @pytest.mark.parametrize(
        ("path", "method"), operations_of(example(everything=True)), ids=lambda part: part
    )
    def test_no_request_breaks_an_endpoint(
        self,
        stage: Stage,
        tokens: tuple[OAuthClient, dict[str, str]],
        path: str,
        method: str,
    ) -> None:
        client = stage.run(
            stage.world.client(grant_types=[DEVICE_CODE], redirect_uris=[], response_types=[])
        )
        form = {"client_id": client.client_id}
        asked = stage.run(
            stage.world.http.post(f"{stage.world.issuer}/device_authorization", data=form)
        ).json()
        known = {
            "client_id": [tokens[0].client_id, client.client_id, "configured"],
            "device_code": [asked["device_code"], asked["device_code"][:-1]],
            "user_code": [asked["user_code"]],
        }
        send_anything(stage, tokens, path, method, known)


def send_anything(
    stage: Stage,
    tokens: tuple[OAuthClient, dict[str, str]],
    path: str,
    method: str,
    more: dict[str, list[str]],
) -> None:
    """Requests to *path*, in which the server knows some values, those of *more* among them."""
    world, (client, got) = stage.world, tokens
    document = described(world)
    known = {
        "client_id": [client.client_id],
        "redirect_uri": [REDIRECT_URI],
        "resource": [client.resource],
        "token": ["x", got["access_token"][:-1]],
        "refresh_token": [got["access_token"], "x"],
    } | more
    likely = document | {"paths": with_known(document["paths"], known)}
    operation = schemathesis.openapi.from_dict(likely)[path][method]
    promises = Promises(document, path)
    stores = int(path == "/device_authorization")  # the one record for nobody who logged in

    @settings(
        max_examples=5000 if FULL else 30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(sent=from_description(operation, world.issuer) | wild(client.client_id))
    def fuzz(sent: Sent) -> None:
        stored = world.stored()
        url = f"{world.issuer}{path}?{sent.query}"
        request = world.http.request(
            sent.method, url, content=sent.body, headers=list(sent.headers)
        )
        answer = stage.run(request)
        check(answer, world)
        promises.hold(answer)
        assert world.stored() <= stored + stores, "nothing anonymous is stored"

    fuzz()
