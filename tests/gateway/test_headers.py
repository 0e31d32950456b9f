"""Which headers pass the gateway."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import InvalidRequest
from mintage.gateway.headers import (
    RawHeaders,
    check_framing,
    identity_headers,
    to_backend,
    to_client,
)
from mintage.grants.states import Identity

PLACES = {
    "asked": "http://127.0.0.1:9/mcp",
    "backend": "http://127.0.0.1:9/mcp",
    "public": "https://api.example.com/mcp",
}


def passed(*headers: tuple[bytes, bytes], **changes: Any) -> RawHeaders:
    arguments: dict[str, Any] = {
        "identity": [],
        "authorization": None,
        "client_host": None,
        "scheme": "https",
        "host": "auth.example.com",
    }
    kept = to_backend(list(headers), **(arguments | changes))
    kept.remove((b"x-forwarded-proto", b"https"))
    kept.remove((b"x-forwarded-host", b"auth.example.com"))
    return [pair for pair in kept if pair != (b"forwarded", b'host="auth.example.com";proto=https')]


@pytest.mark.parametrize(
    "name",
    [
        b"authorization", b"Authorization", b"x-authorization", b"proxy-authorization",
        b"x-forwarded-user", b"X-Forwarded-User", b"x_forwarded_user", b"x-forwarded_user",
        b"x-forwarded-email", b"x-forwarded-groups", b"x-forwarded-for", b"x-forwarded-host",
        b"x-forwarded-proto", b"x-forwarded-prefix", b"x-forwarded-client-cert", b"forwarded",
        b"x-forwarded-access-token", b"x-auth-request-user", b"x-auth-request-access-token",
        b"x-authenticated-user", b"x-authenticated-userid", b"x-remote-user", b"remote-user",
        b"remote_user", b"remote-email", b"x-user", b"x-user-id", b"x-email", b"x-groups",
        b"x-webauth-user", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip",
        b"cf-access-jwt-assertion", b"cf-access-authenticated-user-email",
        b"x-amzn-oidc-data", b"x-amzn-oidc-identity", b"x-goog-iap-jwt-assertion",
        b"x-goog-authenticated-user-email", b"x-ms-client-principal",
        b"x-ms-client-principal-name", b"x-ms-token-aad-access-token", b"x-authentik-username",
        b"x-consumer-username", b"x-credential-identifier", b"tailscale-user-login",
        b"oidc-claim-sub", b"oidc_claim_sub", b"x-pomerium-jwt-assertion", b"x-vouch-user",
        b"x-ssl-client-dn", b"ssl-client-verify", b"x-client-cert", b"x-access-token",
        b"x-id-token", b"x-mintage-anything", b"x-original-url", b"x-rewrite-url",
        b"x-http-method-override", b"x-http-method", b"via", b"expect", b"host",
        b"x-user name", b"x-forwarded-user ", b"x-forwarded-user\t", b"x\0y", b"",
        b"x-forwarded-us\xc3\xa9r", b"connection", b"keep-alive", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"proxy-connection", b"proxy-authenticate",
    ],
)  # fmt: skip
def test_attack_d08_what_a_client_claims_does_not_pass(name: bytes) -> None:
    assert passed((name, b"admin")) == []


@pytest.mark.parametrize(
    "name",
    [
        b"accept", b"content-type", b"content-length", b"mcp-session-id", b"mcp-protocol-version",
        b"last-event-id", b"traceparent", b"x-request-id", b"origin", b"range", b"if-match",
    ],
)  # fmt: skip
def test_what_concerns_the_backend_passes(name: bytes) -> None:
    assert passed((name, b"1")) == [(name, b"1")]


def test_attack_d08_what_connection_names_stays_on_the_connection() -> None:
    headers = [(b"Connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"x-end", b"2")]
    assert passed(*headers) == [(b"x-end", b"2")]
    assert to_client(headers, **PLACES) == [(b"x-end", b"2")]


@pytest.mark.parametrize(
    "token", [b"authorization", b"x-forwarded-user", b"cookie", b"content-length", b"content-type"]
)
def test_attack_d08_connection_strips_nothing_that_the_backend_relies_on(token: bytes) -> None:
    given = [(b"connection", token), (b"cookie", b"a=b"), (b"content-length", b"1"),
             (b"content-type", b"text/plain")]  # fmt: skip
    kept = dict(
        passed(*given, identity=[(b"x-forwarded-user", b"alice")], authorization="Bearer ours")
    )
    assert kept == {
        b"authorization": b"Bearer ours",
        b"x-forwarded-user": b"alice",
        b"cookie": b"a=b",
        b"content-length": b"1",
        b"content-type": b"text/plain",
    }


def test_attack_d08_ours_stand_alone() -> None:
    kept = passed(
        (b"authorization", b"Bearer theirs"),
        (b"x-forwarded-user", b"root"),
        (b"X-FORWARDED-FOR", b"10.0.0.1"),
        identity=[(b"x-forwarded-user", b"alice")],
        authorization="Bearer ours",
        client_host="192.0.2.1",
    )
    assert sorted(kept) == [
        (b"authorization", b"Bearer ours"),
        (b"forwarded", b'for=192.0.2.1;host="auth.example.com";proto=https'),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-user", b"alice"),
    ]


def test_an_ipv6_address_is_written_as_each_header_wants_it() -> None:
    """RFC 7239 §6: in brackets and quotes; in X-Forwarded-For bare, as everybody writes it."""
    assert sorted(passed(client_host="2001:db8::1")) == [
        (b"forwarded", b'for="[2001:db8::1]";host="auth.example.com";proto=https'),
        (b"x-forwarded-for", b"2001:db8::1"),
    ]


def test_attack_d08_cookies_of_our_pages_stay_here() -> None:
    kept = passed(
        (b"cookie", b"a=1; __Host-mintage-login=x;mintage-login=y"),
        (b"Cookie", b" b=2; mintage-other=z"),
    )
    assert kept == [(b"cookie", b"a=1; b=2")]
    assert passed((b"cookie", b"mintage-login=y")) == []


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"1, 1")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"0x1")],
        [(b"content-length", b"1 ")],
        [(b"content-length", b"1_0")],
        [(b"content-length", "\u0661".encode())],
        [(b"content-length", b"")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked, identity")],
        [(b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"xchunked")],
        [(b"transfer-encoding", b"")],
    ],
)
def test_attack_d08_an_ambiguous_end_is_refused(headers: RawHeaders) -> None:
    with pytest.raises(InvalidRequest):
        check_framing(headers)


@pytest.mark.parametrize(
    "headers", [[], [(b"content-length", b"0")], [(b"transfer-encoding", b"Chunked")]]
)
def test_a_clear_end_is_not(headers: RawHeaders) -> None:
    check_framing(headers)


def told(subject: str = "alice", **claims: object) -> dict[str, str]:
    return identity_headers(Identity(issuer="https://i", subject=subject, claims=claims))


def test_who_is_calling() -> None:
    claims: dict[str, Any] = {
        "email": "a@b.example",
        "email_verified": True,
        "preferred_username": "Al",
        "groups": ["x", "y,z", 7],
    }
    assert told(**claims) == {
        "x-forwarded-user": "alice",
        "x-forwarded-preferred-username": "Al",
        "x-forwarded-groups": "x,y%2Cz",
        "x-forwarded-email": "a@b.example",
    }


@pytest.mark.parametrize("unverified", [False, "false", "False"])
def test_attack_d08_an_unverified_email_is_not_told(unverified: object) -> None:
    assert told(email="a@b.example", email_verified=unverified).keys() == {"x-forwarded-user"}


@pytest.mark.parametrize("odd", [None, 7, "", [], {"x": 1}])
def test_claims_of_other_types_are_not_told(odd: object) -> None:
    assert told(email=odd, preferred_username=odd, groups=odd).keys() == {"x-forwarded-user"}


def test_attack_d08_a_claim_can_not_write_headers() -> None:
    assert told("a\r\nx-forwarded-user: root")["x-forwarded-user"] == (
        "a%0D%0Ax-forwarded-user: root"
    )


@given(st.text(min_size=1), st.text(min_size=1))
def test_attack_d08_no_two_users_look_the_same(one: str, other: str) -> None:
    first, second = (told(subject)["x-forwarded-user"] for subject in (one, other))
    assert first.isascii()
    assert first.isprintable()
    assert first == first.strip()
    assert (first == second) == (one == other)


@pytest.mark.parametrize(("one", "other"), [("ü", "%C3%BC"), ("root", " root"), ("a", "%61")])
def test_attack_d08_nor_do_these(one: str, other: str) -> None:
    assert told(one) != told(other)


def test_a_backend_sets_no_cookie_of_ours() -> None:
    headers = [
        (b"set-cookie", b"session=1; Path=/"),
        (b"Set-Cookie", b"__Host-mintage-browser=evil; Path=/; Secure"),
        (b"set-cookie", b" mintage-login-1=evil"),
    ]
    assert to_client(headers, **PLACES) == [(b"set-cookie", b"session=1; Path=/")]


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("http://127.0.0.1:9/mcp/", "https://api.example.com/mcp/"),
        ("http://127.0.0.1:9/mcp", "https://api.example.com/mcp"),
        ("http://127.0.0.1:9/mcp/a?b=c#d", "https://api.example.com/mcp/a?b=c#d"),
        ("/mcp/", "https://api.example.com/mcp/"),
        ("other", "other"),
        ("x/../mcp/", "https://api.example.com/mcp/"),
        ("http://127.0.0.1:9/mcpx", "http://127.0.0.1:9/mcpx"),
        ("http://127.0.0.1:9/login", "http://127.0.0.1:9/login"),
        ("http://127.0.0.1:99/mcp", "http://127.0.0.1:99/mcp"),
        ("http://127.0.0.1:9/mcp@evil.example/", "http://127.0.0.1:9/mcp@evil.example/"),
        ("//evil.example/mcp/", "//evil.example/mcp/"),
        ("http://127.0.0.1:9/mcp//evil.example", "https://api.example.com/mcp//evil.example"),
        ("https://login.example.com/?next=1", "https://login.example.com/?next=1"),
        ("http://[", "http://["),
        ("/mcp/\xe9", "https://api.example.com/mcp/\xe9"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_redirect_within_the_backend_stays_within_the_resource(
    location: str, seen: str, slash: str
) -> None:
    """What leads elsewhere is passed on as it is."""
    places = PLACES | {"backend": PLACES["backend"] + slash}
    assert to_client([(b"Location", location.encode("latin-1"))], **places) == [
        (b"location", seen.encode("latin-1"))
    ]


def test_a_response_has_one_date_which_the_server_adds() -> None:
    passed = to_client(
        [(b"Date", b"Mon, 30 Nov 2026 00:00:00 GMT"), (b"Content-Type", b"text/plain")],
        asked="http://backend/mcp",
        backend="http://backend",
        public="https://auth.example.com",
    )
    assert passed == [(b"content-type", b"text/plain")]
