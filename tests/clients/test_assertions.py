"""``private_key_jwt`` (RFC 7523 §3): what an assertion must be, to the second."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jwt

from mintage.clients.assertions import (
    LEEWAY,
    MAX_SECONDS,
    UnknownSigner,
    claimed_client,
    verify,
)
from mintage.clients.keys import ALGORITHMS, MAX_KEYS, MAX_TRIED, read_client_keys
from mintage.errors import BadKeySet, InvalidClient
from tests.support.client_keys import ISSUER, NOW, claims_of, jwks, key, sign

CLIENT = "https://client.example/c.json"


def verified(assertion: str, *keys: jwk.Key, now: float = NOW) -> Any:
    known = read_client_keys(jwks(*(keys or (key(),))))
    return verify(assertion, known, client_id=CLIENT, issuer=ISSUER, now=now)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm(algorithm: str) -> None:
    assertion = sign(claims_of(CLIENT), algorithm=algorithm)
    assert claimed_client(assertion) == CLIENT
    assert verified(assertion, key(algorithm)).jti == "j-1"


def test_each_second_has_its_end() -> None:
    """The jti is remembered until the assertion can't be good any more."""
    assertion = sign(claims_of(CLIENT))
    last = NOW + 60 + LEEWAY - 1
    assert verified(assertion, now=last).expires_at > last
    with pytest.raises(InvalidClient, match="has expired"):
        verified(assertion, now=last + 1)


@pytest.mark.parametrize("audience", [ISSUER, [ISSUER]])
def test_the_audience_is_the_issuer_alone(audience: Any) -> None:
    assert verified(sign(claims_of(CLIENT, aud=audience)))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "client-authentication+jwt"])
def test_types_that_name_this_use(kind: str) -> None:
    assert verified(sign(claims_of(CLIENT), header={"typ": kind}))


def test_a_key_is_found_by_its_kid_and_without_one_by_trying() -> None:
    known = key("ES256", "a"), key("ES256", "b")
    named = sign(claims_of(CLIENT), known[1], header={"kid": "b"})
    unnamed = sign(claims_of(CLIENT), known[1])
    misnamed = sign(claims_of(CLIENT), known[1], header={"kid": "a"})
    assert verified(named, *known)
    assert verified(unnamed, *known)
    with pytest.raises(UnknownSigner):
        verified(misnamed, *known)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"aud": None}, "one aud"),
        ({"aud": f"{ISSUER}/"}, "one aud"),
        ({"aud": f"{ISSUER}/token"}, "one aud"),
        ({"aud": "https://other.example"}, "one aud"),
        ({"aud": [ISSUER, "https://other.example"]}, "one aud"),
        ({"aud": []}, "one aud"),
        ({"aud": {"a": ISSUER}}, "one aud"),
        ({"aud": ISSUER.upper()}, "one aud"),
        ({"iss": "https://other.example/c.json"}, "iss and sub"),
        ({"sub": "https://other.example/c.json"}, "iss and sub"),
        ({"iss": None}, "iss and sub"),
        ({"sub": None}, "iss and sub"),
        ({"sub": [CLIENT]}, "iss and sub"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "x" * 257}, "jti"),
        ({"jti": "a\0b"}, "jti"),
        ({"exp": None}, "exp"),
        ({"exp": "1800000060"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": -1}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"exp": NOW - LEEWAY}, "has expired"),
        ({"exp": NOW + MAX_SECONDS + LEEWAY + 1}, "at most 600 seconds"),
        ({"exp": NOW + 10 * 365 * 86400}, "at most 600 seconds"),
        ({"nbf": NOW + LEEWAY + 1}, "nbf in the future"),
        ({"iat": NOW + LEEWAY + 1}, "iat in the future"),
        ({"nbf": "soon"}, "nbf"),
        ({"iat": None, "nbf": [NOW]}, "nbf"),
        ({"iat": NOW - MAX_SECONDS - LEEWAY - 1}, "too old"),
    ],
)
def test_attack_c06_a_wrong_claim_is_refused(claims: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidClient, match=says):
        verified(sign(claims_of(CLIENT, **claims)))


def test_attack_c06_another_type_of_jwt_is_refused() -> None:
    for kind in ("at+jwt", "oauth-id-jag+jwt", "dpop+jwt", ""):
        with pytest.raises(InvalidClient):
            verified(sign(claims_of(CLIENT), header={"typ": kind}))


def test_attack_c06_other_algorithms_and_keys_are_refused() -> None:
    public = json.dumps(key("RS256").as_dict(private=False))
    forged = [
        sign(claims_of(CLIENT), key("ES256", "a stranger's")),
        sign(claims_of(CLIENT), jwk.OctKey.import_key(public), algorithm="HS256"),
        sign(claims_of(CLIENT), key("RS256"), algorithm="RS384"),
        sign(claims_of(CLIENT), header={"crit": ["b64"], "b64": False}),
        sign(claims_of(CLIENT), key("ES256", "s"), header={"jwk": key("ES256", "s").as_dict()}),
        unsigned({"alg": "none"}),
        unsigned({"alg": "ES256"}),
        unsigned({}),
    ]
    for assertion in forged:
        with pytest.raises(InvalidClient):
            verified(assertion, key("ES256"), key("RS256"))


