"""A refresh whose upstream token has ended: one write has the new tokens and the rotation.

Whatever comes between, tokens that the provider gave are kept, and a refresh token is used up
only for a client that can hear of it.
"""

import asyncio

import pytest
from msgspec.structs import replace

from mintage.errors import StoreUnavailable, UpstreamRefused, UpstreamUnavailable
from mintage.grants.states import Active, Grant, Reason
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.vault import renewal, stored_grants
from mintage.vault.values import OpenGrant, Refused
from tests.support.grant_states import upstream_of
from tests.vault.login import UPSTREAM, Login


@pytest.fixture
async def login() -> Login:
    """Its upstream token has ended."""
    login = await Login.active()
    login.clock.advance(UPSTREAM)
    login.store.seen.clear()
    return login


def told(outcome: OpenGrant | Refused) -> tuple[int, str]:
    """(generation, upstream token)"""
    assert isinstance(outcome, OpenGrant)
    return outcome.grant.generation, upstream_of(outcome.grant).access_token


async def under_way(login: Login, generation: int = 1) -> "asyncio.Task[OpenGrant | Refused]":
    """A refresh that waits for the provider."""
    login.provider.arrive.clear()
    task = asyncio.create_task(login.refresh(generation))
    await asyncio.sleep(0.01)
    assert not task.done()
    return task


async def test_reads_twice_and_writes_twice(login: Login) -> None:
    assert told(await login.refresh()) == (2, "a1")
    assert login.store.seen == {"load": 2, "replace": 2}
    stored = await login.stored()
    assert (stored.generation, upstream_of(stored).access_token, stored.lease) == (2, "a1", None)


async def test_of_ten_at_once_one_asks_and_all_get_one_successor(login: Login) -> None:
    outcomes = await asyncio.gather(*(login.refresh() for _ in range(10)))
    assert {told(outcome) for outcome in outcomes} == {(2, "a1")}
    assert login.provider.asked == 1
    assert login.store.seen["replace"] == 2


async def test_of_two_processes_one_asks_and_both_get_one_successor(login: Login) -> None:
    first = await under_way(login)
    login.vault = login.another_vault()
    second = await under_way(login)
    login.provider.arrive.set()
    assert {told(outcome) for outcome in await asyncio.gather(first, second)} == {(2, "a1")}
    assert login.provider.asked == 1


async def test_one_that_waits_for_the_renewal_of_a_request_rotates_by_itself() -> None:
    login = await Login.active()
    login.clock.advance(UPSTREAM - 40)
    login.provider.arrive.clear()
    assert isinstance(await login.use(), OpenGrant)  # it is renewed behind its back
    login.clock.advance(40)
    waiting = await under_way(login)
    login.provider.arrive.set()
    assert told(await waiting) == (2, "a1")
    assert login.provider.asked == 1


async def test_requests_that_wait_for_the_renewal_of_a_refresh_get_its_token(login: Login) -> None:
    refreshing = await under_way(login)
    using = [asyncio.create_task(login.use()) for _ in range(5)]
    await asyncio.sleep(0.01)
    login.provider.arrive.set()
    assert told(await refreshing) == (2, "a1")
    assert {told(outcome) for outcome in await asyncio.gather(*using)} == {(2, "a1")}


async def test_an_outage_of_the_provider_changes_nothing(login: Login) -> None:
    before = await login.stored()
    login.provider.error = UpstreamUnavailable("down")
    with pytest.raises(UpstreamUnavailable):
        await login.refresh()
    assert await login.stored() == before, "and nobody has to wait for the lease"
    login.provider.error = None
    login.clock.advance(3)
    assert told(await login.refresh()) == (2, "a1")


async def test_a_refusal_of_the_provider_ends_the_grant(login: Login) -> None:
    login.provider.error = UpstreamRefused("invalid_grant")
    assert await login.refresh() == Refused(Reason.UPSTREAM_REFUSED)
    assert login.reported == ["a0"]


async def test_a_provider_that_has_not_answered_for_too_long_uses_no_refresh_token_up() -> None:
    login = await Login.active(unanswered=10)
    login.clock.advance(UPSTREAM + 20)
    login.provider.answers = False
    with pytest.raises(UpstreamUnavailable):
        await login.refresh()
    stored = await login.stored()
    assert (stored.generation, upstream_of(stored).access_token) == (1, "a1")


class TestAnAnswerThatCannotBeMade:
    async def test_is_noticed_before_the_provider_is_asked(self, login: Login) -> None:
        def prepare(_: OpenGrant) -> None:
            raise ValueError("no such resource")

        with pytest.raises(ValueError, match="no such resource"):
            await login.refresh(prepare=prepare)
        assert (login.provider.asked, login.store.writes) == (0, 0)

    async def test_for_the_user_by_now_costs_neither_token(self, login: Login) -> None:
        def prepare(opened: OpenGrant) -> None:
            if upstream_of(opened.grant).access_token == "a1":
                raise ValueError("too many groups")

        with pytest.raises(ValueError, match="too many groups"):
            await login.refresh(prepare=prepare)
        stored = await login.stored()
        assert (stored.generation, upstream_of(stored).access_token) == (1, "a1")
        assert told(await login.refresh()) == (2, "a1")


