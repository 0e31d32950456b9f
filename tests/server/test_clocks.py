"""Replicas whose clocks differ (ATTACKS D12)."""

import pytest

from mintage.errors import ExpiredToken
from mintage.grant_tokens import Tokens
from mintage.grants.states import Active, Consent, Identity, UpstreamTokens
from mintage.jwt.keyring import KeyRing
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.values import Lifetimes, OpenGrant

NOW = 1_800_000_000
RESOURCE = "https://auth.example/mcp"


def replica(offset: float) -> Tokens:
    return Tokens(
        issuer="https://auth.example",
        resources=[RESOURCE],
        keys=KeyRing(bytes(range(32))),
        lifetimes=Lifetimes(),
        clock=ManualClock(NOW + offset),
    )


def opened(at: int) -> OpenGrant:
    login = Consent(
        client_id=ClientId("client"),
        resource=RESOURCE,
        scopes=("tools",),
        identity=Identity(issuer="https://idp.example", subject="alice"),
        created_at=at,
    )
    tokens = UpstreamTokens(access_token="up")
    grant = Active(login=login, upstream=tokens, code_hash=b"", generation=1, rotated_at=at)
    return OpenGrant(b"s" * 16, grant)


@pytest.mark.parametrize("skew", [-5, -1, 0, 1, 5])
def test_attack_d12_no_good_token_is_refused_for_five_seconds(skew: int) -> None:
    """Issued here, read there at the same moment by a clock that is *skew* seconds off."""
    issued = replica(0).issue(opened(NOW))
    there = replica(skew)
    assert there.read_access(issued.access_token, RESOURCE).scopes == ("tools",)
    assert issued.refresh_token is not None
    assert there.read_refresh(issued.refresh_token).secret == b"s" * 16


def test_attack_d12_no_token_outlives_the_leeway() -> None:
    issued = replica(0).issue(opened(NOW)).access_token
    replica(3604).read_access(issued, RESOURCE)
    with pytest.raises(ExpiredToken):
        replica(3605).read_access(issued, RESOURCE)


@pytest.mark.parametrize("behind", [6, 30, 3600])
def test_attack_d12_a_clock_that_is_behind_refuses_nothing(behind: int) -> None:
    """Only a replica can have signed it, so its time of issue tells of the clock alone."""
    issued = replica(0).issue(opened(NOW))
    there = replica(-behind)
    assert there.read_access(issued.access_token, RESOURCE).scopes == ("tools",)
    assert issued.refresh_token is not None
    assert there.read_refresh(issued.refresh_token).secret == b"s" * 16
