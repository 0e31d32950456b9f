"""A DPoP proof is accepted for the one request that it was made for (RFC 9449 §4.3).

CHECKLIST 121 and 123. The proofs are made with joserfc.
"""

import base64
import hmac
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk

from mintage.dpop.keys import ALGORITHMS, read_header
from mintage.dpop.nonces import Nonces
from mintage.dpop.proofs import MAX_PROOF, Proof, Proofs
from mintage.dpop.replays import Replays
from mintage.errors import InvalidDpopProof, UseDpopNonce
from mintage.jwt.asymmetric import P256_ORDER, public_jwk
from tests.support.dpop import Prover, b64, fresh_key, signed

NOW = 1_800_000_000
URI = "https://auth.example.com/mcp"
TOKEN = "eyJ.the-access-token.sig"


def read(*values: str | bytes, proofs: Proofs | None = None, **more: Any) -> Proof:
    asked: dict[str, Any] = {"method": "POST", "uri": URI, "now": NOW, "access_token": TOKEN} | more
    sent = [value.encode() if isinstance(value, str) else value for value in values]
    return (proofs or Proofs()).read(sent, **asked)


def made(prover: Prover | None = None, **more: Any) -> str:
    asked: dict[str, Any] = {"now": NOW, "token": TOKEN} | more
    return (prover or Prover()).proof("POST", URI, **asked)


def refused(*values: str | bytes, **more: Any) -> str:
    with pytest.raises(InvalidDpopProof) as caught:
        read(*values, **more)
    assert caught.value.code == "invalid_dpop_proof"
    return caught.value.advice


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_spec121_a_proof_of_each_algorithm_is_read(algorithm: str) -> None:
    prover = Prover.fresh(algorithm)
    proof = read(made(prover, jti="one"))
    assert (proof.thumbprint, proof.jti) == (prover.thumbprint, "one")
    assert proof.too_old_at == NOW + 60


def test_spec121_each_of_the_two_es256_signatures_is_accepted() -> None:
    """WebCrypto does not choose the lower s, as Mintage does for its own tokens."""
    head, payload, signature = made().split(".")
    raw = _bytes(signature)
    r, s = raw[:32], int.from_bytes(raw[32:])
    other = b64(r + (P256_ORDER - s).to_bytes(32))
    assert read(f"{head}.{payload}.{other}").jti


def test_spec121_es256_signatures_of_every_length_are_read() -> None:
    """r and s are signed integers for OpenSSL: with fewer bytes, and with one more before 0x80."""
    private = ec.generate_private_key(ec.SECP256R1())
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(private.public_key())}
    verify = read_header(b64(json.dumps(head).encode()).encode()).verify
    seen: set[tuple[int, bool, int, bool]] = set()
    lengths: set[tuple[str, int]] = set()
    for number in range(20_000):
        data = str(number).encode()
        r, s = decode_dss_signature(private.sign(data, ec.ECDSA(SHA256())))
        raw = r.to_bytes(32), s.to_bytes(32)
        sizes = [len(half.lstrip(b"\0")) for half in raw]
        kind = (sizes[0], raw[0].lstrip(b"\0")[0] > 127, sizes[1], raw[1].lstrip(b"\0")[0] > 127)
        if kind not in seen:
            verify(b"".join(raw), data)
            seen.add(kind)
            lengths |= {("r", sizes[0]), ("s", sizes[1])}
        if {("r", 31), ("s", 31)} <= lengths and len(seen) > 6:
            break
    assert {("r", 31), ("s", 31), ("r", 32), ("s", 32)} <= lengths


@pytest.mark.parametrize(
    "raw", [b"\0" * 64, b"\0" * 32 + b"\1" * 32, b"\1" * 32 + b"\0" * 32, b"\1" * 63, b"\1" * 65,
            b"\xff" * 64],
)  # fmt: skip
def test_spec121_a_signature_of_zeros_or_of_another_length(raw: bytes) -> None:
    """CVE-2022-21449: a verifier that accepted r = s = 0 accepted everything."""
    head, payload, _ = made().split(".")
    refused(f"{head}.{payload}.{b64(raw)}")


