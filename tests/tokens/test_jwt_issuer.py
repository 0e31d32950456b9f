import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from joserfc.errors import JoseError

from mintage.errors import (
    BadSignature,
    ExpiredToken,
    MalformedToken,
    NotYetValid,
    UnknownKey,
    WrongAudience,
    WrongIssuer,
    WrongTokenUse,
)
from mintage.jwt.jws import MAX_TOKEN
from mintage.jwt_issuer import Claims, JWTIssuer, KeyRing
from tests.support.forge import AUDIENCE, CLAIMS, ISSUER, KEY, NOW, payload_of, token_of, token_with

OTHER_KEY = bytes(range(44))


def issuer_at(now: float, leeway: float = 0) -> JWTIssuer:
    return JWTIssuer(ISSUER, AUDIENCE, KEY, leeway=leeway, clock=lambda: now)


def test_an_access_token_says_these_claims_in_this_order(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ide", ["read", "write"], "q7", expires_in=60)
    assert list(json.loads(payload_of(token)).items()) == [
        ("iss", ISSUER),
        ("aud", AUDIENCE),
        ("client_id", "ide"),
        ("scope", "read write"),
        ("exp", NOW + 60),
        ("iat", NOW),
        ("jti", "q7"),
    ]


def test_an_access_token_lasts_an_hour_unless_told_otherwise(issuer: JWTIssuer) -> None:
    assert issuer.verify(issuer.issue_access_token("ide", [], "q7")).exp == NOW + 3600


def test_the_other_claims_follow_in_this_order(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token(
        "ide", [], "q7", 60, {"email": "a@example.com"}, "alice", {"tenant": "blue"}
    )
    assert list(issuer.verify_token(token))[7:] == ["sub", "tenant", "upstream_claims"]
    assert json.loads(payload_of(token)) == issuer.verify_token(token)


def test_a_refresh_token_says_so_after_its_jti(issuer: JWTIssuer) -> None:
    token = issuer.issue_refresh_token("ide", ["read"], "q7", 60, {"email": "a@example.com"})
    claims = issuer.verify_token(token, expected_token_use="refresh")
    assert list(claims)[6:] == ["jti", "token_use", "upstream_claims"]
    assert claims["token_use"] == "refresh"


def test_verify_gives_the_same_as_a_frozen_value(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ide", ["read", "write"], "q7", 60, {"name": "A"}, "alice")
    claims = issuer.verify(token)
    assert claims == Claims(
        iss=ISSUER,
        aud=AUDIENCE,
        client_id="ide",
        scope="read write",
        exp=NOW + 60,
        iat=NOW,
        jti="q7",
        sub="alice",
        upstream_claims={"name": "A"},
    )
    assert msgspec.to_builtins(claims) == issuer.verify_token(token)
    assert claims.scopes == ("read", "write")
    with pytest.raises(AttributeError):
        claims.iss = "https://evil.example"  # type: ignore[misc]


def test_claims_unknown_to_the_type_are_in_the_dict(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ide", [], "q7", extra_claims={"tenant": "blue"})
    assert issuer.verify_token(token)["tenant"] == "blue"
    assert issuer.verify(token).client_id == "ide"


def test_the_jti_is_not_in_the_repr(issuer: JWTIssuer) -> None:
    claims = issuer.verify(issuer.issue_access_token("ide", [], "q7Zk1v0Xc3", 60, {"name": "Al"}))
    assert "q7Zk" not in repr(claims)
    assert "Al" not in repr(claims)
    assert KEY.decode() not in repr(issuer) + repr(vars(issuer))


def test_the_same_issued_at_gives_the_same_token_again() -> None:
    early, late = issuer_at(NOW), issuer_at(NOW + 30.7)
    again = late.issue_access_token("ide", ["read"], "q7", 60, issued_at=NOW)
    assert again == early.issue_access_token("ide", ["read"], "q7", 60)
    again = late.issue_refresh_token("ide", ["read"], "q7", 60, issued_at=NOW)
    assert again == early.issue_refresh_token("ide", ["read"], "q7", 60)


def test_a_clock_with_fractions_gives_whole_seconds() -> None:
    issuer = issuer_at(NOW + 0.9)
    claims = issuer.verify(issuer.issue_access_token("ide", [], "q7", 60))
    assert (claims.iat, claims.exp) == (NOW, NOW + 60)


@pytest.mark.parametrize(("leeway", "last"), [(0, 59.999), (5, 64.999)])
def test_a_token_ends_at_exp_plus_leeway(leeway: float, last: float) -> None:
    token = issuer_at(NOW).issue_access_token("ide", [], "q7", 60)
    assert issuer_at(NOW + last, leeway).verify(token).jti == "q7"
    with pytest.raises(ExpiredToken, match="expired"):
        issuer_at(NOW + 60 + leeway, leeway).verify(token)
    with pytest.raises(ExpiredToken, match="expired"):
        issuer_at(NOW + 60 + leeway, leeway).verify_token(token)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_from_the_future_waits_for_its_time_less_leeway(claim: str) -> None:
    token = token_with(**{claim: NOW + 5})
    with pytest.raises(NotYetValid):
        issuer_at(NOW + 4.9).verify_token(token)
    with pytest.raises(NotYetValid):
        issuer_at(NOW - 0.1, leeway=5).verify(token)
    assert issuer_at(NOW + 5).verify_token(token)
    assert issuer_at(NOW, leeway=5).verify(token).client_id == "ide"


def test_each_reason_is_an_error_of_its_own(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ide", ["read"], "q7")
    header, payload, _ = token.split(".")
    cases: dict[str, type[JoseError]] = {
        token_with(iss="https://other.example"): WrongIssuer,
        token_with(aud="https://auth.example.com/other"): WrongAudience,
        token_with(token_use="refresh"): WrongTokenUse,
        token_with(exp=NOW): ExpiredToken,
        token_with(nbf=NOW + 1): NotYetValid,
        token_with(key=OTHER_KEY): BadSignature,
        f"{header}.{payload}.": MalformedToken,
        f"{header}.{payload}": MalformedToken,
        token_with(header={"alg": "HS256", "typ": "JWT", "kid": "x"}): UnknownKey,
        "": MalformedToken,
    }
    for bad, expected in cases.items():
        for verify in (issuer.verify, issuer.verify_token):
            with pytest.raises(JoseError) as refusal:
                verify(bad)
            assert type(refusal.value) is expected


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"iss": "https://other.example"}, "issuer"),
        ({"aud": "https://other.example"}, "audience"),
        ({"exp": NOW - 1}, "expired"),
    ],
)
def test_the_text_of_an_error_names_its_reason(
    issuer: JWTIssuer, change: dict[str, Any], word: str
) -> None:
    with pytest.raises(JoseError, match=word):
        issuer.verify_token(token_with(**change))


def test_a_claim_that_is_absent_is_not_the_same_as_null(issuer: JWTIssuer) -> None:
    for name in ("sub", "nbf", "token_use", "upstream_claims"):
        payload = json.dumps({**CLAIMS, name: None}, separators=(",", ":")).encode()
        for verify in (issuer.verify, issuer.verify_token):
            with pytest.raises(MalformedToken):
                verify(token_of(payload))


@pytest.mark.parametrize("name", ["iss", "aud", "client_id", "scope", "exp", "iat", "jti"])
def test_a_claim_that_every_token_has_must_be_there(issuer: JWTIssuer, name: str) -> None:
    for verify in (issuer.verify, issuer.verify_token):
        with pytest.raises(MalformedToken):
            verify(token_with(**{name: None}))


@pytest.mark.parametrize("key", [b"", b"short", b"k" * 44, bytes(31), None])
def test_spec109_a_weak_signing_key_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        JWTIssuer(ISSUER, AUDIENCE, key)


@pytest.mark.parametrize("leeway", [-1, 301, float("nan"), float("inf")])
def test_a_leeway_has_bounds(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        JWTIssuer(ISSUER, AUDIENCE, KEY, leeway=leeway)


@pytest.mark.parametrize(("issuer", "audience"), [("", AUDIENCE), (ISSUER, ""), (None, AUDIENCE)])
def test_an_issuer_has_a_name_and_an_audience(issuer: Any, audience: Any) -> None:
    with pytest.raises(ValueError, match="strings, and not empty"):
        JWTIssuer(issuer, audience, KEY)


def test_a_key_longer_than_a_hash_block_works_as_everywhere_else() -> None:
    long = bytes(range(200))
    issuer = JWTIssuer(ISSUER, AUDIENCE, long, clock=lambda: NOW)
    assert issuer.verify(token_with(key=long)).client_id == "ide"


Issue = Callable[..., str]


@pytest.mark.parametrize("use", ["access", "refresh"])
@pytest.mark.parametrize(
    "fault",
    [
        {"client_id": ""},
        {"client_id": None},
        {"client_id": 7},
        {"client_id": "\ud800"},
        {"jti": ""},
        {"jti": b"q7"},
        {"jti": "\udfff"},
        {"issued_at": "now"},
        {"issued_at": 1.5},
        {"issued_at": 2**53},
        {"upstream_claims": ["email"]},
        {"upstream_claims": {"a": object()}},
        {"upstream_claims": {"a": b"bytes"}},
        {"upstream_claims": {"a": {1, 2}}},
        {"upstream_claims": {"a": float("nan")}},
        {"upstream_claims": {"a": float("-inf")}},
        {"upstream_claims": {"a": "\ud800"}},
        {"upstream_claims": {(1, 2): "a"}},
    ],
)
def test_what_could_not_verify_is_not_issued(issuer: JWTIssuer, use: str, fault: Any) -> None:
    arguments = {"client_id": "ide", "scopes": ["read"], "jti": "q7", "expires_in": 60} | fault
    issue: Issue = issuer.issue_access_token if use == "access" else issuer.issue_refresh_token
    with pytest.raises(ValueError, match=r"."):
        issue(**arguments)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"client_id": ""}, "client_id and jti are strings, and not empty"),
        ({"jti": ""}, "client_id and jti are strings, and not empty"),
        ({"subject": ""}, "subject is a string, and not empty"),
        ({"expires_in": 0.5}, "expires_in is the token's lifetime in whole seconds"),
        ({"issued_at": 1.5}, "issued_at and expires_in give no time in whole seconds"),
        ({"scopes": "read"}, "scopes are a list of strings, not one string"),
        ({"scopes": [["read"]]}, "scopes are a list of strings"),
        (
            {"extra_claims": {"1": 0, 1: 0}},
            "a claim is repeated, nested too deeply, or no proper text",
        ),
    ],
)
def test_a_refusal_to_issue_says_what_is_wrong(
    issuer: JWTIssuer, fault: Any, sentence: str
) -> None:
    arguments = {"client_id": "ide", "scopes": ["read"], "jti": "q7"} | fault
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        issuer.issue_access_token(**arguments)


