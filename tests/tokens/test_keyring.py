"""Rotation, kids and key sets. Replicas are issuers over rings at different steps."""

import base64
import itertools
import json
import time
from typing import Any

import pytest
from fastmcp.server.auth import jwt_issuer as fastmcp
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, import_key

from mintage.errors import BadSignature, UnknownKey, WrongTokenUse
from mintage.jwt.keyring import MAX_KEYS
from mintage.jwt_issuer import JWTIssuer, KeyRing, TokenKey
from tests.support.forge import (
    ASYMMETRIC,
    AUDIENCE,
    ED25519,
    ISSUER,
    KEY,
    KEYS,
    NOW,
    P256,
    RSA,
    pem,
    token_with,
)

OLD, NEW, OTHER = KEY, bytes(range(44)), bytes(range(100, 144))


def issuer_of(ring: KeyRing | bytes) -> JWTIssuer:
    return JWTIssuer(ISSUER, AUDIENCE, ring, clock=lambda: NOW)


def issue(issuer: JWTIssuer) -> str:
    return issuer.issue_access_token("ide", ["read"], "q7", subject="alice")


def header_of(token: str) -> dict[str, Any]:
    text = token.split(".", maxsplit=1)[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return header


@pytest.mark.parametrize("name", KEYS)
def test_each_algorithm_issues_and_verifies(name: str) -> None:
    issuer = issuer_of(KeyRing(KEYS[name]))
    access, refresh = issue(issuer), issuer.issue_refresh_token("ide", ["read"], "q7", 60)
    assert issuer.verify(access).sub == "alice"
    assert issuer.verify_token(refresh, "refresh")["token_use"] == "refresh"
    with pytest.raises(WrongTokenUse):
        issuer.verify(refresh)
    assert header_of(access)["alg"] == name
    assert header_of(access)["kid"] == KEYS[name].kid


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_spec101_asymmetric_access_tokens_follow_rfc_9068(name: str) -> None:
    issuer = issuer_of(KeyRing(KEYS[name]))
    assert header_of(issue(issuer))["typ"] == "at+jwt"
    assert header_of(issuer.issue_refresh_token("ide", [], "q7", 60))["typ"] == "JWT"
    with pytest.raises(
        ValueError, match=r"^an access token under a public key has a subject \(RFC 9068 §2\.2\)$"
    ):
        issuer.issue_access_token("ide", [], "q7")


@pytest.mark.parametrize("name", KEYS)
def test_extra_claims_work_under_every_algorithm(name: str) -> None:
    issuer = issuer_of(KeyRing(KEYS[name]))
    token = issuer.issue_access_token("ide", [], "q7", 60, {"a": [1]}, "alice", {"tenant": "ü"})
    claims = issuer.verify_token(token)
    assert (claims["upstream_claims"], claims["tenant"]) == ({"a": [1]}, "ü")


@pytest.mark.parametrize(("signs", "verifies"), list(itertools.permutations(KEYS, 2)))
def test_a_token_of_one_key_is_unknown_to_another(signs: str, verifies: str) -> None:
    with pytest.raises(UnknownKey):
        issuer_of(KeyRing(KEYS[verifies])).verify(issue(issuer_of(KeyRing(KEYS[signs]))))


@pytest.mark.parametrize(("signs", "header"), list(itertools.permutations(KEYS, 2)))
def test_spec107_a_header_of_one_key_never_opens_a_signature_of_another(
    signs: str, header: str
) -> None:
    ring = KeyRing(KEYS[signs], [key for key in KEYS.values() if key is not KEYS[signs]])
    issuer = issuer_of(ring)
    _, payload, signature = issue(issuer).split(".")
    other = issue(issuer_of(KeyRing(KEYS[header]))).split(".")[0]
    with pytest.raises(JoseError):
        issuer.verify(f"{other}.{payload}.{signature}")


# --- rotation --------------------------------------------------------------------------------


@pytest.mark.parametrize("old", KEYS)
@pytest.mark.parametrize("new", KEYS)
def test_rotation_logs_nobody_out_whatever_replica_is_at_which_step(old: str, new: str) -> None:
    """Replicas one step apart verify each other's tokens: before, add, activate."""
    a, b = KEYS[old], KEYS[new]
    if a is b:
        b = TokenKey.hs256(NEW)
    before, added, activated = KeyRing(a), KeyRing(a, [b]), KeyRing(b, [a])
    for one, other in itertools.pairwise([before, added, activated]):
        for signs, verifies in ((one, other), (other, one)):
            assert issuer_of(verifies).verify(issue(issuer_of(signs))).jti == "q7"


def test_the_order_of_the_verifying_keys_does_not_matter() -> None:
    tokens = [issue(issuer_of(KeyRing(key))) for key in (OLD, NEW, OTHER)]
    for keys in itertools.permutations([OLD, NEW, OTHER]):
        issuer = issuer_of(KeyRing(keys[0], keys[1:]))
        assert {issuer.verify(token).jti for token in tokens} == {"q7"}


def test_a_removed_key_verifies_nothing_any_more() -> None:
    token, bare = issue(issuer_of(KeyRing(OLD))), issue(issuer_of(OLD))
    issuer = issuer_of(KeyRing(NEW))
    with pytest.raises(UnknownKey):
        issuer.verify(token)
    with pytest.raises(BadSignature):
        issuer.verify(bare)


def test_bytes_and_a_ring_of_them_verify_each_other() -> None:
    plain, ring = issuer_of(OLD), issuer_of(KeyRing(OLD))
    assert "kid" not in header_of(issue(plain))
    assert ring.verify(issue(plain)) == plain.verify(issue(ring))


def test_fastmcp_tokens_verify_while_their_key_is_on_the_ring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    token = fastmcp.JWTIssuer(ISSUER, AUDIENCE, OLD).issue_access_token("ide", ["read"], "q7")
    for ring in (KeyRing(OLD), KeyRing(NEW, [OLD]), KeyRing(KEYS["ES256"], [OTHER, OLD])):
        assert issuer_of(ring).verify(token).client_id == "ide"
    with pytest.raises(UnknownKey):
        issuer_of(KeyRing(KEYS["ES256"])).verify(token)
    ours = issue(issuer_of(KeyRing(OLD)))
    assert fastmcp.JWTIssuer(ISSUER, AUDIENCE, OLD).verify_token(ours)["client_id"] == "ide"


def test_both_bare_headers_try_every_symmetric_key() -> None:
    issuer = issuer_of(KeyRing(NEW, [OTHER, OLD]))
    for header in ({"typ": "JWT", "alg": "HS256"}, {"alg": "HS256", "typ": "JWT"}):
        assert issuer.verify(token_with(header=header)).client_id == "ide"
        with pytest.raises(BadSignature):
            issuer.verify(token_with(header=header, key=bytes(range(50, 94))))


def test_spec106_ed25519_may_change_its_name_by_rotation() -> None:
    """RFC 9864 replaces EdDSA by Ed25519: the same key, under one name at a time."""
    old, new = KEYS["EdDSA"], KEYS["Ed25519"]
    assert old.kid == new.kid
    token = issue(issuer_of(KeyRing(old)))
    assert issuer_of(KeyRing(new, [old])).verify(token).jti == "q7"
    with pytest.raises(UnknownKey):
        issuer_of(KeyRing(new)).verify(token)


def test_64_keys_and_no_more() -> None:
    keys = [bytes([n]) + bytes(range(40)) for n in range(1, MAX_KEYS + 1)]
    issuer = issuer_of(KeyRing(keys[0], keys[1:]))
    for key in keys:
        assert issuer.verify(issue(issuer_of(KeyRing(key)))).jti == "q7"
        assert issuer.verify(issue(issuer_of(key))).jti == "q7"
    with pytest.raises(ValueError, match="at most 64"):
        KeyRing(keys[0], [*keys[1:], OLD])


# --- keys and their names --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alg", "private"), [("ES256", P256), ("EdDSA", ED25519), ("Ed25519", ED25519), ("RS256", RSA)]
)
def test_the_kid_is_the_rfc_7638_thumbprint(alg: Any, private: Any) -> None:
    for half in (private, private.public_key()):
        key = TokenKey.from_pem(pem(half), alg=alg)
        assert key.jwk is not None
        assert import_key(dict(key.jwk)).thumbprint() == key.kid
        named = (key.jwk["kid"], key.jwk["use"], key.jwk["alg"], key.alg)
        assert named == (key.kid, "sig", alg, alg)
        assert (key.signer is None) == (half is not private)


