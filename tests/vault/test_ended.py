"""What a process knows of grants that have ended: by itself, and elsewhere."""

from mintage.events.grants import GrantEnded
from mintage.grants.handles import store_key
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.ended import Ended
from tests.support.logins import logged_in, vault_on

KEY = b"k" * 32


def test_what_was_made_from_a_grant_goes_with_it() -> None:
    ended, made = Ended(), {KEY: "token", b"other": "token"}
    with ended.clearing(made):
        assert ended.must_clear(KEY)
        ended.notice(KEY)
        assert list(made) == [b"other"]
        ended.clear_all()
        assert not made
    made[KEY] = "token"
    ended.remember(KEY)
    assert made


def test_a_grant_that_ended_elsewhere_was_not_ended_here() -> None:
    ended = Ended()
    ended.notice(KEY)
    assert ended.has_ended(KEY)
    assert KEY not in ended
    ended.remember(KEY)
    assert KEY in ended


async def test_an_end_that_was_only_seen_is_still_told_by_who_makes_it() -> None:
    """As after a write whose answer was lost: the change is seen, and the operator tries again."""
    events: list[object] = []
    clock = ManualClock(3_000_000_000)
    vault = vault_on(MemoryStore(clock=clock), clock, emit=events.append)
    opened = await logged_in(vault)
    [listed] = [grant async for grant in vault.listing.find()]
    vault.ended.notice(store_key(opened.secret))
    for _ in range(2):
        await vault.revocation.end(listed)
    assert len([event for event in events if isinstance(event, GrantEnded)]) == 1
