"""Time tells nothing about a signature, and refusing is no dearer than accepting."""

import hmac
import time
from collections.abc import Callable

import pytest
from joserfc.errors import JoseError

from mintage import fast_lane
from mintage.errors import BadSignature
from mintage.jwt_issuer import JWTIssuer, KeyRing

from .forge import AUDIENCE, ISSUER, KEY, KEYS, NOW, token_with

ROUNDS = 300


def flipped(token: str, at: int) -> str:
    other = "A" if token[at] != "A" else "B"
    return token[:at] + other + (token[at + 1 :] if at != -1 else "")


def fastest(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The best time of each, taken in turns: what else the machine does only ever adds."""
    best = dict.fromkeys(work, float("inf"))
    for _ in range(ROUNDS):
        for name, run in work.items():
            started = time.perf_counter()
            for _ in range(5):
                run()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def refusing(issuer: JWTIssuer, token: str) -> Callable[[], None]:
    def refuse() -> None:
        with pytest.raises(JoseError):
            issuer.verify(token)

    refuse()
    return refuse


def accepting(issuer: JWTIssuer, token: str) -> Callable[[], None]:
    """As costly around it as `refusing`, so that only the verification differs."""

    def accept() -> None:
        with pytest.raises(LookupError):  # noqa: PT012
            issuer.verify(token)
            raise LookupError

    accept()
    return accept


@pytest.mark.parametrize("name", KEYS)
def test_refusing_costs_no_more_than_accepting(name: str) -> None:
    issuer = JWTIssuer(ISSUER, AUDIENCE, KeyRing(KEYS[name]), clock=lambda: NOW)
    token = issuer.issue_access_token("ide", ["read"], "q7", subject="alice")
    signature = token.rindex(".") + 1
    best = fastest(
        {
            "good": accepting(issuer, token),
            "bad signature": refusing(issuer, flipped(token, signature)),
            "bad payload": refusing(issuer, flipped(token, token.index(".") + 60)),
            "foreign header": refusing(issuer, token_with(header={"alg": "none"})),
            "no token": refusing(issuer, "x" * 340),
        }
    )
    for case, cost in best.items():
        assert cost <= best["good"] * 1.25, case


@pytest.mark.parametrize("bare", [True, False])
def test_signatures_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, *, bare: bool
) -> None:
    """Whole signatures go to ``compare_digest``, and what it says decides: in either lane."""
    compared: list[tuple[bytes, bytes]] = []

    def refuse(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return False

    issuer = JWTIssuer(ISSUER, AUDIENCE, KEY, clock=lambda: NOW)
    # The other order of the header is read in the long way.
    header = {"typ": "JWT", "alg": "HS256"} if bare else {"alg": "HS256", "typ": "JWT"}
    token = token_with(header=header)
    monkeypatch.setattr(fast_lane, "_same", refuse)
    monkeypatch.setattr(hmac, "compare_digest", refuse)
    with pytest.raises(BadSignature):
        issuer.verify(token)
    [(ours, theirs)] = compared
    assert ours == theirs
    assert token.encode().endswith(theirs)
    assert len(theirs) >= 43