@pytest.mark.parametrize("number", [0, 2])
def test_attack_f51_two_headers_or_none(number: int) -> None:
    assert "one DPoP header" in refused(*[made()] * number)


def test_attack_f51_two_proofs_in_one_header() -> None:
    assert "compact form" in refused(f"{made()}, {made()}")


@pytest.mark.parametrize("typ", [None, "JWT", "dpop+JWT", "at+jwt", 5, ["dpop+jwt"]])
def test_spec121_typ_must_be_dpop_jwt(typ: object) -> None:
    assert "typ" in refused(made(header={"typ": typ}))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "ES384", None, 7, ["ES256"]])
def test_attack_f52_alg_none_or_symmetric_or_unknown(alg: object) -> None:
    head = {"typ": "dpop+jwt", "alg": alg, "jwk": Prover().key.as_dict(private=False)}
    payload = json.dumps({"jti": "j", "htm": "POST", "htu": URI, "iat": NOW, "ath": "x"}).encode()
    unsigned = f"{b64(json.dumps(head).encode())}.{b64(payload)}."
    assert "sign the DPoP proof with" in refused(unsigned + "AAAA")


def test_attack_f52_hmac_under_the_public_key() -> None:
    """The public key's text as an HMAC secret: everybody has it."""
    public = Prover().key
    head = {"typ": "dpop+jwt", "alg": "HS256", "jwk": public.as_dict(private=False)}
    payload = made().split(".")[1]
    data = f"{b64(json.dumps(head).encode())}.{payload}"
    tag = hmac.digest(_pem(public), data.encode(), "sha256")
    assert "sign the DPoP proof with" in refused(f"{data}.{b64(tag)}")


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "RS256"])
def test_attack_f52_a_private_key_in_the_header(algorithm: str) -> None:
    prover = Prover.fresh(algorithm)
    shown = {"jwk": prover.key.as_dict(private=True)}
    assert "private key" in refused(made(prover, header=shown))


def test_attack_f52_a_symmetric_key_in_the_header() -> None:
    shown = {"jwk": {"kty": "oct", "k": b64(bytes(32))}}
    assert "private key" in refused(made(header=shown))
    assert "public key" in refused(made(header={"jwk": {"kty": "oct"}}))


@pytest.mark.parametrize(
    "shown",
    [None, "key", [], {}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
     {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},
     {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))},
     {"kty": "RSA", "n": b64(b"\xff" * 600), "e": "AQAB"},
     {"kty": "RSA", "n": b64(b"\xff" * 128), "e": "AQAB"},
     {"kty": "EC", "crv": "P-256", "x": 5, "y": 6}],
)  # fmt: skip
def test_spec121_a_key_that_cannot_be_used_is_refused(shown: object) -> None:
    assert "jwk" in refused(made(header={"jwk": shown}))


@pytest.mark.parametrize(("algorithm", "named"), [("ES256", "RS256"), ("RS256", "ES256")])
def test_spec121_the_key_must_fit_the_algorithm(algorithm: str, named: str) -> None:
    prover = Prover.fresh(algorithm)
    other = fresh_key(named)
    assert "jwk" in refused(made(prover, header={"alg": named}, signed_by=other))


def test_attack_f52_signed_by_another_key_than_the_one_shown() -> None:
    assert "does not verify" in refused(made(signed_by=fresh_key()))


def test_attack_f52_the_header_leads_to_no_other_key() -> None:
    """``kid``, ``jku``, ``x5c`` and ``x5u`` are not looked at; ``crit`` is refused."""
    more = {"kid": "../etc", "jku": "https://evil.example/jwks", "x5u": "https://evil.example"}
    assert read(made(header=more)).thumbprint == Prover().thumbprint
    assert "crit" in refused(made(header={"crit": ["b64"], "b64": False}))


def test_spec121_a_name_that_comes_twice_in_the_header_is_refused() -> None:
    head, payload, signature = made().split(".")
    twice = b64(_bytes(head)[:-1] + b', "alg": "ES256"}')
    assert "compact form" in refused(f"{twice}.{payload}.{signature}")


