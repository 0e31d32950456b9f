"""The time of a refusal shows nothing about a signature (its cost: `benchmarks/costs.py`)."""

import hmac

import pytest

from mintage.errors import BadSignature
from mintage.jwt import hs256_fast_path
from mintage.jwt_issuer import JWTIssuer
from tests.support.forge import AUDIENCE, ISSUER, KEY, NOW, token_with


@pytest.mark.parametrize("bare", [True, False])
def test_signatures_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, *, bare: bool
) -> None:
    """Whole signatures go to ``compare_digest``, and what it says decides: on either path."""
    compared: list[tuple[bytes, bytes]] = []

    def refuse(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return False

    issuer = JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
    # The other order of the header takes the slow path.
    header = {"typ": "JWT", "alg": "HS256"} if bare else {"alg": "HS256", "typ": "JWT"}
    token = token_with(header=header)
    monkeypatch.setattr(hs256_fast_path, "_same", refuse)
    monkeypatch.setattr(hmac, "compare_digest", refuse)
    with pytest.raises(BadSignature):
        issuer.verify(token)
    [(ours, theirs)] = compared
    assert ours == theirs
    assert token.encode().endswith(theirs)
    assert len(theirs) >= 43
