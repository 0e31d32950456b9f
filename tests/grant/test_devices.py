"""What a poll with a device code does to a grant, in each state; and the codes that people type."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mintage.grants.devices import (
    ALPHABET,
    USER_CODE_BYTES,
    Poll,
    make_user_code,
    read_user_code,
    redeem,
)
from mintage.grants.states import Active, Grant, Reason, Revoked
from mintage.grants.transitions import Keep, Redemption, Refuse, Revoke, Write
from mintage.grants.transitions import redeem as redeem_code
from tests.support.grant_states import ACTIVE, CLIENT, CODE_HASH, NOW, OTHER, PENDING, VERIFIER

WAITING = replace(PENDING, code_challenge="", redirect_uri="")
FIRST = replace(ACTIVE, generation=1, rotated_at=NOW)
GRACE = 60


def poll(grant: Grant, *, now: int = NOW, **other: object) -> Write | Keep | Refuse | Revoke:
    fields = {"client_id": CLIENT, "code_hash": CODE_HASH, "resource": None} | other
    return redeem(grant, Poll(**fields), now=now, grace=GRACE)  # type: ignore[arg-type]


def test_the_first_poll_after_the_approval_activates_the_grant() -> None:
    outcome = poll(WAITING, source="192.0.2.0/24")
    assert isinstance(outcome, Write)
    assert isinstance(outcome.grant, Active)
    assert (outcome.grant.generation, outcome.grant.rotated_at) == (1, NOW)
    assert outcome.grant.login == WAITING.login
    assert outcome.grant.used_from == "192.0.2.0/24"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"code_hash": b"x" * 32}, Reason.WRONG_CODE),
        ({"client_id": OTHER}, Reason.WRONG_CLIENT),
        ({"resource": "https://other.example/"}, Reason.WRONG_RESOURCE),
        ({"now": WAITING.code_expires_at}, Reason.CODE_EXPIRED),
    ],
)
def test_a_wrong_poll_changes_nothing(other: dict[str, object], reason: Reason) -> None:
    assert poll(WAITING, **other) == Refuse(reason)  # type: ignore[arg-type]


def test_a_lost_response_is_made_again_until_the_client_goes_further_or_the_grace_is_over() -> None:
    assert poll(FIRST, now=NOW + GRACE - 1) == Keep(FIRST)
    for late in (
        poll(FIRST, now=NOW + GRACE),
        poll(replace(FIRST, generation=2), now=NOW + 1),
    ):
        assert isinstance(late, Revoke)
        assert late.grant.reason is Reason.CODE_REPLAYED
    assert poll(FIRST, client_id=OTHER) == Refuse(Reason.WRONG_CLIENT), "a stranger ends nothing"


@pytest.mark.parametrize(
    ("reason", "told"),
    [(Reason.DENIED, Reason.DENIED), (Reason.CLIENT_REVOKED, Reason.REVOKED)],
)
def test_a_grant_that_has_ended_says_whether_the_person_denied(
    reason: Reason, told: Reason
) -> None:
    assert poll(Revoked(reason=reason, client_id=CLIENT, at=NOW)) == Refuse(told)


def test_the_grant_of_a_device_is_not_opened_as_an_authorization_code() -> None:
    """Its challenge is empty, and no verifier hashes to nothing."""
    request = Redemption(
        client_id=CLIENT,
        code_hash=CODE_HASH,
        code_verifier=VERIFIER,
        redirect_uri=None,
        resource=None,
    )
    assert isinstance(redeem_code(WAITING, request, now=NOW), Revoke)


@given(st.binary(min_size=USER_CODE_BYTES, max_size=USER_CODE_BYTES))
def test_a_user_code_is_read_as_it_was_made(raw: bytes) -> None:
    code = make_user_code(raw)
    assert read_user_code(code) == code
    assert read_user_code(code.lower().replace("-", "")) == code


@given(st.text())
def test_what_is_read_is_a_code_or_nothing(typed: str) -> None:
    found = read_user_code(typed)
    assert found is None or read_user_code(found) == found


def test_each_letter_comes_as_often_as_the_others() -> None:
    """RFC 8628 §6.1: no vowels, no digits, and no letter is likelier."""
    assert not set(ALPHABET) & set("AEIOUY0123456789")
    letters = "".join(make_user_code(secrets.token_bytes(USER_CODE_BYTES)) for _ in range(2000))
    counts = [letters.count(letter) for letter in ALPHABET]
    assert 600 < min(counts) <= max(counts) < 1000