def test_attack_c06_a_key_for_another_algorithm_or_use_is_not_tried() -> None:
    public = jwks(key("RS256"))["keys"][0]
    for member in ({"alg": "PS256"}, {"key_ops": ["encrypt"]}):
        known = read_client_keys({"keys": [{**public, **member}]})
        with pytest.raises(UnknownSigner):
            verify(
                sign(claims_of(CLIENT), algorithm="RS256"), known,
                client_id=CLIENT, issuer=ISSUER, now=NOW,
            )  # fmt: skip


def unsigned(header: dict[str, Any]) -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims_of(CLIENT)).encode(), b"")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("changed", range(3))
def test_attack_c06_a_changed_assertion_is_refused(changed: int) -> None:
    segments = sign(claims_of(CLIENT)).split(".")
    letter = "B" if segments[changed][5] == "A" else "A"
    segments[changed] = segments[changed][:5] + letter + segments[changed][6:]
    with pytest.raises(InvalidClient):
        verified(".".join(segments))


@given(st.text(max_size=60) | st.lists(st.text("aeyJ0-_", max_size=20), max_size=4).map(".".join))
def test_any_text_is_an_assertion_or_a_refusal(text: str) -> None:
    for read in (claimed_client, verified):
        with pytest.raises(InvalidClient):
            read(text)


@given(st.binary(max_size=60) | st.recursive(st.none(), st.lists).map(str).map(str.encode))
def test_any_payload_is_refused(payload: bytes) -> None:
    segment = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    with pytest.raises(InvalidClient):
        claimed_client(f"e30.{segment}.e30")


@pytest.mark.parametrize("text", ["a.b.c" + "x" * 9000, "e30." + "W" * 8100 + ".c", "é.é.é"])
def test_sizes_and_alphabets_end_early(text: str) -> None:
    with pytest.raises(InvalidClient):
        claimed_client(text)


def rsa(bits: int, exponent: int) -> dict[str, str]:
    """A public key of that size which nobody has the private key of."""
    return {"kty": "RSA", "n": number((1 << bits) - 1), "e": number(exponent)}


def number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "costly",
    [
        rsa(2048, 2**3000 - 1),
        rsa(2048, 2**64 + 1),
        rsa(2048, 2**32 + 1),
        rsa(2048, 1),
        rsa(4104, 65537),
        rsa(8192, 65537),
        rsa(16384, 65537),
        rsa(1024, 65537),
        rsa(2048, 65537) | {"e": ""},
        rsa(2048, 65537) | {"e": "AQAB" + "A" * 16},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
    ],
    ids=lambda key: f"{key['kty']}-{len(key.get('n', ''))}-{key.get('e', '')[:12]}",
)
def test_attack_e10_a_key_that_costs_more_than_any_real_one_is_none(costly: Any) -> None:
    with pytest.raises(BadKeySet):
        read_client_keys({"keys": [costly]})
    assert len(read_client_keys({"keys": [costly, *jwks(key())["keys"]]}).keys) == 1


@pytest.mark.parametrize(("bits", "exponent"), [(2048, 3), (3072, 65537), (4096, 2**32 - 1)])
def test_attack_e10_real_keys_are_within_the_bounds(bits: int, exponent: int) -> None:
    assert read_client_keys({"keys": [rsa(bits, exponent)]}).keys


def test_attack_e10_a_set_of_many_keys_is_refused_unread() -> None:
    many = [key("ES256", str(index)).as_dict(private=False) for index in range(MAX_KEYS + 1)]
    assert len(read_client_keys({"keys": many[:-1]}).keys) == MAX_KEYS
    with pytest.raises(BadKeySet, match="at most 8"):
        read_client_keys({"keys": many})


@pytest.mark.parametrize("kid", ["same", None])
def test_attack_e10_few_keys_are_tried_and_the_header_chooses_them(
    kid: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight keys under one kid cost four verifications, and a kid that none has costs none."""
    tried: list[jwk.Key] = []
    real = jwt.decode

    def decode(text: str, by: jwk.Key, **options: Any) -> Any:
        tried.append(by)
        return real(text, by, **options)

    monkeypatch.setattr(jwt, "decode", decode)
    known = [jwk.ECKey.generate_key("P-256", {"kid": "same"}) for _ in range(MAX_KEYS)]
    others = [jwk.OKPKey.generate_key("Ed25519", {"kid": "same"})]
    names: dict[str, Any] = {} if kid is None else {"kid": kid}
    for header, expected in ((names, MAX_TRIED), ({"kid": "none of them"}, 0)):
        tried.clear()
        with pytest.raises(UnknownSigner):
            verified(sign(claims_of(CLIENT), header=header), *known[:-1], *others)
        assert len(tried) == expected
        assert not [one for one in tried if isinstance(one, jwk.OKPKey)], "of another type"
