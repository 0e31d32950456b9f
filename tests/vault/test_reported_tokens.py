"""The vault reports the upstream tokens of every grant that ends: each once, and no others."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mintage.errors import StoreUnavailable, UpstreamRefused
from mintage.grants.handles import Handle, store_key
from mintage.grants.states import Reason
from mintage.values import ClientId
from mintage.vault import stored_grants
from mintage.vault.values import OpenGrant, Refused
from tests.support.logins import redeem
from tests.vault.login import UPSTREAM, Login


async def a_code_is_replayed() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active()
    return login, await redeem(login.vault, login.code)


async def a_verifier_is_wrong() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.make()
    return login, await redeem(login.vault, login.code, verifier="w" * 43)


async def the_client_revokes() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active()
    return login, await login.revoke()


async def a_refresh_token_is_reused() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active()
    for generation in (1, 2):
        assert isinstance(await login.refresh(generation), OpenGrant)
    return login, await login.refresh(1)


async def the_session_is_over() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active(session=100)
    login.clock.advance(100)
    return login, await login.refresh()


async def the_provider_refuses_at_a_refresh() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active()
    login.provider.error = UpstreamRefused("invalid_grant")
    login.clock.advance(UPSTREAM)
    return login, await login.refresh()


async def the_provider_refuses_at_a_request() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active()
    login.provider.error = UpstreamRefused("invalid_grant")
    login.clock.advance(UPSTREAM)
    return login, await login.use()


async def the_tokens_end_at_a_refresh() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active(renewable=False)
    login.clock.advance(UPSTREAM)
    return login, await login.refresh()


async def the_tokens_end_at_a_request() -> tuple[Login, OpenGrant | Refused]:
    login = await Login.active(renewable=False)
    login.clock.advance(UPSTREAM)
    return login, await login.use()


Ending = Callable[[], Awaitable[tuple[Login, OpenGrant | Refused]]]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (a_code_is_replayed, Reason.CODE_REPLAYED),
        (a_verifier_is_wrong, Reason.WRONG_VERIFIER),
        (the_client_revokes, Reason.CLIENT_REVOKED),
        (a_refresh_token_is_reused, Reason.REFRESH_REUSED),
        (the_session_is_over, Reason.SESSION_OVER),
        (the_provider_refuses_at_a_refresh, Reason.UPSTREAM_REFUSED),
        (the_provider_refuses_at_a_request, Reason.UPSTREAM_REFUSED),
        (the_tokens_end_at_a_refresh, Reason.UPSTREAM_EXPIRED),
        (the_tokens_end_at_a_request, Reason.UPSTREAM_EXPIRED),
    ],
)
async def test_whatever_ends_a_grant_its_tokens_are_reported_once(
    ending: Ending, reason: Reason
) -> None:
    login, outcome = await ending()
    assert outcome == Refused(reason)
    assert login.reported == ["a0"]
    # What is asked of it afterwards reports nothing.
    await redeem(login.vault, login.code)
    if login.secret:
        await login.revoke()
        await login.refresh(1)
        await login.use()
    assert login.reported == ["a0"]


async def test_a_refusal_that_ends_nothing_reports_nothing() -> None:
    login = await Login.active()
    assert await login.refresh(client=ClientId("another")) == Refused(Reason.WRONG_CLIENT)
    stranger = await login.vault.revocation.revoke(
        Handle(login.secret, 1, "access"), ClientId("another")
    )
    assert stranger == Refused(Reason.WRONG_CLIENT)
    assert login.reported == []


async def test_of_ten_revocations_at_once_one_reports() -> None:
    login = await Login.active()
    await asyncio.gather(*(login.revoke() for _ in range(10)))
    assert login.reported == ["a0"]


async def test_fifty_who_wait_for_a_refusal_of_the_provider_report_once() -> None:
    login = await Login.active()
    login.provider.error = UpstreamRefused("invalid_grant")
    login.clock.advance(UPSTREAM)
    outcomes = await asyncio.gather(*(login.use() for _ in range(50)))
    assert set(outcomes) == {Refused(Reason.UPSTREAM_REFUSED)}
    assert login.reported == ["a0"]


@pytest.mark.parametrize("waits", [True, False])
async def test_tokens_that_come_after_the_end_of_their_grant_are_reported_too(
    waits: bool,  # noqa: FBT001
) -> None:
    """They would live on at the provider, known to nobody: whether or not somebody waits."""
    login = await Login.active()
    login.provider.arrive.clear()
    login.clock.advance(UPSTREAM if waits else UPSTREAM - 40)
    asked = asyncio.create_task(login.use())
    await asyncio.sleep(0.01)
    assert asked.done() is not waits
    await login.revoke()
    assert login.reported == ["a0"]
    login.provider.arrive.set()
    await login.vault.drain()
    outcome = await asked
    assert isinstance(outcome, Refused) is waits
    assert login.reported == ["a0", "a1"]


async def test_tokens_that_come_after_an_operator_deleted_their_grant_are_reported() -> None:
    login = await Login.active()
    login.provider.arrive.clear()
    login.clock.advance(UPSTREAM)
    asked = asyncio.create_task(login.refresh())
    await asyncio.sleep(0.01)
    await login.store.delete(store_key(login.secret))
    login.provider.arrive.set()
    assert await asked == Refused(Reason.UNKNOWN)
    assert login.reported == ["a1"]


class TestARevocationWhoseAnswerWasLost:
    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stored_grants, "_FIRST_PAUSE", 0.001)

    async def test_reports_when_it_finds_out(self) -> None:
        login = await Login.active()
        login.store.losing = 1
        await login.revoke()
        assert login.reported == ["a0"]

    async def test_reports_when_somebody_asks_again(self) -> None:
        login = await Login.active()
        login.store.losing, login.store.dying = 1, True
        with pytest.raises(StoreUnavailable):
            await login.revoke()
        assert login.reported == []
        login.store.failing = 0
        login.clock.advance(3)
        for _ in range(2):
            assert await login.use() == Refused(Reason.REVOKED)
        assert login.reported == ["a0"]

    async def test_reports_nothing_if_it_was_not_written(self) -> None:
        login = await Login.active()
        login.store.failing = 100
        with pytest.raises(StoreUnavailable):
            await login.revoke()
        login.store.failing = 0
        login.clock.advance(3)
        assert isinstance(await login.use(), OpenGrant)
        assert login.reported == []
