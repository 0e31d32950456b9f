"""Tokens and keys are interchangeable with the installed FastMCP's, in both directions."""

import time
from typing import Any

import pytest
from fastmcp.server.auth import jwt_issuer as fastmcp
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import JoseError

import mintage
from mintage import jwt_issuer
from tests.support.forge import AUDIENCE, ISSUER, KEY, NOW, token_with

OURS = jwt_issuer.JWTIssuer(ISSUER, AUDIENCE, KEY)
THEIRS = fastmcp.JWTIssuer(ISSUER, AUDIENCE, KEY)

SCOPES = st.lists(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), max_size=4
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=3), inner),
    max_leaves=8,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
UPSTREAM = st.none() | st.dictionaries(st.text("ab", max_size=2), JSON, max_size=3)


@pytest.fixture(autouse=True)
def standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def test_the_drop_in_names_are_there() -> None:
    assert mintage.JWTIssuer is jwt_issuer.JWTIssuer
    assert mintage.derive_jwt_key is jwt_issuer.derive_jwt_key


@given(
    material=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda m: len(set(m)) > 1),
    salt=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_keys_are_the_same(material: str, salt: str) -> None:
    ours = jwt_issuer.derive_jwt_key(high_entropy_material=material, salt=salt)
    assert ours == fastmcp.derive_jwt_key(high_entropy_material=material, salt=salt)


@given(
    client_id=NAMES,
    scopes=SCOPES,
    jti=NAMES,
    expires_in=st.integers(1, 10**9),
    upstream_claims=UPSTREAM,
    subject=st.none() | NAMES,
    extra_claims=st.none() | st.dictionaries(st.sampled_from(["tenant", "acr", "é"]), JSON),
)
def test_equal_arguments_give_equal_access_tokens(**case: Any) -> None:
    ours = jwt_issuer.JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
    token = ours.issue_access_token(**case)
    assert token == THEIRS.issue_access_token(**case)
    assert ours.verify_token(token) == THEIRS.verify_token(token)


@given(client_id=NAMES, scopes=SCOPES, jti=NAMES, upstream=UPSTREAM)
def test_equal_arguments_give_equal_refresh_tokens(
    client_id: str, scopes: list[str], jti: str, upstream: Any
) -> None:
    ours = jwt_issuer.JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
    token = ours.issue_refresh_token(client_id, scopes, jti, 60, upstream)
    assert token == THEIRS.issue_refresh_token(client_id, scopes, jti, 60, upstream)
    assert ours.verify_token(token, "refresh") == THEIRS.verify_token(token, "refresh")


@pytest.mark.parametrize(
    "change",
    [{"exp": NOW - 1}, {"iss": "https://x.example"}, {"aud": "x"}, {"token_use": "refresh"}],
    ids=lambda change: next(iter(change)),
)
def test_both_refuse_the_same_faults(change: dict[str, Any]) -> None:
    ours = jwt_issuer.JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
    for verify in (ours.verify_token, THEIRS.verify_token):
        with pytest.raises(JoseError):
            verify(token_with(**change))
