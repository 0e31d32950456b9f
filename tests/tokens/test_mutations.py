"""Every small change of a good token, under every algorithm, is refused."""

import itertools
import string

import pytest
from joserfc.errors import JoseError

from mintage.crypto.base64url import decode_segment, encode_segment
from mintage.errors import BadSignature, MalformedToken
from mintage.jwt.asymmetric import P256_ORDER
from mintage.jwt_issuer import JWTIssuer, KeyRing
from tests.support.forge import AUDIENCE, ISSUER, KEYS, NOW

LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
# Every byte for HMAC, which is cheap; for the others each bit of the six that a letter has,
# and what is no letter. RSA signatures are long, so there every bit but not every letter.
EVERY_BYTE = [chr(code) for code in range(256)]


def issuer_of(name: str) -> JWTIssuer:
    return JWTIssuer(ISSUER, AUDIENCE, KeyRing(KEYS[name]), clock=lambda: NOW)


def token_of(name: str) -> str:
    return issuer_of(name).issue_access_token("ide", ["read"], "q7", subject="alice")


def one_bit_apart(letter: str) -> list[str]:
    if letter not in LETTERS:
        return ["-", "A"]
    return [LETTERS[LETTERS.index(letter) ^ 1 << bit] for bit in range(6)]


def refused(issuer: JWTIssuer, token: str) -> None:
    with pytest.raises(JoseError):
        issuer.verify(token)


def test_every_single_byte_change_of_an_hmac_token_is_refused() -> None:
    issuer, token = issuer_of("HS256"), token_of("HS256")
    for at, original in enumerate(token):
        for other in EVERY_BYTE:
            if other != original:
                refused(issuer, token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("name", ["ES256", "EdDSA", "Ed25519", "RS256"])
def test_every_single_bit_change_of_a_signed_token_is_refused(name: str) -> None:
    issuer, token = issuer_of(name), token_of(name)
    for at, original in enumerate(token):
        for other in [*one_bit_apart(original), *"=+/ \x00é"]:
            if other != original:
                refused(issuer, token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("name", KEYS)
def test_every_truncation_is_refused(name: str) -> None:
    issuer, token = issuer_of(name), token_of(name)
    for size in range(len(token)):
        refused(issuer, token[:size])
        refused(issuer, token[size + 1 :])
        refused(issuer, token[:size] + token[size + 1 :])


@pytest.mark.parametrize("name", KEYS)
def test_every_doubled_and_every_swapped_byte_is_refused(name: str) -> None:
    issuer, token = issuer_of(name), token_of(name)
    for at in range(len(token) - 1):
        refused(issuer, token[:at] + token[at] + token[at:])
        swapped = token[:at] + token[at + 1] + token[at] + token[at + 2 :]
        if swapped != token:
            refused(issuer, swapped)


def es256_with(r: bytes, s: bytes, token: str) -> str:
    return f"{token.rpartition('.')[0]}.{encode_segment(r + s).decode()}"


def test_the_other_half_of_an_es256_pair_is_refused() -> None:
    """(r, n - s) is as good a signature as (r, s), and anybody can compute it."""
    issuer, token = issuer_of("ES256"), token_of("ES256")
    raw = decode_segment(token.rpartition(".")[2].encode())
    r, s = raw[:32], int.from_bytes(raw[32:])
    assert s <= P256_ORDER // 2
    twin = es256_with(r, (P256_ORDER - s).to_bytes(32), token)
    with pytest.raises(BadSignature):
        issuer.verify(twin)


def test_es256_signatures_are_always_the_lower_half() -> None:
    key = KEYS["ES256"]
    assert key.signer is not None
    for n in range(50):
        segment = key.signer.sign(b"%d" % n)
        assert int.from_bytes(decode_segment(segment)[32:]) <= P256_ORDER // 2
        assert key.verifier.is_signature(b"%d" % n, segment)


EDGES = [0, 1, 2, P256_ORDER // 2, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256 - 1]


@pytest.mark.parametrize(("r", "s"), list(itertools.product(EDGES, repeat=2)))
def test_es256_edge_values_are_refused(r: int, s: int) -> None:
    with pytest.raises(BadSignature):
        issuer_of("ES256").verify(es256_with(r.to_bytes(32), s.to_bytes(32), token_of("ES256")))


def test_spec110_es256_signatures_of_another_length_or_in_der_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    issuer, token = issuer_of("ES256"), token_of("ES256")
    raw = decode_segment(token.rpartition(".")[2].encode())
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    for other in (
        encode_dss_signature(r, s),
        b"\0" + raw,
        raw + b"\0",
        raw[:32] + b"\0" + raw[32:],
        b"\0" * 16 + raw[:32] + b"\0" * 16 + raw[32:],
        raw[:-1],
        raw[:32],
        b"\0",
    ):
        with pytest.raises(BadSignature):
            issuer.verify(f"{token.rpartition('.')[0]}.{encode_segment(other).decode()}")


ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def test_ed25519_signatures_with_a_larger_s_are_refused() -> None:
    """s + L is the classic malleability of Ed25519 (RFC 8032 §5.1.7 forbids it)."""
    issuer, token = issuer_of("EdDSA"), token_of("EdDSA")
    raw = decode_segment(token.rpartition(".")[2].encode())
    s = int.from_bytes(raw[32:], "little")
    for times in range(1, 15):
        forged = raw[:32] + (s + times * ED25519_ORDER).to_bytes(32, "little")
        with pytest.raises(BadSignature):
            issuer.verify(f"{token.rpartition('.')[0]}.{encode_segment(forged).decode()}")


def test_rs256_signatures_of_another_length_are_refused() -> None:
    issuer, token = issuer_of("RS256"), token_of("RS256")
    raw = decode_segment(token.rpartition(".")[2].encode())
    for other in (b"\0" + raw, raw[1:], raw + b"\0", b"\0" * 256, b"\xff" * 256, b"\x01"):
        with pytest.raises(BadSignature):
            issuer.verify(f"{token.rpartition('.')[0]}.{encode_segment(other).decode()}")


@pytest.mark.parametrize("name", KEYS)
def test_an_empty_signature_is_malformed(name: str) -> None:
    with pytest.raises(MalformedToken):
        issuer_of(name).verify(token_of(name).rpartition(".")[0] + ".")
