"""What a grant does with each request, in each state: all of it, without a server."""

import pytest
from msgspec.structs import replace

from mintage.grants.lease import Renewed, Wait, is_due, lease, prolong, release, renewed
from mintage.grants.states import (
    Active,
    Grant,
    Lease,
    Reason,
    Revoked,
    UpstreamTokens,
)
from mintage.grants.transitions import (
    Keep,
    Redemption,
    Refreshment,
    Refuse,
    Revoke,
    Write,
    redeem,
    refresh,
    revoke,
)
from tests.support.grant_states import (
    ACTIVE,
    CLIENT,
    CODE_HASH,
    LOGIN,
    NOW,
    OTHER,
    PENDING,
    RESOURCE,
    REVOKED,
    TOKENS,
    VERIFIER,
)


def redemption(**changes: object) -> Redemption:
    values: dict[str, object] = {
        "client_id": CLIENT,
        "code_hash": CODE_HASH,
        "code_verifier": VERIFIER,
        "redirect_uri": "https://app.example/cb",
        "resource": RESOURCE,
    }
    return Redemption(**(values | changes))  # type: ignore[arg-type]


def refreshment(generation: int, **changes: object) -> Refreshment:
    values: dict[str, object] = {
        "client_id": CLIENT,
        "generation": generation,
        "scopes": None,
        "resource": None,
    }
    return Refreshment(**(values | changes))  # type: ignore[arg-type]


class TestACode:
    def test_opens_the_grant_once(self) -> None:
        match redeem(PENDING, redemption(), now=NOW + 59):
            case Write(grant=active):
                assert active.generation == 1
                assert active.rotated_at == NOW + 59
                assert active.login == LOGIN
            case other:
                pytest.fail(repr(other))

    @pytest.mark.parametrize("changes", [{"redirect_uri": None}, {"resource": None}])
    def test_needs_neither_redirect_uri_nor_resource_again(
        self, changes: dict[str, object]
    ) -> None:
        """OAuth 2.1 leaves redirect_uri out of the token request; 2.0 sends it."""
        assert isinstance(redeem(PENDING, redemption(**changes), now=NOW), Write)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"client_id": OTHER}, Reason.WRONG_CLIENT),
            ({"code_hash": b"x" * 32}, Reason.WRONG_CODE),
            ({"redirect_uri": "https://app.example/cb/"}, Reason.WRONG_REDIRECT_URI),
            ({"resource": "https://auth.example/other"}, Reason.WRONG_RESOURCE),
        ],
    )
    def test_of_somebody_else_is_refused_and_left_alone(
        self, changes: dict[str, object], reason: Reason
    ) -> None:
        assert redeem(PENDING, redemption(**changes), now=NOW) == Refuse(reason)

    def test_is_too_old_from_the_second_it_expires(self) -> None:
        assert redeem(PENDING, redemption(), now=NOW + 60) == Refuse(Reason.CODE_EXPIRED)

    def test_is_spent_by_one_wrong_verifier(self) -> None:
        """Whoever has the code but not the verifier did not ask for it: no second guess."""
        outcome = redeem(PENDING, redemption(code_verifier="x" * 43), now=NOW)
        assert isinstance(outcome, Revoke)
        assert outcome.grant.reason is Reason.WRONG_VERIFIER
        assert outcome.upstream == TOKENS

    @pytest.mark.parametrize("changes", [{}, {"client_id": OTHER}, {"code_verifier": "x" * 43}])
    def test_seen_again_ends_the_grant_whoever_brings_it(self, changes: dict[str, object]) -> None:
        outcome = redeem(ACTIVE, redemption(**changes), now=NOW)
        assert isinstance(outcome, Revoke)
        assert outcome.grant == Revoked(reason=Reason.CODE_REPLAYED, client_id=CLIENT, at=NOW)

    def test_of_another_login_does_not_end_this_one(self) -> None:
        outcome = redeem(ACTIVE, redemption(code_hash=b"x" * 32), now=NOW)
        assert outcome == Refuse(Reason.WRONG_CODE)


class TestARefreshToken:
    @pytest.mark.parametrize("age", [0, 59, 60, 10**6])
    @pytest.mark.parametrize("presented", range(8))
    def test_rotates_repeats_or_ends_the_grant_by_its_generation(
        self, presented: int, age: int
    ) -> None:
        outcome = refresh(ACTIVE, refreshment(presented), now=NOW + age, grace=60)
        if presented >= 5:  # above it, the store has forgotten what it wrote
            assert isinstance(outcome, Write)
            assert (outcome.grant.generation, outcome.grant.rotated_at) == (
                presented + 1,
                NOW + age,
            )
        elif presented == 4 and age < 60:
            assert outcome == Keep(ACTIVE)
        else:
            assert isinstance(outcome, Revoke)
            assert outcome.grant.reason is Reason.REFRESH_REUSED

    def test_without_a_grace_window_is_good_once(self) -> None:
        assert isinstance(refresh(ACTIVE, refreshment(4), now=NOW, grace=0), Revoke)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"client_id": OTHER}, Reason.WRONG_CLIENT),
            ({"resource": "https://auth.example/other"}, Reason.WRONG_RESOURCE),
            ({"scopes": ("read", "admin")}, Reason.SCOPE_WIDENED),
        ],
    )
    @pytest.mark.parametrize("generation", [3, 4, 5, 6])
    def test_with_a_wrong_companion_is_refused_and_left_alone(
        self, changes: dict[str, object], reason: Reason, generation: int
    ) -> None:
        outcome = refresh(ACTIVE, refreshment(generation, **changes), now=NOW, grace=60)
        assert outcome == Refuse(reason)

    def test_narrowing_the_scope_once_does_not_narrow_the_grant(self) -> None:
        outcome = refresh(ACTIVE, refreshment(5, scopes=("read",)), now=NOW, grace=60)
        assert isinstance(outcome, Write)
        assert outcome.grant.login.scopes == ("read", "write")


