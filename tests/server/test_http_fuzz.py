"""Anything, sent to any endpoint: no 500, no leak, what the description promises, nothing stored.

Requests come from our own OpenAPI document (as it says, and as it forbids), with ids, addresses
and tokens that the server knows mixed in; and wild ones that no description would make.
"""

from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from mintage.server.capabilities import Capabilities
from mintage.server.openapi import describe
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.support.http_fuzz import Promises, Sent, check, from_description, wild
from tests.support.stage import FULL, Stage
from tests.support.world import World


@cache
def example() -> dict[str, Any]:
    """A server of the same shape as the one under test: its paths are known before it runs."""
    issuer = "https://auth.example.com"
    resources = tuple(
        Resource(path=path, identifier=issuer + path, scopes=(scope,))
        for path, scope in (("/mcp", "tools"), ("/other", "other"))
    )
    site = Site(issuer=issuer, resources=resources)
    return describe(site, Capabilities(registration=True, documents=True))


OPERATIONS = [
    (path, method) for path, operations in example()["paths"].items() for method in operations
]


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
    world, (client, got) = stage.world, tokens
    document = described(world)
    known = {
        "client_id": [client.client_id],
        "redirect_uri": [REDIRECT_URI],
        "resource": [client.resource],
        "token": ["x", got["access_token"][:-1]],
        "refresh_token": [got["access_token"], "x"],
    }
    likely = document | {"paths": with_known(document["paths"], known)}
    operation = schemathesis.openapi.from_dict(likely)[path][method]
    promises = Promises(document, path)

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
        assert world.stored() <= stored, "nothing anonymous is stored"

    fuzz()
