"""The published examples of RFC 7515, 7520, 7638 and 8037, and key sets made to confuse.

The negative cases follow the classes of Wycheproof's JSON Web Key and Signature tests.
"""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mintage.crypto.base64url import decode_segment, encode_segment
from mintage.errors import BadKeySet
from mintage.jwt.algorithms import HS256
from mintage.jwt.asymmetric import (
    MAX_KEYS,
    P256_ORDER,
    Ed25519Public,
    ES256Public,
    RS256Public,
    parse_jwks,
    thumbprint,
)
from tests.support.forge import KEYS, compact, segment

PAYLOAD_7515 = (
    b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)


def number(text: str) -> int:
    return int.from_bytes(decode_segment(text.encode()))


def test_rfc_7515_appendix_a_1_hs256() -> None:
    key = HS256(
        decode_segment(
            b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
        )
    )
    signing_input = b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + PAYLOAD_7515
    signature = b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert key.sign(signing_input) == signature
    assert key.is_signature(signing_input, signature)
    assert not key.is_signature(signing_input, signature[:-1] + b"l")


RSA_7515 = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0"
    "Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5"
    "z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7a"
    "GhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}


def test_rfc_7515_appendix_a_2_rs256() -> None:
    public = rsa.RSAPublicNumbers(number(RSA_7515["e"]), number(RSA_7515["n"])).public_key()
    signature = (
        b"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2"
        b"Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQ"
        b"BMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6Ie"
        b"YI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )
    signing_input = b"eyJhbGciOiJSUzI1NiJ9." + PAYLOAD_7515
    assert RS256Public(public).is_signature(signing_input, signature)
    assert not RS256Public(public).is_signature(signing_input + b"A", signature)


EC_7515 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


def test_rfc_7515_appendix_a_3_es256() -> None:
    """Its signature has the higher s: here only its twin with the lower one is good."""
    key = ec.EllipticCurvePublicNumbers(number(EC_7515["x"]), number(EC_7515["y"]), ec.SECP256R1())
    public = ES256Public(key.public_key())
    signing_input = b"eyJhbGciOiJFUzI1NiJ9." + PAYLOAD_7515
    signature = (
        b"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    raw = decode_segment(signature)
    s = int.from_bytes(raw[32:])
    assert s > P256_ORDER // 2
    assert not public.is_signature(signing_input, signature)
    twin = encode_segment(raw[:32] + (P256_ORDER - s).to_bytes(32))
    assert public.is_signature(signing_input, twin)


def test_rfc_8037_appendix_a_eddsa() -> None:
    private = decode_segment(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    public = ed25519.Ed25519PrivateKey.from_private_bytes(private).public_key()
    assert (
        encode_segment(public.public_bytes_raw()) == b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    )
    assert thumbprint(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    signing_input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = (
        b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    assert Ed25519Public(public).is_signature(signing_input, signature)


def test_rfc_7638_section_3_1_thumbprint() -> None:
    numbers = rsa.RSAPublicNumbers(
        65537,
        number(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
            "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
            "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4"
            "vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
    )
    assert thumbprint(numbers.public_key()) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


PAYLOAD_7520 = (
    b"SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb25"
    b"0byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2"
    b"hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
)


def test_rfc_7520_section_4_1_rs256() -> None:
    modulus = (
        "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0"
        "VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBord"
        "aZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzw"
        "OHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwU"
        "kRz5iaiQkqgc5gHdrNP5zw"
    )
    signature = (
        b"MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx"
        b"996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHR"
        b"D68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrD"
        b"aLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH8"
        b"4ogoree7vjbU5y18kDquDg"
    )
    key = rsa.RSAPublicNumbers(65537, number(modulus)).public_key()
    signing_input = (
        b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." + PAYLOAD_7520
    )
    assert RS256Public(key).is_signature(signing_input, signature)
    assert not RS256Public(key).is_signature(signing_input[:-1] + b"5", signature)


def test_rfc_7520_section_4_4_hs256() -> None:
    key = HS256(decode_segment(b"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"))
    signing_input = (
        b"eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9."
        + PAYLOAD_7520
    )
    assert key.is_signature(signing_input, b"s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0")


# --- key sets --------------------------------------------------------------------------------

GOOD = dict(KEYS["ES256"].jwk or {})
RSA_JWK = dict(KEYS["RS256"].jwk or {})
OKP = dict(KEYS["EdDSA"].jwk or {})


def kids(*keys: Any) -> list[str]:
    return [kid for _, kid, _ in parse_jwks(compact({"keys": list(keys)}))]


def test_good_keys_are_read() -> None:
    assert [alg for alg, _, _ in parse_jwks(compact({"keys": [GOOD, OKP, RSA_JWK]}))] == [
        "ES256",
        "EdDSA",
        "RS256",
    ]


def test_a_key_without_an_algorithm_has_the_usual_one() -> None:
    for key, alg in ((GOOD, "ES256"), (OKP, "EdDSA"), (RSA_JWK, "RS256")):
        bare = {name: value for name, value in key.items() if name not in ("alg", "use")}
        assert [found for found, _, _ in parse_jwks(compact({"keys": [bare]}))] == [alg]


BAD_KEYS: dict[str, Any] = {
    "no object": 5,
    "null": None,
    "no kid": {name: value for name, value in GOOD.items() if name != "kid"},
    "an empty kid": GOOD | {"kid": ""},
    "a kid that is no string": GOOD | {"kid": 7},
    "for encryption": GOOD | {"use": "enc"},
    "not for verifying": GOOD | {"key_ops": ["sign"]},
    "another algorithm": GOOD | {"alg": "RS256"},
    "HMAC under a public key": RSA_JWK | {"alg": "HS256"},
    "none": GOOD | {"alg": "none"},
    "alg of another type": GOOD | {"alg": ["ES256"]},
    "symmetric": {"kty": "oct", "k": segment(b"k" * 32), "kid": "a", "alg": "HS256"},
    "an unknown type": GOOD | {"kty": "AKP"},
    "type in lower case": GOOD | {"kty": "ec"},
    "another curve": GOOD | {"crv": "P-384"},
    "Ed25519's curve under EC": GOOD | {"crv": "Ed25519"},
    "EC's curve under OKP": OKP | {"crv": "P-256"},
    "X25519": OKP | {"crv": "X25519"},
    "a point off the curve": GOOD | {"y": segment(b"\1" * 32)},
    "the point at infinity": GOOD | {"x": segment(bytes(32)), "y": segment(bytes(32))},
    "a coordinate too short": GOOD | {"x": GOOD["x"][:-2]},
    "a coordinate with a zero before it": GOOD
    | {"x": segment(b"\0" + decode_segment(GOOD["x"].encode()))},
    "a coordinate beyond the field": GOOD | {"x": segment(b"\xff" * 32)},
    "padding": GOOD | {"x": GOOD["x"] + "="},
    "white space": GOOD | {"x": GOOD["x"] + "\n"},
    "no x": {name: value for name, value in GOOD.items() if name != "x"},
    "x of another type": GOOD | {"x": 5},
    "an Ed25519 key too long": OKP | {"x": segment(b"\1" * 33)},
    "RSA of 1024 bits": RSA_JWK | {"n": segment(b"\xff" * 128)},
    "RSA of 16384 bits": RSA_JWK | {"n": segment(b"\xff" * 2048)},
    "an exponent of 1": RSA_JWK | {"e": "AQ"},
    "an even exponent": RSA_JWK | {"e": "Ag"},
    "an exponent of 64 bits": RSA_JWK | {"e": segment(b"\xff" * 8)},
    "an even modulus": RSA_JWK | {"n": segment(b"\xfe" * 256)},
    "no modulus": {name: value for name, value in RSA_JWK.items() if name != "n"},
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_spec110_a_key_that_can_not_be_used_is_passed_over(name: str) -> None:
    assert kids(BAD_KEYS[name], OKP) == [OKP["kid"]]
    with pytest.raises(BadKeySet, match="no key that can be used"):
        kids(BAD_KEYS[name])


def test_what_a_set_does_not_say_about_signatures_does_not_matter() -> None:
    assert kids(GOOD | {"x5c": ["MIIB"], "ext": True, "d": "private"}) == [GOOD["kid"]]


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b"{}", b'{"keys":{}}', b'{"keys":null}', b'{"keys":[]}', b"<html>",
     b'{"keys":[' + b"[" * 5000, b"\xff\xfe", b'{"keys":"a"}', compact(GOOD)],
)  # fmt: skip
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(BadKeySet):
        parse_jwks(document)


def test_a_set_has_64_keys_at_most() -> None:
    assert len(kids(*[GOOD] * MAX_KEYS)) == MAX_KEYS
    with pytest.raises(BadKeySet, match="more than 64"):
        kids(*[GOOD] * (MAX_KEYS + 1))
