"""Requests to any endpoint, from its description and wild ones; and what each answer owes."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
import jsonschema_rs
import requests
import schemathesis
from hypothesis import strategies as st

from mintage.testing.oauth_client import REDIRECT_URI
from tests.support.world import SECRET, World

NAMES = [
    "client_id", "client_secret", "client_assertion", "client_assertion_type", "redirect_uri",
    "response_type", "scope", "state", "resource", "code", "code_challenge", "code_verifier",
    "code_challenge_method", "grant_type", "refresh_token", "token", "token_type_hint", "request",
    "decision", "error", "iss", "prompt", "max_age", "login_hint", "device_code", "user_code",
    "form", "upstream", "request_uri", "dpop_jkt", "assertion", "subject_token",
    "subject_token_type", "actor_token", "actor_token_type", "audience", "requested_token_type",
]  # fmt: skip
LIKELY = [
    "code", "S256", "plain", "authorization_code", "refresh_token", "approve", "deny", "tools",
    REDIRECT_URI, "none", "a" * 43, "https://client.example/doc", "http://127.0.0.1/x", "", "\0",
    "javascript:alert(1)", "<script>alert(1)</script>", "é", "\ud83d\ude00", "-1", "1e400",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange", "identity-provider",
    "eyJhbGciOiJub25lIn0.e30.",
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
    st.sampled_from(
        ["authorization", "cookie", "origin", "host", "sec-fetch-site", "accept", "dpop"]
    ),
    st.sampled_from(["Basic eA==", "Basic Og==", "Bearer x", "Bearer", "DPoP x",
                     "mintage-browser=x", "null",
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
            if name not in answer.headers and not header.get("required"):
                continue
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
