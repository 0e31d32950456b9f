"""joserfc and PyJWT agree on every token that we accept; where they accept more, it has a name.

Each class below is one kind of strictness that this package adds on purpose. A disagreement
that fits none of them fails the test. docs/explanation/kernel.md lists them.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError

from mintage.jwt_issuer import JWTIssuer, KeyRing
from tests.support.forge import (
    AUDIENCE,
    CLAIMS,
    ED25519,
    ISSUER,
    KEY,
    KEYS,
    NOW,
    P256,
    RSA,
    compact,
    segment,
    signed,
)

OURS = JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
OCT = jwk.import_key(KEY, "oct")
Claims = dict[str, Any]


def by_joserfc(token: str) -> Claims:
    claims = joserfc_jwt.decode(token, OCT, algorithms=["HS256"]).claims
    joserfc_jwt.JWTClaimsRegistry(
        now=NOW,
        leeway=0,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    ).validate(claims)
    return claims


def by_pyjwt(token: str) -> Claims:
    claims: Claims = pyjwt.decode(
        token,
        KEY,
        algorithms=["HS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        options={"require": ["exp", "iss", "aud"], "verify_exp": False, "verify_iat": False,
                 "verify_nbf": False},
    )  # fmt: skip
    if claims["exp"] <= NOW or claims.get("iat", 0) > NOW or claims.get("nbf", 0) > NOW:
        raise pyjwt.InvalidTokenError
    return claims


OTHERS = {"joserfc": by_joserfc, "PyJWT": by_pyjwt}


def accepted(verify: Callable[[str], Claims], token: str) -> Claims | None:
    """The claims that *verify* finds, or None. Other libraries raise all sorts of things."""
    try:
        return verify(token)
    except (JoseError, pyjwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError,
            AttributeError, OverflowError):  # fmt: skip
        return None


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_json(payload: bytes) -> bool:
    """Whether *payload* is JSON as RFC 8259 has it: UTF-8, no NaN, no lone surrogates."""
    try:
        json.dumps(json.loads(payload.decode()), allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return payload[:1] != b"\xef"


def repeats(payload: bytes) -> bool:
    objects: list[list[tuple[str, Any]]] = []
    json.loads(payload, object_pairs_hook=objects.append)
    return len(objects[-1]) != len(dict(objects[-1]))


def is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


# What each class of our own strictness looks at: the token's text and its claims.
STRICTNESS: dict[str, Callable[[str, Claims], bool]] = {
    "a header that this issuer does not emit": lambda token, _: (
        raw(token.partition(".")[0])
        not in (b'{"typ":"JWT","alg":"HS256"}', b'{"alg":"HS256","typ":"JWT"}')
    ),
    "a repeated claim": lambda token, _: repeats(raw(token.split(".")[1])),
    "not JSON as RFC 8259 has it": lambda token, _: not is_json(raw(token.split(".")[1])),
    "a claim that every token of ours has is missing or no name": lambda _, claims: (
        not all(is_name(claims.get(name)) for name in ("iss", "aud", "client_id", "jti"))
        or not isinstance(claims.get("scope"), str)
    ),
    "a time that is no integer": lambda _, claims: (
        any(type(claims.get(name)) is not int for name in ("exp", "iat"))
        or type(claims.get("nbf", 0)) is not int
    ),
    "a time beyond 2**53": lambda _, claims: any(
        abs(claims.get(name, 0)) > 2**53 for name in ("exp", "iat", "nbf")
    ),
    "an odd sub or upstream_claims": lambda _, claims: (
        not is_name(claims.get("sub", "x"))
        or not isinstance(claims.get("upstream_claims", {}), dict)
    ),
    "another token_use": lambda _, claims: claims.get("token_use", "access") != "access",
}


def strictness(token: str, claims: Claims) -> set[str]:
    """The named classes of our own strictness that *token* falls in."""
    return {name for name, fits in STRICTNESS.items() if fits(token, claims)}


def compare(token: str) -> None:
    ours = accepted(OURS.verify_token, token)
    for name, verify in OTHERS.items():
        theirs = accepted(verify, token)
        if ours is not None:
            assert theirs == ours, f"{name} does not agree"
        elif theirs is not None:
            assert strictness(token, theirs), f"{name} accepts this, and no class says why we don't"


VALUES = st.sampled_from(
    [None, True, False, 0, 1, -1, NOW, NOW + 1, NOW - 1, NOW + 0.5, 1e300, "", "x",
     ISSUER, AUDIENCE, [], [AUDIENCE], {}, {"a": 1}, "access", "refresh", str(NOW + 60),
     2**53, 2**64, float("nan")]
) | st.text(max_size=5)  # fmt: skip
NAMES = st.sampled_from([*CLAIMS, "sub", "nbf", "token_use", "upstream_claims", "tenant"])
SPELLING = st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 1}, {"sort_keys": True}])
HEADERS = st.sampled_from(
    [{"typ": "JWT", "alg": "HS256"}] * 6
    + [{"alg": "HS256", "typ": "JWT"}, {"alg": "HS256"}, {"alg": "HS512"}, {"alg": "none"},
       {"alg": "HS256", "typ": "JWT", "kid": "x"}, {"alg": "HS256", "crit": ["x"], "x": 1}]
)  # fmt: skip


@settings(max_examples=400)
@given(changes=st.dictionaries(NAMES, VALUES, max_size=3), spelling=SPELLING, header=HEADERS,
       dropped=st.sets(st.sampled_from(list(CLAIMS)), max_size=1))  # fmt: skip
def test_generated_tokens(
    changes: Claims, spelling: Claims, header: Claims, dropped: set[str]
) -> None:
    claims = {name: value for name, value in (CLAIMS | changes).items() if name not in dropped}
    payload = json.dumps(claims, **spelling).encode()
    compare(signed(f"{segment(compact(header))}.{segment(payload)}"))


@settings(max_examples=400)
@given(at=st.integers(0, 400), insert=st.binary(max_size=3), cut=st.integers(0, 3))
def test_signed_payloads_with_a_change_anywhere(at: int, insert: bytes, cut: int) -> None:
    payload = compact(CLAIMS | {"sub": "alice", "upstream_claims": {"name": "Ü"}})
    at %= len(payload)
    payload = payload[:at] + insert + payload[at + cut :]
    compare(signed(f"{segment(compact({'typ': 'JWT', 'alg': 'HS256'}))}.{segment(payload)}"))


@settings(max_examples=300)
@given(
    at=st.integers(0, 400), insert=st.text("AZaz09-_.=+/\n é", max_size=3), cut=st.integers(0, 3)
)
def test_tokens_with_a_change_anywhere(at: int, insert: str, cut: int) -> None:
    token = signed(f"{segment(compact({'typ': 'JWT', 'alg': 'HS256'}))}.{segment(compact(CLAIMS))}")
    at %= len(token)
    compare(token[:at] + insert + token[at + cut :])


HEADER = segment(compact({"typ": "JWT", "alg": "HS256"}))
PLAIN = compact(CLAIMS)
EXAMPLES = {
    "a repeated claim": (HEADER, PLAIN[:-1] + b',"scope":"admin"}'),
    "a header that this issuer does not emit": (segment(compact({"alg": "HS256"})), PLAIN),
    "a time that is no integer": (HEADER, PLAIN.replace(b"1800000060", b"1800000060.5")),
    "a time beyond 2**53": (HEADER, PLAIN.replace(b"1800000060", b"18000000600000000")),
    "another token_use": (HEADER, compact(CLAIMS | {"token_use": "refresh"})),
    "an odd sub or upstream_claims": (HEADER, compact(CLAIMS | {"upstream_claims": 5})),
    "not JSON as RFC 8259 has it": (HEADER, PLAIN[:-1] + b',"tenant":NaN}'),
    "a claim that every token of ours has is missing or no name":
        (HEADER, compact(CLAIMS | {"jti": ""})),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_class_is_refused_here_and_accepted_there(name: str) -> None:
    """The classes are not there for show."""
    header, payload = EXAMPLES[name]
    token = signed(f"{header}.{segment(payload)}")
    theirs = accepted(by_joserfc, token) or accepted(by_pyjwt, token)
    assert theirs is not None
    assert strictness(token, theirs) == {name}
    assert accepted(OURS.verify_token, token) is None


def test_another_spelling_of_base64url_is_refused_by_all() -> None:
    spellings = [segment(compact(CLAIMS | {"jti": "j" * n})) for n in (1, 2, 3)]
    text = next(text for text in spellings if len(text) % 4)
    token = signed(f"{HEADER}.{text[:-1]}{chr(ord(text[-1]) + 1)}")
    for verify in (OURS.verify_token, by_joserfc, by_pyjwt):
        assert accepted(verify, token) is None


@pytest.mark.parametrize("name", KEYS)
def test_other_libraries_verify_what_we_sign(name: str) -> None:
    ring = KeyRing(KEYS[name])
    token = JWTIssuer(ISSUER, AUDIENCE, ring, clock=lambda: NOW).issue_access_token(
        "ide", ["read"], "q7", subject="alice"
    )
    key: Any = {"HS256": KEY, "ES256": P256, "RS256": RSA}.get(name, ED25519)
    public = key if name == "HS256" else key.public_key()
    options: Any = {"verify_exp": False, "verify_iat": False}
    if name != "Ed25519":  # PyJWT knows EdDSA only under its old name
        theirs = pyjwt.decode(token, public, algorithms=[name], audience=AUDIENCE, options=options)
        assert theirs["jti"] == "q7"
    if name == "EdDSA":
        return  # joserfc warns about the old name; as Ed25519 the same key is checked here
    imported = (
        jwk.import_key(KEY, "oct")
        if name == "HS256"
        else jwk.import_key(dict(KEYS[name].jwk or {}))
    )
    assert joserfc_jwt.decode(token, imported, algorithms=[name]).claims["jti"] == "q7"