@pytest.mark.parametrize(
    "odd",
    ["", "a", "a.b", "a.b.c.d", ".", "..", "é.b.c", "a=.b.c", "W10.e30.AA", "Im5vIg.e30.AA",
     "[" * 3000 + ".a.b", b64(b"[" * 4000) + ".e30.AA"],
)  # fmt: skip
def test_spec121_what_is_no_jwt_is_refused(odd: str) -> None:
    refused(odd.encode("latin-1"))


def test_spec121_a_proof_is_limited_in_size_before_any_work() -> None:
    assert str(MAX_PROOF) in refused(b"a" * (MAX_PROOF + 1))


@pytest.mark.parametrize("method", ["GET", "post", "", "POST "])
def test_attack_f53_for_another_method(method: str) -> None:
    assert "htm" in refused(made(htm=method))


@pytest.mark.parametrize(
    "uri",
    ["https://auth.example.com/mcp/", "https://auth.example.com/MCP", "http://auth.example.com/mcp",
     "https://auth.example.com:444/mcp", "https://auth.example.com.evil.example/mcp",
     "https://evil.example/mcp", "https://auth.example.com/mcp%2F", "/mcp", "mcp", "",
     "https://auth.example.com@evil.example/mcp", "https://user@auth.example.com/mcp",
     "https://auth.example.com/mcp/admin", "https://auth.example.com//mcp",
     "https://auth.example.com/mcp;x", "https://auth.example.com/m\u0441p", " " + URI, URI + " ",
     "https://auth.example.com", "https://auth.example.com\\mcp", "javascript:alert(1)"],
)  # fmt: skip
def test_attack_f53_for_another_uri(uri: str) -> None:
    assert "htu" in refused(made(htu=uri))


@pytest.mark.parametrize(
    "uri",
    [URI + "?a=b", URI + "#there", URI + "?a=b#c", "HTTPS://AUTH.example.COM/mcp",
     "https://auth.example.com:443/mcp", "https://auth.example.com/%6Dcp",
     "https://auth.example.com/./mcp", "https://auth.example.com/other/../mcp",
     "wss://auth.example.com/mcp"],
)  # fmt: skip
def test_spec121_htu_is_compared_in_its_normal_spelling(uri: str) -> None:
    """Query and fragment are ignored (RFC 9449 §4.3); RFC 3986 §6.2.2 and §6.2.3 for the rest."""
    assert read(made(htu=uri)).jti


def test_spec121_an_encoded_slash_is_no_slash() -> None:
    assert read(made(htu=URI + "/a%2fb"), uri=URI + "/a%2Fb").jti
    assert "htu" in refused(made(htu=URI + "/a/b"), uri=URI + "/a%2Fb")


@pytest.mark.parametrize(
    ("iat", "accepted"),
    [(0, True), (-59, True), (60, True), (-60, False), (61, False), (-3600, False),
     (3600, False), (0.5, True), (-1e300, False), (1e300, False)],
)  # fmt: skip
def test_spec123_iat_must_be_near_the_servers_clock(iat: float, *, accepted: bool) -> None:
    proof = made(iat=NOW + iat)
    if accepted:
        assert read(proof).jti
    else:
        assert "iat" in refused(proof)


@pytest.mark.parametrize("seconds", [0, -1, 301, math.inf])
def test_spec123_the_window_is_at_most_five_minutes(seconds: int) -> None:
    with pytest.raises(ValueError, match="300"):
        Proofs(seconds=seconds)