async def test_a_client_that_went_away_keeps_its_refresh_token(login: Login) -> None:
    """The new tokens are kept, and the client may come back as late as it likes."""
    refreshing = await under_way(login)
    refreshing.cancel()
    await asyncio.sleep(0)
    login.provider.arrive.set()
    await login.vault.drain()
    stored = await login.stored()
    assert (stored.generation, upstream_of(stored).access_token) == (1, "a1")
    login.clock.advance(300)  # beyond the grace for a repeated refresh
    assert told(await login.refresh()) == (2, "a1")
    assert login.provider.asked == 1


class TestARaceThatIsLost:
    """Another process changes the grant while the provider is asked."""

    async def changed(self, login: Login, **changes: int) -> None:
        def decision(grant: Grant) -> Keep | Write | Refuse:
            assert isinstance(grant, Active)
            return Write(replace(grant, **changes))

        await login.another_vault()._grants.change(login.secret, decision)

    async def test_to_the_same_refresh_gives_the_same_successor(self, login: Login) -> None:
        refreshing = await under_way(login)
        await self.changed(login, generation=2, rotated_at=int(login.clock()))
        login.provider.arrive.set()
        assert told(await refreshing) == (2, "a1")
        assert upstream_of(await login.stored()).access_token == "a1"
        assert login.reported == []

    async def test_to_two_refreshes_ends_the_grant_and_reports_the_new_tokens(
        self, login: Login
    ) -> None:
        refreshing = await under_way(login)
        await self.changed(login, generation=3, rotated_at=int(login.clock()))
        login.provider.arrive.set()
        assert await refreshing == Refused(Reason.REFRESH_REUSED)
        assert login.reported == ["a1"]

    async def test_to_a_revocation_reports_both(self, login: Login) -> None:
        refreshing = await under_way(login)
        await login.revoke()
        login.provider.arrive.set()
        assert await refreshing == Refused(Reason.REVOKED)
        assert login.reported == ["a0", "a1"]

    @pytest.mark.parametrize("late", ["refused", "given"])
    async def test_for_its_lease_costs_nobody_the_login(self, login: Login, late: str) -> None:
        """The lease ran out, another process took it, and was the first to be answered."""
        slow = await under_way(login)
        ours, arrive = login.provider, login.provider.arrive
        login.clock.advance(20)
        ours.arrive = asyncio.Event()
        ours.arrive.set()
        login.vault = login.another_vault()
        assert told(await login.refresh()) == (2, "a1")
        if late == "refused":
            ours.error = UpstreamRefused("invalid_grant")
        arrive.set()
        assert told(await slow) == (2, "a1" if late == "refused" else "a2")
        assert (await login.stored()).generation == 2
        assert login.reported == []


class TestAStoreThatFails:
    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stored_grants, "_FIRST_PAUSE", 0.001)
        monkeypatch.setattr(renewal, "_FIRST_SAVE_PAUSE", 0.001)

    async def test_for_longer_than_any_request_waits_costs_nothing(self, login: Login) -> None:
        refreshing = await under_way(login)
        login.store.failing = 20  # more than the five repeats of one call
        login.provider.arrive.set()
        assert told(await refreshing) == (2, "a1")

    async def test_after_the_write_is_asked_what_became_of_it(self, login: Login) -> None:
        refreshing = await under_way(login)
        login.store.losing = 1
        login.provider.arrive.set()
        assert told(await refreshing) == (2, "a1")
        assert login.store.seen["replace"] == 2
        assert (await login.stored()).generation == 2

    async def test_for_good_after_the_write_makes_no_thief_of_the_client(
        self, login: Login, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It comes back with the same refresh token, which nobody ever answered."""
        monkeypatch.setattr(renewal, "_SAVE_REPEATS", 1)
        refreshing = await under_way(login)
        login.store.losing, login.store.dying = 1, True
        login.provider.arrive.set()
        with pytest.raises(StoreUnavailable):
            await refreshing
        login.store.failing = 0
        login.clock.advance(300)  # beyond the grace for a repeated refresh
        assert told(await login.refresh()) == (2, "a1")
        assert login.reported == []
        assert await login.refresh() == Refused(Reason.REFRESH_REUSED)


async def test_one_that_asks_nobody_makes_its_answer_once() -> None:
    """The answer, with its signatures, is the dearest part of a refresh."""
    prepared: list[OpenGrant] = []
    login = await Login.active()
    outcome = await login.refresh(prepare=prepared.append)
    assert isinstance(outcome, OpenGrant)
    assert [opened.grant for opened in prepared] == [outcome.grant]


async def test_one_that_asked_in_vain_and_may_go_on_decides_at_the_time_of_its_write() -> None:
    """The provider took long to fail, and the login ended meanwhile."""
    login = await Login.active(session=UPSTREAM - 10)
    grant = await login.stored()
    upstream = replace(upstream_of(grant), replaced=True)  # all callers wait
    waiting = replace(grant, upstream=upstream)
    await login.vault._grants.change(login.secret, lambda _: Write(waiting))
    login.clock.advance(UPSTREAM - 30)
    login.provider.error = UpstreamUnavailable("down")
    refreshing = await under_way(login)
    login.clock.advance(25)
    login.provider.arrive.set()
    assert await refreshing == Refused(Reason.SESSION_OVER)