def test_the_last_moment_that_a_token_may_have(issuer: JWTIssuer) -> None:
    last = 2**53
    token = issuer.issue_access_token("ide", [], "q7", last - NOW)
    assert issuer.verify(token).exp == last
    with pytest.raises(ValueError, match="whole seconds"):
        issuer.issue_access_token("ide", [], "q7", last - NOW + 1)
    with pytest.raises(ExpiredToken):
        issuer.verify(issuer.issue_access_token("ide", [], "q7", 1, issued_at=-last))
    with pytest.raises(ValueError, match="whole seconds"):
        issuer.issue_access_token("ide", [], "q7", 1, issued_at=-last - 1)


def test_the_longest_token_that_is_issued_is_the_longest_that_is_read(issuer: JWTIssuer) -> None:
    def issue(size: int) -> str:
        return issuer.issue_access_token("ide", [], "j" * size)

    size = next(n for n in range(11_900, 12_300) if len(issue(n)) == MAX_TOKEN)
    assert issuer.verify(issue(size)).client_id == "ide"
    with pytest.raises(ValueError, match="the token would be over 16384 characters"):
        issue(size + 2)


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("levels", [1, 2, 30, 31])
def test_claims_may_be_nested_32_levels_deep(issuer: JWTIssuer, levels: int) -> None:
    """The payload itself is the first level, and ``x`` stands on the second or the third."""
    upstream = {"x": nested(levels - 1)}
    token = issuer.issue_access_token("ide", [], "q7", upstream_claims=upstream)
    assert issuer.verify_token(token)["upstream_claims"] == upstream
    token = issuer.issue_access_token("ide", [], "q7", extra_claims={"x": nested(levels)})
    assert issuer.verify_token(token)["x"] == nested(levels)


