import base64
import itertools
import string

import pytest

from mintage.crypto.base64url import decode_segment, encode_segment
from mintage.errors import MalformedToken
from mintage.jwt.jws import MAX_TOKEN
from mintage.jwt.keyring import BARE_HEADER as HEADER
from mintage.jwt.keyring import BARE_HEADER_ALG_FIRST as HEADER_ALG_FIRST
from mintage.jwt_issuer import JWTIssuer
from tests.support.forge import CLAIMS, compact, segment, signed, token_of, token_with

URL_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def test_the_pinned_headers_are_what_they_say() -> None:
    assert base64.urlsafe_b64decode(HEADER) == b'{"typ":"JWT","alg":"HS256"}'
    assert base64.urlsafe_b64decode(HEADER_ALG_FIRST) == b'{"alg":"HS256","typ":"JWT"}'


def test_both_known_headers_verify(issuer: JWTIssuer) -> None:
    for header in ({"typ": "JWT", "alg": "HS256"}, {"alg": "HS256", "typ": "JWT"}):
        assert issuer.verify_token(token_with(header=header)) == CLAIMS


@pytest.mark.parametrize("size", range(70))
def test_segments_are_base64url_without_padding(size: int) -> None:
    raw = bytes(251 * n % 256 for n in range(size))
    expected = base64.urlsafe_b64encode(raw).rstrip(b"=")
    assert encode_segment(raw) == expected
    if raw:
        assert decode_segment(expected) == raw


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_exactly_the_canonical_spellings_decode(size: int) -> None:
    """All one- and two-character segments, and samples of the longer ones."""
    alphabet = URL_ALPHABET + '+/=\\"., \n\x00\x7f\xff' if size < 3 else 'AQgwE8-_+/=\\" '
    for characters in itertools.product(alphabet, repeat=size):
        text = "".join(characters).encode("latin-1")
        try:
            raw = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            canonical = base64.urlsafe_b64encode(raw).rstrip(b"=") == text
        except ValueError:
            canonical = False
        try:
            accepted = encode_segment(decode_segment(text)) == text
        except MalformedToken:
            accepted = False
        assert accepted == canonical, text


def test_an_empty_segment_is_malformed() -> None:
    with pytest.raises(MalformedToken):
        decode_segment(b"")


@pytest.mark.parametrize("text", [b"QUF\\u0042", b'QUFC"', b"Q=A", b"QQ==", b"QU\nE", b"QUE=QUE="])
def test_nothing_hides_inside_a_segment(text: bytes) -> None:
    with pytest.raises(MalformedToken):
        decode_segment(text)


def test_a_payload_that_uses_the_last_letters_of_the_alphabet_verifies(issuer: JWTIssuer) -> None:
    for count in range(3):
        token = issuer.issue_access_token("ide" + "x" * count, [], "??~~>>??~~>>")
        assert set("-_") & set(token.split(".")[1])
        assert issuer.verify(token).jti == "??~~>>??~~>>"


def test_a_token_may_be_as_long_as_the_limit_and_no_longer(issuer: JWTIssuer) -> None:
    def of_size(room: int) -> str:
        return token_of(compact(CLAIMS | {"pad": "x" * room}))

    room = next(n for n in range(11_000, 13_000) if len(of_size(n)) >= MAX_TOKEN - 1)
    assert len(of_size(room)) <= MAX_TOKEN
    assert issuer.verify_token(of_size(room))
    with pytest.raises(MalformedToken):
        issuer.verify_token(of_size(room + 3))


def test_signature_spellings_other_than_the_canonical_one_are_malformed(issuer: JWTIssuer) -> None:
    token = issuer.issue_access_token("ide", [], "q7")
    last = URL_ALPHABET.index(token[-1])
    for stray in (1, 2, 3):
        with pytest.raises(MalformedToken):
            issuer.verify(token[:-1] + URL_ALPHABET[last + stray])


def test_a_dot_inside_the_payload_is_malformed_even_when_signed(issuer: JWTIssuer) -> None:
    header, payload = HEADER.decode(), segment(compact(CLAIMS))
    with pytest.raises(MalformedToken):
        issuer.verify(signed(f"{header}.{payload}.{payload}"))
