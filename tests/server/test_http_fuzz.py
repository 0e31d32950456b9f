"""Anything, sent to any endpoint: no 500, no leak, JSON or a page as promised, nothing stored."""

import os
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintage.testing.oauth_client import REDIRECT_URI
from tests.conftest import SECRET
from tests.server.test_play import Stage, stage  # noqa: F401

FULL = os.environ.get("MINTAGE_BATTERY") == "full"
PAGES = ("/authorize", "/consent", "/callback")
CALLS = ("/token", "/register", "/revoke", "/introspect")
DOCUMENTS = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource/mcp",
    "/healthz",
    "/readyz",
)
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


def encoded(fields: list[tuple[str, str]], client_id: str) -> str:
    """The fields; a ``client_id`` is mostly one that is registered."""
    known = [
        (name, client_id if name == "client_id" and value else value) for name, value in fields
    ]
    return urlencode(known, errors="surrogatepass")


def check(answer: Any, path: str, world: Any) -> None:
    assert answer.status_code < 500, (path, answer.status_code, answer.text[:300])
    for secret in (SECRET, world.upstream.client_secret, "Traceback", "site-packages"):
        assert secret not in answer.text
        assert secret not in str(answer.headers)
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert kind.startswith("text/html" if path in PAGES else "application/json"), (path, kind)
        assert answer.headers["cache-control"] == "no-store"
        if path not in PAGES:
            assert {"error", "error_description"} <= answer.json().keys()
    if kind.startswith("text/html"):
        assert "<script>alert" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    location = answer.headers.get("location", "")
    assert not location or location.startswith(REDIRECT_URI)


@pytest.mark.parametrize("path", [*PAGES, *CALLS, *DOCUMENTS])
def test_no_request_breaks_an_endpoint(stage: Stage, path: str) -> None:  # noqa: F811
    world = stage.world
    client = stage.run(world.client())

    @settings(
        max_examples=5000 if FULL else 60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        method=METHODS | st.just("POST") | st.just("GET"),
        query=st.just([]) | FIELDS,
        body=FIELDS.map(lambda fields: encoded(fields, client.client_id).encode())
        | st.binary(max_size=200)
        | JSON.map(lambda value: repr(value).encode("utf-8", "replace")),
        kind=TYPES | st.just("application/x-www-form-urlencoded"),
        headers=HEADERS,
    )
    def fuzz(
        method: str,
        query: list[tuple[str, str]],
        body: bytes,
        kind: str,
        headers: dict[str, str],
    ) -> None:
        stored = world.stored()
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = stage.run(
            world.http.request(
                method,
                f"{world.issuer}{path}?{encoded(query, client.client_id)}",
                content=body,
                headers=[*sent, (b"content-type", kind.encode("latin-1"))],
            )
        )
        check(answer, path, world)
        assert world.stored() <= stored, "nothing anonymous is stored"

    fuzz()