class TestRevocation:
    @pytest.mark.parametrize("grant", [PENDING, ACTIVE])
    def test_by_its_client_ends_the_grant(self, grant: Grant) -> None:
        outcome = revoke(grant, CLIENT, now=NOW)
        assert isinstance(outcome, Revoke)
        assert outcome.grant.reason is Reason.CLIENT_REVOKED

    @pytest.mark.parametrize("grant", [PENDING, ACTIVE])
    def test_by_another_client_does_not(self, grant: Grant) -> None:
        assert revoke(grant, OTHER, now=NOW) == Refuse(Reason.WRONG_CLIENT)

    def test_is_for_ever(self) -> None:
        assert redeem(REVOKED, redemption(), now=NOW) == Refuse(Reason.REVOKED)
        assert refresh(REVOKED, refreshment(5), now=NOW, grace=60) == Refuse(Reason.REVOKED)
        assert revoke(REVOKED, CLIENT, now=NOW) == Refuse(Reason.REVOKED)

    def test_keeps_no_upstream_token(self) -> None:
        assert "up" not in repr(REVOKED)
        assert not hasattr(REVOKED, "upstream")


class TestTheUpstreamLease:
    def take(self, grant: Active, holder: bytes, now: int) -> Keep | Write | Wait:
        return lease(grant, holder, now=now, margin=60, duration=20)

    def test_is_not_needed_while_the_token_is_good(self) -> None:
        assert self.take(ACTIVE, b"me", NOW + 39) == Keep(ACTIVE)

    def test_goes_to_the_first_who_asks(self) -> None:
        outcome = self.take(ACTIVE, b"me", NOW + 40)
        assert isinstance(outcome, Write)
        assert outcome.grant.lease == Lease(b"me", NOW + 60)

    def test_makes_others_wait_until_it_ends_at_the_latest(self) -> None:
        first = self.take(ACTIVE, b"me", NOW + 40)
        assert isinstance(first, Write)
        assert self.take(first.grant, b"you", NOW + 59) == Wait(Lease(b"me", NOW + 60))
        assert isinstance(self.take(first.grant, b"you", NOW + 60), Write)

    def test_of_a_holder_that_was_waited_for_long_enough_is_over(self) -> None:
        """Its end is far off by our clock, because the holder's clock is ahead."""
        ahead = replace(ACTIVE, lease=Lease(b"me", NOW + 3600))
        assert ahead.lease is not None
        assert self.take(ahead, b"you", NOW + 40) == Wait(ahead.lease)
        taken = lease(ahead, b"you", now=NOW + 40, margin=60, duration=20, overdue=ahead.lease)
        assert isinstance(taken, Write)
        assert taken.grant.lease == Lease(b"you", NOW + 60)

    def test_that_was_prolonged_is_waited_for_anew(self) -> None:
        first = replace(ACTIVE, lease=Lease(b"me", NOW + 3600))
        longer = prolong(first, b"me", now=NOW + 45, duration=20)
        assert isinstance(longer, Write)
        assert longer.grant.lease == Lease(b"me", NOW + 65)
        outcome = lease(
            longer.grant, b"you", now=NOW + 60, margin=60, duration=20, overdue=first.lease
        )
        assert outcome == Wait(Lease(b"me", NOW + 65))

    def test_is_prolonged_by_its_holder_alone(self) -> None:
        first = replace(ACTIVE, lease=Lease(b"me", NOW + 60))
        assert prolong(first, b"you", now=NOW + 45, duration=20) == Keep(first)
        assert prolong(ACTIVE, b"me", now=NOW + 45, duration=20) == Keep(ACTIVE)

    def test_ends_with_the_new_tokens_or_without(self) -> None:
        first = self.take(ACTIVE, b"me", NOW + 40)
        assert isinstance(first, Write)
        fresh = UpstreamTokens(access_token="new", expires_at=NOW + 4000)
        new = renewed(first.grant, Renewed(fresh), now=NOW + 40)
        assert new.lease is None
        assert new.upstream == fresh
        assert release(first.grant, b"me") == Write(ACTIVE)

    def test_is_not_anothers_to_give_up(self) -> None:
        first = self.take(ACTIVE, b"me", NOW + 40)
        assert isinstance(first, Write)
        assert release(first.grant, b"you") == Keep(first.grant)
        assert release(ACTIVE, b"me") == Keep(ACTIVE)

    def test_a_token_without_an_end_is_never_due(self) -> None:
        endless = UpstreamTokens(access_token="up")
        assert not is_due(endless, now=2**40, margin=60)


def test_secrets_do_not_show() -> None:
    shown = repr(ACTIVE) + repr(PENDING) + str(TOKENS) + f"{TOKENS}"
    assert "up-r" not in shown
    assert "'up'" not in shown
