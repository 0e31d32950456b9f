"""Whatever goes in: a token verifies to what was issued, and nothing but JoseError comes out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.errors import JoseError

from mintage.errors import ExpiredToken
from mintage.jwt_issuer import JWTIssuer
from mintage.values import check_scopes
from tests.support.forge import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    KEY,
    NOW,
    compact,
    segment,
    signed,
    token_of,
    token_with,
)

ISSUER_ = JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
GOOD = token_with()
NAMES = st.text(max_size=3) | st.integers(0, 3)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=40)
@given(
    client_id=ANYTHING | st.text(),
    scopes=ANYTHING | st.lists(st.text()),
    jti=ANYTHING | st.text(),
    expires_in=ANYTHING | st.integers(),
    upstream_claims=ANYTHING | st.dictionaries(NAMES, ANYTHING, max_size=3),
    subject=ANYTHING,
    extra_claims=ANYTHING | st.dictionaries(NAMES, ANYTHING, max_size=3),
)
def test_what_is_issued_verifies_and_the_rest_is_a_value_error(**arguments: Any) -> None:
    try:
        token = ISSUER_.issue_access_token(**arguments)
    except ValueError:
        return
    if arguments["expires_in"] <= 0:
        with pytest.raises(ExpiredToken):
            ISSUER_.verify_token(token)
        return
    claims = ISSUER_.verify_token(token)
    assert claims["client_id"] == arguments["client_id"]
    assert tuple(claims["scope"].split()) == check_scopes(arguments["scopes"])
    assert claims["exp"] - claims["iat"] == arguments["expires_in"]
    assert ISSUER_.verify(token).jti == arguments["jti"] == claims["jti"]


@given(st.text() | st.text("ey.J0-_=", max_size=60) | ANYTHING)
def test_only_jose_errors_leave_for_any_value(token: Any) -> None:
    for verify in (ISSUER_.verify_token, ISSUER_.verify):
        with pytest.raises(JoseError):
            verify(token)


@given(st.binary() | st.text().map(str.encode) | ANYTHING.map(repr).map(str.encode))
def test_only_jose_errors_leave_for_any_signed_payload(payload: bytes) -> None:
    for verify in (ISSUER_.verify_token, ISSUER_.verify):
        with pytest.raises(JoseError):
            verify(token_of(payload))


@given(st.text(st.characters(codec="latin-1")))
def test_only_jose_errors_leave_for_any_signed_segment(text: str) -> None:
    header = token_with().split(".")[0]
    with pytest.raises(JoseError):
        ISSUER_.verify_token(signed(f"{header}.{text}"))


@given(
    at=st.integers(0, len(compact(CLAIMS)) - 1),
    what=st.binary(max_size=3),
    length=st.integers(0, 3),
)
def test_a_changed_payload_verifies_alike_in_both_forms(at: int, what: bytes, length: int) -> None:
    """The dict and the value never disagree about which tokens are good."""
    good = compact(CLAIMS)
    token = token_of(good[:at] + what + good[at + length :])
    try:
        claims = ISSUER_.verify_token(token)
    except JoseError as error:
        with pytest.raises(type(error)):
            ISSUER_.verify(token)
    else:
        value = ISSUER_.verify(token)
        assert {name: getattr(value, name) for name in CLAIMS} == {n: claims[n] for n in CLAIMS}


def test_every_changed_character_is_refused() -> None:
    for at, original in enumerate(GOOD):
        for replacement in "Aa0-_.=+ \x00é":
            if replacement != original:
                with pytest.raises(JoseError):
                    ISSUER_.verify(GOOD[:at] + replacement + GOOD[at + 1 :])


def test_every_truncation_is_refused() -> None:
    for size in range(len(GOOD)):
        for part in (GOOD[:size], GOOD[size + 1 :], GOOD[:size] + GOOD[size + 1 :]):
            with pytest.raises(JoseError):
                ISSUER_.verify(part)


def test_segments_of_two_tokens_do_not_mix() -> None:
    other = token_with(jti="another").split(".")
    mixed = [*GOOD.split(".")[:2], other[2]]
    with pytest.raises(JoseError):
        ISSUER_.verify(".".join(mixed))
    assert segment(b"") == ""