@pytest.mark.parametrize(("what", "levels"), [("upstream_claims", 31), ("extra_claims", 32)])
@pytest.mark.parametrize("plain", [True, False])
def test_claims_nested_more_deeply_are_neither_issued_nor_read(
    issuer: JWTIssuer, what: str, levels: int, *, plain: bool
) -> None:
    # A float that other libraries write in another way is read in the long way.
    claims: Any = {"x": nested(levels)} if plain else {"x": nested(levels), "y": 1e16}
    with pytest.raises(ValueError, match="nested too deeply"):
        issuer.issue_access_token("ide", [], "q7", **{what: claims})
    with pytest.raises(MalformedToken):
        issuer.verify(token_with(**({what: claims} if what == "upstream_claims" else claims)))


@pytest.mark.parametrize("what", ["upstream_claims", "extra_claims"])
@pytest.mark.parametrize("value", [["email"], "email", 7])
def test_claims_are_given_as_a_dict(issuer: JWTIssuer, what: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^claims are given as a dict$"):
        issuer.issue_access_token("ide", [], "q7", **{what: value})


def test_all_reserved_claims_in_the_way_are_named(issuer: JWTIssuer) -> None:
    with pytest.raises(ValueError, match=r"^extra_claims may not set aud, iss$"):
        issuer.issue_access_token("ide", [], "q7", extra_claims={"iss": "x", "aud": "y", "a": 1})


def test_a_claim_that_is_no_json_is_named_as_such(issuer: JWTIssuer) -> None:
    with pytest.raises(ValueError, match=r"^a claim is not JSON$"):
        issuer.issue_access_token("ide", [], "q7", extra_claims={"a": object()})


def test_extra_claims_alone_bring_no_upstream_claims(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ide", [], "q7", extra_claims={"tenant": "blue"})
    assert list(issuer.verify_token(token))[6:] == ["jti", "tenant"]
    assert payload_of(token).endswith(b'"jti":"q7","tenant":"blue"}')


def test_text_is_written_as_utf_8_and_not_escaped(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ïde", [], "q7", extra_claims={"name": "Zoë"})
    assert "ïde".encode() in payload_of(token)
    assert "Zoë".encode() in payload_of(token)


@pytest.mark.parametrize("subject", ["", 7, "\ud800"])
def test_a_subject_is_a_proper_string(issuer: JWTIssuer, subject: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        issuer.issue_access_token("ide", [], "q7", subject=subject)


def test_claims_that_contain_themselves_are_not_issued(issuer: JWTIssuer) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(ValueError, match=r"."):
        issuer.issue_access_token("ide", [], "q7", upstream_claims=loop)


@pytest.mark.parametrize(
    "value",
    [
        {"groups": [{"name": "a"}] * 100},
        "naïve ☂ 𝄞",
        '\u007f\u0000"\\/',
        10**30,
        -1.5e-7,
        [[]],
        None,
    ],
)
def test_upstream_claims_come_back_as_they_were(issuer: JWTIssuer, value: Any) -> None:
    token = issuer.issue_access_token("ide", [], "q7", upstream_claims={"a": value, "": True})
    assert issuer.verify_token(token)["upstream_claims"] == {"a": value, "": True}
    assert issuer.verify(token).upstream_claims == {"a": value, "": True}


def test_a_token_of_no_seconds_has_ended(issuer: JWTIssuer) -> None:
    with pytest.raises(ExpiredToken):
        issuer.verify(issuer.issue_access_token("ide", ["read"], "q7", 0))


def test_a_token_without_a_given_jti_gets_a_random_one() -> None:
    issuer = JWTIssuer("https://auth.example", "https://api.example", KEY)
    tokens = [issuer.issue_access_token("ide", ["read"]) for _ in range(50)]
    ids = {issuer.verify(token).jti for token in tokens}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 22  # 128 bits


def test_a_refresh_token_lasts_thirty_days_unless_somebody_says() -> None:
    issuer = JWTIssuer("https://auth.example", "https://api.example", KEY)
    claims = issuer.verify(issuer.issue_refresh_token("ide", ["read"]), "refresh")
    assert claims.exp - claims.iat == 30 * 86400


@pytest.mark.parametrize("key", ["", "k" * 40, KEY.hex()])
def test_a_key_that_is_text_is_said_to_be(key: str) -> None:
    for make in (
        lambda: JWTIssuer("https://auth.example", "https://api.example", key),  # type: ignore[arg-type]
        lambda: KeyRing(KEY, [key]),  # type: ignore[list-item]
    ):
        with pytest.raises(TypeError, match=r"a key is bytes, and this is a str: derive_jwt_key"):
            make()