def test_a_ring_shows_its_keys_by_name() -> None:
    first, second = KEYS["ES256"], KEYS["HS256"]
    shown = repr(KeyRing(first, [second]))
    assert shown == f"KeyRing(ES256 {first.kid}, HS256 {second.kid})"


def test_the_kid_of_a_symmetric_key_is_short_and_says_nothing() -> None:
    key = TokenKey.hs256(KEY)
    assert len(key.kid) == 16
    assert key.kid not in KEY.decode()
    assert key.jwk is None


def test_a_ring_publishes_public_keys_only() -> None:
    ring = KeyRing(KEYS["ES256"], [KEY, KEYS["EdDSA"], KEYS["RS256"]])
    published = ring.jwks()
    assert [key["alg"] for key in published["keys"]] == ["ES256", "EdDSA", "RS256"]
    for key in published["keys"]:
        assert set(key) <= {"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"}
        assert key["use"] == "sig"
    assert not any(key.is_private for key in KeySet.import_key_set(published).keys)  # type: ignore[arg-type]


def test_no_key_is_in_a_repr() -> None:
    for key in KEYS.values():
        ring = KeyRing(key)
        shown = repr(ring) + repr(key) + repr(issuer_of(ring)) + repr(vars(issuer_of(ring)))
        assert key.kid in shown
        assert KEY.decode() not in shown
        assert "PRIVATE" not in shown


@pytest.mark.parametrize("private", [P256, ED25519, RSA], ids=["ES256", "EdDSA", "RS256"])
def test_a_public_key_verifies_and_does_not_sign(private: Any) -> None:
    public = TokenKey.from_pem(pem(private.public_key()))
    token = issue(issuer_of(KeyRing(TokenKey.from_pem(pem(private)))))
    assert issuer_of(KeyRing(NEW, [public])).verify(token).jti == "q7"
    with pytest.raises(ValueError, match="public half"):
        KeyRing(public)


def test_keys_that_do_not_fit_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    wrong: list[Any] = [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(key_size=2048),
    ]
    for key in wrong:
        for half in (key, key.public_key()):
            with pytest.raises(ValueError, match=r"."):
                TokenKey.from_pem(pem(half))
    locked = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    for text in (locked, b"", b"-----BEGIN PRIVATE KEY-----\n", b"PRIVATE KEY", b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            TokenKey.from_pem(text)


@pytest.mark.parametrize("alg", ["HS256", "RS256", "EdDSA", "ES384", "none"])
def test_spec105_a_key_has_its_own_algorithm_only(alg: Any) -> None:
    with pytest.raises(ValueError, match="signs with ES256"):
        TokenKey.from_pem(pem(P256), alg=alg)