@pytest.mark.parametrize(
    "claims",
    [{"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 5}, {"iat": None}, {"iat": "now"},
     {"iat": True}, {"htm": None}, {"htu": None}, {"htu": 5}, {"ath": 7}, {"nonce": 7}],
)  # fmt: skip
def test_spec121_claims_that_are_missing_or_of_another_type(claims: dict[str, Any]) -> None:
    refused(made(**claims))


@pytest.mark.parametrize("payload", [b"[]", b'"x"', b"{", b"\xff", b"[" * 3000, b'{"iat":1e999}'])
def test_spec121_a_payload_that_is_no_object(payload: bytes) -> None:
    key = Prover().key
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    assert "claims" in refused(signed(head, payload, key))


@pytest.mark.parametrize("ath", [None, "", "x" * 43])
def test_attack_f53_for_another_token(ath: str | None) -> None:
    assert "ath" in refused(made(ath=ath))
    assert "ath" in refused(made(token="another.access.token"))


def test_spec121_no_ath_at_the_token_endpoint() -> None:
    assert read(made(ath=None), access_token=None).jti


@pytest.mark.parametrize("change", [lambda s: s[:-4] + "AAAA", lambda _: "", lambda s: s + "="])
def test_spec121_the_signature_must_verify(change: Callable[[str], str]) -> None:
    head, payload, signature = made().split(".")
    refused(f"{head}.{payload}.{change(signature)}")


def test_spec121_a_payload_that_was_changed_is_refused_with_the_key_in_memory() -> None:
    proofs = Proofs()
    first, second = made(jti="a"), made(jti="b")
    assert read(first, proofs=proofs).jti
    head, payload, _ = second.split(".")
    refused(f"{head}.{payload}.{first.split('.')[2]}", proofs=proofs)


def test_spec121_a_stranger_does_not_put_keys_into_the_memory() -> None:
    """A header is kept only after a signature of its key."""
    proofs = Proofs()
    refused(made(signed_by=fresh_key()), proofs=proofs)
    assert not proofs._keys
    assert read(made(), proofs=proofs).jti
    assert len(proofs._keys) == 1


class TestNonces:
    KEYS = (b"n" * 32, b"o" * 32)

    def test_spec121_a_proof_without_the_nonce_gets_one(self) -> None:
        """RFC 9449 §8 and §9, and CHECKLIST 123."""
        nonces = Nonces(self.KEYS)
        for wrong in (None, "", "x" * 22):
            with pytest.raises(UseDpopNonce) as caught:
                read(made(nonce=wrong), proofs=Proofs(nonces=nonces))
            assert caught.value.code == "use_dpop_nonce"
            assert read(made(nonce=caught.value.nonce), proofs=Proofs(nonces=Nonces(self.KEYS))).jti

    def test_a_nonce_lasts_for_its_step_and_the_next(self) -> None:
        nonces, begin = Nonces(self.KEYS, step=100, leeway=5), NOW // 100 * 100
        nonce = nonces.current(begin)
        accepted = [s for s in range(-120, 320) if nonces.accepts(nonce, begin + s)]
        assert accepted == list(range(-5, 200))

    def test_replicas_agree_and_a_former_key_is_accepted(self) -> None:
        former = Nonces(self.KEYS[1:]).current(NOW)
        assert Nonces(self.KEYS).accepts(former, NOW)
        assert Nonces(self.KEYS[1:]).current(NOW) == former
        assert not Nonces(self.KEYS[:1]).accepts(former, NOW)

    def test_its_keys_are_not_printed(self) -> None:
        assert "nnn" not in repr(Nonces(self.KEYS))

    def test_what_it_made_is_not_kept_for_ever(self) -> None:
        nonces = Nonces(self.KEYS)
        for step in range(100):
            nonces.accepts("x", NOW + step * 120)
        assert len(nonces._made) <= 6


class TestReplays:
    def proof(self, jti: str, until: float = NOW + 60, key: str = "k") -> Proof:
        return Proof(key, jti, until)

    def test_attack_f50_a_proof_works_once_while_it_is_fresh(self) -> None:
        replays = Replays()
        assert replays.is_first(self.proof("a"), now=NOW)
        assert not replays.is_first(self.proof("a"), now=NOW + 59)
        assert replays.is_first(self.proof("b"), now=NOW)
        assert replays.is_first(self.proof("a", key="other"), now=NOW)

    def test_old_ones_leave_and_the_number_is_limited(self) -> None:
        replays = Replays(most=100)
        for number in range(1000):
            assert replays.is_first(self.proof(str(number)), now=NOW)
        assert len(replays._used) == 100
        assert replays.is_first(self.proof("late", NOW + 200), now=NOW + 100)
        assert len(replays._used) == 1


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _pem(key: jwk.Key) -> bytes:
    assert isinstance(key, jwk.ECKey)
    return key.as_pem(private=False)
