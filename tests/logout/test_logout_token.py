"""Which logout tokens are valid (OpenID Connect Back-Channel Logout 1.0 §2.4 and §2.6)."""

from typing import Any

import pytest
from joserfc import jwk

from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.upstream.id_token import read_keys
from mintage.upstream.logout_token import EVENT, BadLogoutToken, LogoutToken, verify
from tests.support.logout_tokens import logout_claims, logout_token, signed

NOW = 1_800_000_000
PROVIDER = FakeUpstream(ManualClock(NOW), issuer="https://idp.example")
KEYS = read_keys({"keys": [PROVIDER.key.as_dict(private=False)]})


def read(token: str, *, now: int = NOW, keys: jwk.KeySet = KEYS) -> LogoutToken:
    return verify(
        token, keys, issuer=PROVIDER.issuer, client_id=PROVIDER.client_id, now=now, aliases=()
    )


@pytest.mark.parametrize(
    ("changes", "subject", "sid"),
    [
        ({}, "alice", None),
        ({"sid": "s1"}, "alice", "s1"),
        ({"sid": "s1", "sub": None}, None, "s1"),
        ({"aud": ["mintage"]}, "alice", None),
        ({"aud": ["mintage", "other"], "azp": "mintage"}, "alice", None),
        ({"events": {EVENT: {"revoke_offline_access": True}, "urn:more": 1}}, "alice", None),
        ({"unknown": [1]}, "alice", None),
    ],
)
def test_a_token_names_a_user_or_a_session_or_both(
    changes: dict[str, Any], subject: str | None, sid: str | None
) -> None:
    told = read(logout_token(PROVIDER, **changes))
    assert (told.issuer, told.subject, told.sid) == (PROVIDER.issuer, subject, sid)


@pytest.mark.parametrize("kind", ["logout+jwt", "application/logout+jwt", "JWT", "Logout+JWT"])
def test_types_that_a_logout_token_may_have(kind: str) -> None:
    assert read(signed(PROVIDER, logout_claims(PROVIDER), typ=kind)).subject == "alice"


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "no issuer": {"iss": None},
    "another client": {"aud": "another"},
    "another client among several": {"aud": ["mintage", "other"]},
    "issued to another client": {"azp": "another"},
    "no audience": {"aud": None},
    "expired": {"exp": NOW - 61},
    "no end": {"exp": None},
    "an end that is no number": {"exp": "soon"},
    "issued long ago": {"iat": NOW - 700, "exp": NOW + 86_400},
    "issued in the future": {"iat": NOW + 120},
    "no time of issue": {"iat": None},
    "a nonce": {"nonce": "n"},
    "an empty nonce": {"nonce": ""},
    "no events": {"events": None},
    "events as a list": {"events": [EVENT]},
    "another event": {"events": {"https://schemas.openid.net/secevent/caep/session-revoked": {}}},
    "an event that is no object": {"events": {EVENT: True}},
    "neither sub nor sid": {"sub": None},
    "a sub that is no string": {"sub": 7},
    "an empty sub": {"sub": ""},
    "an empty sid": {"sid": ""},
    "a sid that is a list": {"sid": ["s1"]},
    "no jti": {"jti": None},
    "an empty jti": {"jti": ""},
    "a long jti": {"jti": "j" * 256},
    "a large claim": {"more": "x" * 17_000},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_what_makes_a_token_invalid(changes: dict[str, Any]) -> None:
    with pytest.raises(BadLogoutToken):
        read(logout_token(PROVIDER, **changes))


@pytest.mark.parametrize("kind", ["at+jwt", "dpop+jwt", "secevent+jwt", ""])
def test_a_token_of_another_type_is_none(kind: str) -> None:
    with pytest.raises(BadLogoutToken):
        read(signed(PROVIDER, logout_claims(PROVIDER), typ=kind))


def test_an_id_token_is_no_logout_token() -> None:
    """Clients see it: anyone who could replay it would end the login that it began."""
    claims = {"iss": PROVIDER.issuer, "aud": "mintage", "sub": "alice", "sid": "s1", "jti": "j"}
    with pytest.raises(BadLogoutToken):
        read(signed(PROVIDER, claims | {"iat": NOW, "exp": NOW + 600}))


def test_its_jti_is_remembered_until_it_is_refused_for_its_age() -> None:
    told = read(logout_token(PROVIDER))
    assert told.expires_at > NOW + 120 + 60
    with pytest.raises(BadLogoutToken):
        read(logout_token(PROVIDER), now=told.expires_at - 1)
    long = read(logout_token(PROVIDER, exp=NOW + 86_400))
    assert long.expires_at <= NOW + 700
