"""Another program verifies whole requests, with or without a proof (RFC 9449 §7): CHECKLIST 122."""

from typing import Any

import pytest

from mintage.errors import InvalidDpopProof, MalformedToken, TokenError, WrongConfirmation
from mintage.jwt_issuer import JWTIssuer, KeyRing
from mintage.jwt_verifier import JWTVerifier, RequestVerifier
from tests.support.dpop import Prover
from tests.support.forge import AUDIENCE, ISSUER, KEYS, NOW

URL = f"{AUDIENCE}/notes"
RING = KeyRing(KEYS["ES256"])
PROVER = Prover.fresh()
TOKENS = JWTVerifier(ISSUER, AUDIENCE, jwks=RING.jwks(), clock=lambda: NOW)


def issued(jkt: str | None) -> str:
    issuer = JWTIssuer(ISSUER, AUDIENCE, RING, clock=lambda: NOW)
    return issuer.issue_access_token(
        "ide", ["read"], "q7", 600, subject="alice", key_thumbprint=jkt
    )


BOUND, PLAIN = issued(PROVER.thumbprint), issued(None)


def requests(**options: Any) -> RequestVerifier:
    return RequestVerifier(TOKENS, clock=lambda: NOW, **options)


def sent(token: str = BOUND, *, prover: Prover = PROVER, **more: Any) -> list[tuple[str, str]]:
    """The headers of a good request, but for *more* in its proof."""
    return list(prover.headers("POST", URL, token, now=NOW, **more).items())


async def verified(headers: Any, verifier: RequestVerifier | None = None) -> Any:
    return await (verifier or requests()).verify(headers, method="POST", url=URL)


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
async def test_spec122_a_request_with_its_proof(scheme: str) -> None:
    """Names and schemes in any case (RFC 9110 §5.1, §11.1), as text or as bytes."""
    headers = [("Authorization", f"{scheme} {BOUND}"), ("DPoP", dict(sent())["dpop"])]
    raw = [(name.encode(), value.encode()) for name, value in headers]
    for asked in (headers, raw):
        claims = await verified(asked)
        assert (claims.client_id, claims.cnf.jkt) == ("ide", PROVER.thumbprint)


async def test_spec122_an_unbound_token_as_bearer() -> None:
    assert (await verified([("authorization", f"Bearer {PLAIN}")])).cnf is None


async def test_attack_f54_a_bound_token_as_bearer_in_another_program() -> None:
    """With a good proof beside it, too: the scheme says what is to be checked."""
    for more in ([], [("dpop", dict(sent())["dpop"])]):
        with pytest.raises(WrongConfirmation):
            await verified([("authorization", f"Bearer {BOUND}"), *more])


async def test_attack_f54_another_key_or_an_unbound_token_in_another_program() -> None:
    for headers in (sent(prover=Prover.fresh()), sent(PLAIN)):
        with pytest.raises(WrongConfirmation):
            await verified(headers)


@pytest.mark.parametrize(
    "more", [{"htm": "GET"}, {"htu": AUDIENCE}, {"ath": None}, {"iat": NOW - 61}, {"iat": NOW + 61}]
)
async def test_attack_f53_a_proof_for_another_request_in_another_program(more: Any) -> None:
    with pytest.raises(InvalidDpopProof):
        await verified(sent(**more))


async def test_attack_f51_two_proofs_or_none_in_another_program() -> None:
    authorization, proof = sent()
    for headers in ([authorization], [authorization, proof, sent()[1]]):
        with pytest.raises(InvalidDpopProof, match="one DPoP header"):
            await verified(headers)


async def test_attack_f50_a_proof_is_good_once_in_another_program() -> None:
    headers, verifier = sent(), requests()
    assert await verified(headers, verifier)
    with pytest.raises(InvalidDpopProof, match="used before"):
        await verified(headers, verifier)
    lenient = requests(refuse_replays=False)
    assert await verified(headers, lenient)
    assert await verified(headers, lenient)


async def test_spec122_a_proof_with_a_token_that_is_refused_is_not_used_up() -> None:
    """A stranger's bad token makes the verifier remember nothing."""
    verifier = requests()
    with pytest.raises(TokenError):
        await verified(sent("eyJ.x.y"), verifier)
    assert verifier._replays is not None
    assert not verifier._replays._used


@pytest.mark.parametrize(
    "headers", [[], [("authorization", "Basic YTpi")], [("authorization", f"Bearer {PLAIN}")] * 2]
)
async def test_spec122_a_request_needs_one_token(headers: Any) -> None:
    with pytest.raises(MalformedToken):
        await verified(headers)


@pytest.mark.parametrize("seconds", [0, 301])
def test_spec123_the_window_of_another_program_is_at_most_five_minutes(seconds: int) -> None:
    with pytest.raises(ValueError, match="1 to 300"):
        requests(proof_seconds=seconds)


@pytest.mark.parametrize(
    ("token", "proven", "good"),
    [
        (BOUND, PROVER.thumbprint, True), (PLAIN, None, True), (BOUND, None, False),
        (BOUND, "x" * 43, False), (BOUND, "", False), (PLAIN, PROVER.thumbprint, False),
    ],
    ids=["its key", "none is needed", "no proof", "another key", "no key", "a proof for nothing"],
)  # fmt: skip
async def test_spec122_the_verifier_compares_the_thumbprint(
    token: str, proven: str | None, *, good: bool
) -> None:
    """``key_thumbprint`` of both methods: the key that the caller has verified a proof of."""
    if good:
        claims = TOKENS.verify_now(token, key_thumbprint=proven)
        assert claims == await TOKENS.verify(token, key_thumbprint=proven)
        return
    with pytest.raises(WrongConfirmation):
        TOKENS.verify_now(token, key_thumbprint=proven)
    with pytest.raises(WrongConfirmation):
        await TOKENS.verify(token, key_thumbprint=proven)
