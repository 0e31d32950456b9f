"""When a login ends by itself: by its absolute and by its idle lifetime."""

import math

import pytest
from msgspec.structs import replace

from mintage.grants.lifetimes import ends_at, over
from mintage.grants.states import Reason
from mintage.grants.transitions import Refreshment, Revoke, Write, refresh
from tests.support.grant_states import ACTIVE, CLIENT, LOGIN, NOW, TOKENS

SESSION, IDLE_AFTER, GENERATION = 1000, 300, ACTIVE.generation
GRANT = replace(ACTIVE, login=replace(LOGIN, created_at=NOW), rotated_at=NOW + 500)


@pytest.mark.parametrize(
    ("after", "generation", "reason"),
    [
        (500, GENERATION, None),
        (799, GENERATION, None),
        (800, GENERATION, Reason.IDLE),
        (800, GENERATION - 1, Reason.IDLE),
        (800, GENERATION + 1, None),  # the store lost the refresh that made this token
        (999, GENERATION + 1, None),
        (1000, GENERATION + 1, Reason.SESSION_OVER),
        (1000, GENERATION, Reason.SESSION_OVER),
    ],
)
def test_a_refresh_comes_too_late_from_the_second_of_either_end(
    after: int, generation: int, reason: Reason | None
) -> None:
    late = over(GRANT, generation, now=NOW + after, session=SESSION, idle=IDLE_AFTER)
    assert late == reason


def test_a_refresh_begins_the_idle_lifetime_anew_and_not_the_absolute_one() -> None:
    asked = Refreshment(client_id=CLIENT, generation=GENERATION, scopes=None, resource=None)
    in_time = refresh(GRANT, asked, now=NOW + 799, grace=60, session=SESSION, idle=IDLE_AFTER)
    assert isinstance(in_time, Write)
    assert over(in_time.grant, GENERATION + 1, now=NOW + 999, session=SESSION, idle=300) is None
    assert ends_at(in_time.grant, session=SESSION) == NOW + SESSION


def test_a_late_refresh_ends_the_grant_and_gives_up_the_providers_tokens() -> None:
    asked = Refreshment(client_id=CLIENT, generation=GENERATION, scopes=None, resource=None)
    outcome = refresh(GRANT, asked, now=NOW + 800, grace=60, session=SESSION, idle=IDLE_AFTER)
    assert isinstance(outcome, Revoke)
    assert (outcome.grant.reason, outcome.upstream) == (Reason.IDLE, TOKENS)


def test_without_limits_a_login_lasts_as_long_as_it_is_refreshed() -> None:
    assert ends_at(GRANT, session=None) == math.inf
    assert over(GRANT, GENERATION, now=2**40, session=None, idle=None) is None
