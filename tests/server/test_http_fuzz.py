"""Anything, sent to any endpoint: no 500, no leak, what the description promises, nothing stored.

Requests come from our own OpenAPI document (as it says, and as it forbids), with ids, addresses
and tokens that the server knows mixed in; and wild ones that no description would make.
"""

import json
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintage.server.metadata import ClientsAccepted
from mintage.server.openapi import describe
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from tests.server.test_interleaved_logins import Stage, stage  # noqa: F401
from tests.support.world import SECRET, World

FULL: Final = os.environ.get("MINTAGE_STRESS") == "full"
NAMES = [
    "client_id", "client_secret", "client_assertion", "client_assertion_type", "redirect_uri",
    "response_type", "scope", "state", "resource", "code", "code_challenge", "code_verifier",
    "code_challenge_method", "grant_type", "refresh_token", "token", "token_type_hint", "request",
    "decision", "error", "iss", "prompt", "max_age", "login_hint",
]  # fmt: skip
LIKELY = [
    "code", "S256", "plain", "authorization_code", "refresh_token", "approve", "deny", "tools",
    REDIRECT_URI, "none", "a" * 43, "https://client.example/doc", "http://127.0.0.1/x", "", "\0",
    "javascript:alert(1)", "<script>alert(1)</script>", "é", "\ud83d\ude00", "-1", "1e400",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "eyJhbGciOiJub25lIn0.e30.",
]  # fmt: skip
VALUES = st.sampled_from(LIKELY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=10)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
TYPES = st.sampled_from(
    ["application/x-www-form-urlencoded", "application/json", "text/plain", "", "\u00ff"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(VALUES, inner, max_size=4),
    max_leaves=10,
)
HEADERS = st.dictionaries(
    st.sampled_from(["authorization", "cookie", "origin", "host", "sec-fetch-site", "accept"]),
    st.sampled_from(["Basic eA==", "Basic Og==", "Bearer x", "Bearer", "mintage-browser=x", "null",
                     "evil.example", "cross-site", "*/*", "application/json", "\u00e9"]),
    max_size=3,
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One request, as it goes onto the wire."""

    method: str
    query: str = ""
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = ()


@cache
def example() -> dict[str, Any]:
    """A server of the same shape as the one under test: its paths are known before it runs."""
    issuer = "https://auth.example.com"
    resources = tuple(
        Resource(path=path, identifier=issuer + path, scopes=(scope,))
        for path, scope in (("/mcp", "tools"), ("/other", "other"))
    )
    site = Site(issuer=issuer, resources=resources)
    return describe(site, ClientsAccepted(registration=True, documents=True))


OPERATIONS = [
    (path, method) for path, operations in example()["paths"].items() for method in operations
]


def described(world: World) -> dict[str, Any]:
    accepted = ClientsAccepted(registration=True, documents=True)
    return describe(world.running.site, accepted)


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


def from_description(operation: Any, base: str) -> st.SearchStrategy[Sent]:
    """Requests as *operation* describes them, and requests that it forbids."""
    modes = schemathesis.GenerationMode
    cases = operation.as_strategy(generation_mode=modes.POSITIVE)
    if operation.body or operation.query:  # else nothing can be wrong about it
        cases |= operation.as_strategy(generation_mode=modes.NEGATIVE)

    def sent(case: Any) -> Sent:
        made = requests.Request(**_known_to_requests(case.as_transport_kwargs(base))).prepare()
        body = made.body or b""
        return Sent(
            made.method or "GET",
            (made.url or "").partition("?")[2],
            body.encode() if isinstance(body, str) else bytes(body),
            tuple(
                (str(name).encode("latin-1"), str(value).strip().encode("latin-1"))
                for name, value in made.headers.items()
                if name.lower() not in ("content-length", "transfer-encoding")
            ),
        )

    requests_: st.SearchStrategy[Sent] = cases.map(sent)
    return requests_


def _known_to_requests(arguments: dict[str, Any]) -> dict[str, Any]:
    names = ("method", "url", "headers", "params", "data", "json", "cookies", "files")
    return {name: arguments[name] for name in names if name in arguments}


def wild(client_id: str) -> st.SearchStrategy[Sent]:
    """Any method, query, body and headers."""

    def encoded(fields: list[tuple[str, str]]) -> str:
        known = [
            (name, client_id if name == "client_id" and value else value) for name, value in fields
        ]
        return urlencode(known, errors="surrogatepass")

    bodies = (
        FIELDS.map(lambda fields: encoded(fields).encode())
        | st.binary(max_size=200)
        | JSON.map(lambda value: json.dumps(value).encode("utf-8", "replace"))
    )
    kinds = TYPES | st.just("application/x-www-form-urlencoded")
    headers = st.tuples(HEADERS, kinds).map(
        lambda both: tuple(
            (name.encode(), value.encode("latin-1"))
            for name, value in (both[0] | {"content-type": both[1]}).items()
        )
    )
    return st.builds(Sent, METHODS, (st.just([]) | FIELDS).map(encoded), bodies, headers)


class Promises:
    """What the description of one path says about its answers."""

    def __init__(self, document: dict[str, Any], path: str) -> None:
        self._path, self._operations = path, document["paths"][path]
        self._components = document["components"]

    def hold(self, answer: httpx2.Response) -> None:
        where = (self._path, answer.request.method, answer.status_code, answer.text[:300])
        if answer.request.method == "OPTIONS" and answer.status_code == 204:
            return  # the preflight of a browser
        method = answer.request.method.lower().replace("head", "get")
        promised = self._promised(method, answer.status_code)
        assert promised is not None, where
        kind = answer.headers.get("content-type", "").partition(";")[0]
        content = promised.get("content", {})
        if answer.request.method != "HEAD" and answer.content and content:
            assert kind in content, where
        if kind == "application/json" and kind in content and answer.content:
            schema = content[kind]["schema"] | {"components": self._components}
            assert jsonschema_rs.is_valid(schema, answer.json()), where
        for name, header in promised.get("headers", {}).items():
            assert jsonschema_rs.is_valid(header["schema"], answer.headers.get(name)), where

    def _promised(self, method: str, status: int) -> dict[str, Any] | None:
        if method not in self._operations:  # any operation's 405 is that of them all
            method = next(iter(self._operations))
        responses: dict[str, Any] = self._operations[method]["responses"]
        return responses.get(str(status), responses.get("default"))


def check(answer: httpx2.Response, world: World) -> None:
    """What holds for each answer, whatever was asked."""
    assert answer.status_code < 500, (str(answer.request.url), answer.text[:300])
    for secret in (SECRET, world.upstream.client_secret, "Traceback", "site-packages"):
        assert secret not in answer.text
        assert secret not in str(answer.headers)
    if answer.status_code >= 400:
        assert answer.headers["cache-control"] == "no-store"
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert "<script>alert" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    location = answer.headers.get("location", "")
    assert not location or location.startswith(REDIRECT_URI)


@pytest.fixture
def tokens(stage: Stage) -> tuple[OAuthClient, dict[str, str]]:  # noqa: F811
    """A client that has logged in, and what it got."""

    async def log_in() -> tuple[OAuthClient, dict[str, str]]:
        client = await stage.world.client()
        async with stage.world.browser() as browser:
            return client, await client.tokens(browser)

    return stage.run(log_in())


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_no_request_breaks_an_endpoint(
    stage: Stage,  # noqa: F811
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
