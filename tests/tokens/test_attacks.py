"""One test, or several, for each row A01 to A12 of the attacks this project withstands."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import JoseError

from mintage.crypto.derivation import check_secret, derive_jwt_key
from mintage.errors import (
    BadSignature,
    ExpiredToken,
    MalformedToken,
    NotYetValid,
    UnknownKey,
    WrongAudience,
    WrongTokenUse,
)
from mintage.grant_tokens import Tokens
from mintage.jwt.jws import MAX_TOKEN
from mintage.jwt.keyring import BARE_HEADER as HEADER_SEGMENT
from mintage.jwt.keyring import KeyRing
from mintage.jwt_issuer import JWTIssuer
from mintage.vault.values import Lifetimes
from tests.support.forge import (
    AUDIENCE,
    CLAIMS,
    HEADER,
    ISSUER,
    KEY,
    NOW,
    compact,
    segment,
    signed,
    token_of,
    token_with,
)


def refused(issuer: JWTIssuer, token: Any, error: type[JoseError] = JoseError) -> None:
    """*token* is refused in both forms, for a use it might be good for."""
    for verify in (issuer.verify_token, issuer.verify):
        for use in ("access", "refresh"):
            with pytest.raises(error):
                verify(token, use)


# --- A01 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None])
@pytest.mark.parametrize("signature", ["", "."])
def test_attack_a01_alg_none(issuer: JWTIssuer, alg: str | None, signature: str) -> None:
    header = segment(compact({"alg": alg, "typ": "JWT"}))
    refused(issuer, f"{header}.{segment(compact(CLAIMS))}{signature}")


def test_attack_a01_no_signature_under_a_good_header(issuer: JWTIssuer) -> None:
    unsigned = f"{HEADER_SEGMENT.decode()}.{segment(compact(CLAIMS))}"
    refused(issuer, unsigned)
    refused(issuer, unsigned + ".")


@pytest.mark.parametrize("bits", [384, 512])
def test_attack_a01_another_hash_under_the_same_key(issuer: JWTIssuer, bits: int) -> None:
    for header in ({"alg": f"HS{bits}", "typ": "JWT"}, HEADER):
        signing_input = f"{segment(compact(header))}.{segment(compact(CLAIMS))}"
        refused(issuer, signed(signing_input, digest=f"sha{bits}"))


def test_attack_a01_a_public_key_used_as_a_secret(issuer: JWTIssuer) -> None:
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    refused(issuer, token_with(key=pem), BadSignature)
    for alg in ("RS256", "ES256", "EdDSA"):
        refused(issuer, token_with(header={"alg": alg, "typ": "JWT"}), UnknownKey)


# --- A02, A03, A04: the header ---------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": {"kty": "oct", "k": segment(KEY)}},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"kid": "../../../../dev/null"},
        {"kid": "' UNION SELECT 'secret'; --"},
        {"kid": ""},
    ],
    ids=lambda more: next(iter(more)),
)
def test_attack_a02_a_key_named_in_the_header(issuer: JWTIssuer, more: dict[str, Any]) -> None:
    refused(issuer, token_with(header=HEADER | more), UnknownKey)


@pytest.mark.parametrize(
    "more",
    [
        {"crit": []},
        {"crit": ["exp"], "exp": NOW},
        {"crit": ["unknown"], "unknown": True},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"zip": "DEF"},
    ],
)
def test_attack_a03_an_extension_in_the_header(issuer: JWTIssuer, more: dict[str, Any]) -> None:
    refused(issuer, token_with(header=HEADER | more), UnknownKey)


def test_attack_a03_an_unencoded_payload(issuer: JWTIssuer) -> None:
    header = segment(compact(HEADER | {"b64": False, "crit": ["b64"]}))
    refused(issuer, signed(f"{header}.{compact(CLAIMS).decode()}"))
    refused(issuer, signed(f"{HEADER_SEGMENT.decode()}.{compact(CLAIMS).decode()}"))


@pytest.mark.parametrize(
    "header",
    [
        "alg",
        ["alg"],
        None,
        5,
        HEADER | {"crit": 5},
        HEADER | {"crit": None},
        HEADER | {"crit": [[]]},
        HEADER | {"crit": {"b64": 1}},
        {"alg": ["HS256"], "typ": "JWT"},
        {"alg": {"HS256": 1}},
        {},
    ],
)
def test_attack_a04_a_header_that_is_no_proper_object(issuer: JWTIssuer, header: Any) -> None:
    refused(issuer, token_with(header=header), UnknownKey)


@pytest.mark.parametrize("spelling", [b'{"alg": "HS256", "typ": "JWT"}', b'{"alg":"HS256"}'])
def test_attack_a04_the_same_header_spelled_otherwise(issuer: JWTIssuer, spelling: bytes) -> None:
    refused(issuer, signed(f"{segment(spelling)}.{segment(compact(CLAIMS))}"), UnknownKey)


# --- A05: sizes, depths and types ------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
def test_attack_a05_a_megabyte_in_one_segment(issuer: JWTIssuer, place: int) -> None:
    segments = token_with().split(".")
    segments[place] = "A" * 1_000_000
    refused(issuer, ".".join(segments), MalformedToken)


@pytest.mark.parametrize("levels", [33, 100, 1_500, 5_000])
@pytest.mark.parametrize("bracket", ["[]", '{"a":}'])
@pytest.mark.parametrize("where", ["upstream_claims", "other"])
def test_attack_a05_deep_nesting(issuer: JWTIssuer, levels: int, bracket: str, where: str) -> None:
    deep = bracket[:-1] * levels + "1" + bracket[-1] * levels
    payload = compact(CLAIMS)[:-1] + f',"{where}":{{"x":{deep}}}}}'.encode()
    refused(issuer, token_of(payload), MalformedToken)
    refused(issuer, token_of(deep.encode()), MalformedToken)


@pytest.mark.parametrize(
    "token",
    [
        None,
        b"",
        token_with().encode(),
        bytearray(b"a.b.c"),
        7,
        1.5,
        [],
        {},
        ("a", "b", "c"),
        object(),
        "",
        ".",
        "..",
        "...",
        "\ud800.\ud800.\ud800",
        token_with() + "\ud800",
        token_with() + "é",
        "é" + token_with(),
        token_with().replace(".", ".\ud800", 1),
        token_with().replace(".", "\u3002"),
        "\0" * 100,
    ],
    ids=lambda token: ascii(token)[:20],
)
def test_attack_a05_what_is_no_token_at_all(issuer: JWTIssuer, token: Any) -> None:
    refused(issuer, token, JoseError)


# --- A06: the payload's spelling -------------------------------------------------------------


@pytest.mark.parametrize("name", [*CLAIMS, "token_use", "sub", "nbf", "upstream_claims"])
def test_attack_a06_a_claim_said_twice(issuer: JWTIssuer, name: str) -> None:
    claims = CLAIMS | {"token_use": "access", "sub": "a", "nbf": NOW, "upstream_claims": {"a": 1}}
    good = compact(claims)
    assert issuer.verify_token(token_of(good)) == claims
    value = json.dumps(claims[name])
    escaped = "".join(f"\\u{ord(character):04x}" for character in name)
    for spelling in (name, escaped, escaped[:6] + name[1:]):
        twice = f'"{spelling}":{value}'
        refused(issuer, token_of(good[:-1] + f",{twice}}}".encode()), MalformedToken)
        refused(issuer, token_of(f"{{{twice},".encode() + good[1:]), MalformedToken)
        refused(issuer, token_of(good[:-1] + f' , "{spelling}" : {value} }}'.encode()))


def test_attack_a06_a_name_may_stand_again_further_in(issuer: JWTIssuer) -> None:
    inner = {"iss": "https://idp.example", "exp": 1, "sub": "a"}
    token = issuer.issue_access_token("ide", [], "q7", upstream_claims=inner)
    assert issuer.verify_token(token)["upstream_claims"] == inner


def test_attack_a06_an_escaped_name_said_once_is_the_same_claim(issuer: JWTIssuer) -> None:
    payload = compact(CLAIMS).replace(b'"iss"', rb'"\u0069ss"')
    assert issuer.verify_token(token_of(payload)) == CLAIMS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"])
def test_attack_a06_another_encoding(issuer: JWTIssuer, encoding: str) -> None:
    payload = json.dumps(CLAIMS | {"scope": "é"}, ensure_ascii=False).encode(encoding)
    if encoding == "utf-7":
        payload = payload.replace(b"{", b"+AHs-")
    refused(issuer, token_of(payload), MalformedToken)


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"",
        b" ",
        b"{}",
        b"{",
        compact(CLAIMS) + b"x",
        compact(CLAIMS)[:-1],
        compact(CLAIMS)[:-1] + b",}",
        compact(CLAIMS).replace(b'"ide"', b'"\xff"'),
        compact(CLAIMS)[:-1] + b',"other":"\xc3\x28"}',
        compact(CLAIMS)[:-1] + b',"\xed\xa0\x80":1}',
        compact(CLAIMS)[:-1] + b',"other":"\\ud800"}',
        compact(CLAIMS)[:-1] + b',"other":NaN}',
        compact(CLAIMS)[:-1] + b',"other":Infinity}',
        compact(CLAIMS)[:-1] + b',"other":1e999}',
        compact(CLAIMS)[:-1] + b',"other":"\n"}',
        compact(CLAIMS).replace(b'"', b"'"),
        b"// comment\n" + compact(CLAIMS),
        b"\x00" + compact(CLAIMS),
        compact([CLAIMS]),
    ],
    ids=lambda payload: ascii(payload)[-24:],
)
def test_attack_a06_a_payload_that_is_no_json_object(issuer: JWTIssuer, payload: bytes) -> None:
    refused(issuer, token_of(payload), MalformedToken)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("stray", ["=", "==", " ", "\n", "\t", "+", "/", "!", "{", '"', "\\"])
def test_attack_a06_odd_characters_in_a_segment(issuer: JWTIssuer, place: int, stray: str) -> None:
    for where in (0, 4, None):
        segments = token_with().split(".")
        at = len(segments[place]) if where is None else where
        segments[place] = segments[place][:at] + stray + segments[place][at:]
        refused(issuer, ".".join(segments))
        if place < 2:
            refused(issuer, signed(".".join(segments[:2])))


def test_attack_a06_the_other_base64_alphabet(issuer: JWTIssuer) -> None:
    payload = compact(CLAIMS | {"jti": "??>>~~??>>~~"})
    assert issuer.verify_token(token_of(payload))
    other = segment(payload).replace("-", "+").replace("_", "/")
    assert other != segment(payload)
    refused(issuer, signed(f"{HEADER_SEGMENT.decode()}.{other}"), MalformedToken)


def test_attack_a06_stray_bits_in_a_signed_payload(issuer: JWTIssuer) -> None:
    for pad in range(3):
        payload = segment(compact(CLAIMS | {"jti": "j" * (pad + 1)}))
        if len(payload) % 4:
            stray = payload[:-1] + chr(ord(payload[-1]) + 1)
            refused(issuer, signed(f"{HEADER_SEGMENT.decode()}.{stray}"), MalformedToken)


@pytest.mark.parametrize("dots", [0, 1, 3, 4])
def test_attack_a06_any_number_of_segments_but_three(issuer: JWTIssuer, dots: int) -> None:
    token = token_with()
    for text in (".".join(["A" * 36] * (dots + 1)), ".".join((token.split(".") * 2)[: dots + 1])):
        refused(issuer, text, MalformedToken)


def test_attack_a06_surroundings_are_part_of_the_token(issuer: JWTIssuer) -> None:
    token = token_with()
    for text in (
        f" {token}",
        f"{token} ",
        f"{token}\n",
        f"Bearer {token}",
        f'"{token}"',
        f"{token}.",
    ):
        refused(issuer, text)


# --- A07: the times --------------------------------------------------------------------------

NO_TIMES = [
    b"null", b"NaN", b"Infinity", b"-Infinity", b'"1800000060"', b"[]", b"[1800000060]", b"{}",
    b"true", b"false", b"1800000060.0", b"18e8", b"1.8e9", b"1e400", b"9" * 400,
    b"1" + b"0" * 400, b"-" + b"9" * 400, b"9007199254740993", b"18446744073709551616",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: value[:12].decode())
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_attack_a07_what_is_no_time(issuer: JWTIssuer, name: str, value: bytes) -> None:
    payload = compact(CLAIMS | {name: "HERE"}).replace(b'"HERE"', value)
    refused(issuer, token_of(payload), MalformedToken)


def test_attack_a07_a_token_without_an_end(issuer: JWTIssuer) -> None:
    refused(issuer, token_with(exp=None), MalformedToken)


@pytest.mark.parametrize("exp", [0, -1, -(10**12), NOW])
def test_attack_a07_an_end_long_ago(issuer: JWTIssuer, exp: int) -> None:
    with pytest.raises(ExpiredToken, match="expired"):
        issuer.verify_token(token_with(exp=exp))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_attack_a07_a_start_in_the_future(issuer: JWTIssuer, name: str) -> None:
    with pytest.raises(NotYetValid):
        issuer.verify_token(token_with(**{name: NOW + 1}))


# --- A08, A09: the wrong place ---------------------------------------------------------------


def test_attack_a08_a_refresh_token_as_a_bearer_token(issuer: JWTIssuer) -> None:
    refresh = issuer.issue_refresh_token("ide", ["read"], "q7", 60)
    for verify in (issuer.verify_token, issuer.verify):
        with pytest.raises(WrongTokenUse):
            verify(refresh)
        assert verify(refresh, "refresh")


def test_attack_a08_an_access_token_to_refresh_with(issuer: JWTIssuer) -> None:
    access = issuer.issue_access_token("ide", ["read"], "q7")
    for verify in (issuer.verify_token, issuer.verify):
        with pytest.raises(WrongTokenUse):
            verify(access, "refresh")


@pytest.mark.parametrize("use", [["access"], {"access": 1}, 1, True, "Access", ""])
def test_attack_a08_a_use_that_is_none(issuer: JWTIssuer, use: Any) -> None:
    refused(issuer, token_with(token_use=use))


def test_attack_a09_a_token_of_the_sibling_resource(issuer: JWTIssuer) -> None:
    sibling = JWTIssuer(ISSUER, AUDIENCE + "2", KEY, clock=lambda: NOW)
    token = sibling.issue_access_token("ide", ["read"], "q7")
    with pytest.raises(WrongAudience, match="audience"):
        issuer.verify_token(token)


@pytest.mark.parametrize(
    "aud", [[AUDIENCE], [AUDIENCE, "x"], {AUDIENCE: 1}, AUDIENCE + "/", AUDIENCE.upper(), "", 1]
)
@pytest.mark.parametrize("name", ["aud", "iss"])
def test_attack_a09_almost_the_right_name(issuer: JWTIssuer, name: str, aud: Any) -> None:
    value = json.loads(json.dumps(aud).replace(AUDIENCE, issuer.issuer)) if name == "iss" else aud
    refused(issuer, token_with(**{name: value}))


# --- A10, A11: issuing -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CLAIMS, "token_use", "sub", "nbf", "upstream_claims"])
def test_attack_a10_extra_claims_that_overwrite(issuer: JWTIssuer, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        issuer.issue_access_token("ide", [], "q7", extra_claims={name: "x"})


def test_attack_a10_upstream_claims_stay_in_their_own_place(issuer: JWTIssuer) -> None:
    hostile = dict.fromkeys(CLAIMS, "x") | {"token_use": "refresh", "exp": 2**40}
    token = issuer.issue_access_token("ide", [], "q7", 60, upstream_claims=hostile)
    claims = issuer.verify_token(token)
    assert {name: claims[name] for name in CLAIMS} == CLAIMS | {"scope": "", "jti": "q7"}


@pytest.mark.parametrize("key", [1, True, None, 1.5])
def test_attack_a10_names_that_are_no_strings_cannot_repeat_one(
    issuer: JWTIssuer, key: Any
) -> None:
    """JSON turns such a name into a string, which may be there already."""
    spelled = json.loads(json.dumps({key: 0}))
    with pytest.raises(ValueError, match=r"."):
        issuer.issue_access_token("ide", [], "q7", extra_claims={**spelled, key: 1})


@pytest.mark.parametrize("what", ["upstream_claims", "extra_claims"])
def test_attack_a11_200_kilobytes_of_claims(issuer: JWTIssuer, what: str) -> None:
    with pytest.raises(ValueError, match=f"over {MAX_TOKEN} characters"):
        issuer.issue_access_token("ide", [], "q7", **{what: {"a": "x" * 200_000}})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"over {MAX_TOKEN} characters"):
        issuer.issue_access_token("i" * 200_000, [], "q7")


@pytest.mark.parametrize(
    "expires_in",
    [
        0.0,
        -1.0,
        float("inf"),
        float("-inf"),
        float("nan"),
        60.0,
        True,
        False,
        "60",
        None,
        2**53,
        -(2**54),
        10**400,
    ],
)
def test_attack_a11_a_lifetime_that_is_none(issuer: JWTIssuer, expires_in: Any) -> None:
    for issue in (issuer.issue_access_token, issuer.issue_refresh_token):
        with pytest.raises(ValueError, match="seconds"):
            issue("ide", ["read"], "q7", expires_in)


@pytest.mark.parametrize("which", ["access", "refresh"])
@pytest.mark.parametrize("seconds", [0, -1])
def test_attack_a11_a_server_that_issues_ended_tokens(which: str, seconds: int) -> None:
    lifetimes = Lifetimes(**{which: seconds})
    with pytest.raises(ValueError, match="at least a second"):
        Tokens(
            issuer=ISSUER, resources=[AUDIENCE], keys=KeyRing.of_one(KEY), lifetimes=lifetimes,
            clock=lambda: NOW,
        )  # fmt: skip


@pytest.mark.parametrize(
    "scopes",
    ["read", "", b"read", ["read write"], [""], ["read", ""], ["réad"], ['"'], ["\\"], ["a\n"],
     [None], [1], [["read"]], None, 7, ["\ud800"], ["\x7f"], ["\x00"]],
)  # fmt: skip
def test_attack_a11_scopes_that_are_none(issuer: JWTIssuer, scopes: Any) -> None:
    for issue in (issuer.issue_access_token, issuer.issue_refresh_token):
        with pytest.raises(ValueError, match="scope"):
            issue("ide", scopes, "q7", 60)


@pytest.mark.parametrize("levels", [40, 1_500, 100_000])
def test_attack_a11_claims_too_deep_to_be_read(issuer: JWTIssuer, levels: int) -> None:
    deep: list[Any] = []
    for _ in range(levels):
        deep = [deep]
    with pytest.raises(ValueError, match=r"."):
        issuer.issue_access_token("ide", [], "q7", upstream_claims={"a": deep})


# --- A12: secrets that anybody knows ---------------------------------------------------------


@pytest.mark.parametrize("secret", ["", "a", "0" * 64, "\0" * 32])
def test_attack_a12_a_key_from_a_guessable_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="make one with"):
        derive_jwt_key(high_entropy_material=secret, salt="fastmcp-jwt-signing-key")
    with pytest.raises(ValueError, match="make one with"):
        check_secret(secret.encode())


@pytest.mark.parametrize("key", [b"", b"\0" * 32, b"k" * 64, b"0123456789abcdef"])
def test_attack_a12_a_guessable_signing_key(key: bytes) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        JWTIssuer(ISSUER, AUDIENCE, key)
