"""The vault reports the upstream tokens of every grant that ends: each once, and no others."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

import pytest

from mintage.errors import StoreUnavailable, UpstreamRefused
from mintage.grants.handles import Handle, store_key
from mintage.grants.lease import Renewed
from mintage.grants.pkce import s256
from mintage.grants.states import Consent, Identity, Reason, UpstreamTokens
from mintage.grants.transitions import Refreshment
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault import sealed
from mintage.vault.values import Lifetimes, Opened, Refused
from mintage.vault.vault import Vault
from tests.support.faulty_store import FaultyStore
from tests.support.logins import CLIENT, VERIFIER, redeem, vault_on

UPSTREAM = 600  # seconds that the provider's tokens live


@dataclass
class Provider:
    """It gives a1, a2, …, and says no to one refresh token that is *refused*."""

    clock: ManualClock
    given: int = 0
    refused: bool = False
    renewable: bool = True
    arrive: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.arrive.set()

    def tokens(self) -> UpstreamTokens:
        return UpstreamTokens(
            access_token=f"a{self.given}",
            refresh_token=f"r{self.given}" if self.renewable else None,
            expires_at=int(self.clock()) + UPSTREAM,
        )

    async def renew(self, _: UpstreamTokens, __: Identity) -> Renewed:
        await self.arrive.wait()
        if self.refused:
            raise UpstreamRefused("invalid_grant")
        self.given += 1
        return Renewed(self.tokens())


@dataclass
class Login:
    """One login on a vault of its own, and what was reported."""

    clock: ManualClock
    store: FaultyStore
    provider: Provider
    vault: Vault
    reported: list[str]
    code: str = ""
    secret: bytes = b""

    @classmethod
    async def make(cls, *, session: int | None = None, renewable: bool = True) -> Self:
        clock = ManualClock()
        store, provider = FaultyStore(clock), Provider(clock, renewable=renewable)
        reported: list[str] = []
        vault = vault_on(
            store,
            clock,
            renew=provider.renew,
            ended=lambda tokens: reported.append(tokens.access_token),
            lifetimes=Lifetimes(session=session),
        )
        self = cls(clock, store, provider, vault, reported)
        consent = Consent(
            client_id=CLIENT,
            resource="https://auth.example/mcp",
            scopes=("tools",),
            identity=Identity(issuer="https://idp.example", subject="alice"),
            created_at=int(clock()),
        )
        self.code = await vault.create(
            consent,
            provider.tokens(),
            code_challenge=s256(VERIFIER),
            redirect_uri="https://app.example/cb",
        )
        return self

    @classmethod
    async def active(cls, *, session: int | None = None, renewable: bool = True) -> Self:
        self = await cls.make(session=session, renewable=renewable)
        opened = await redeem(self.vault, self.code)
        assert isinstance(opened, Opened)
        self.secret = opened.secret
        return self

    async def refresh(self, generation: int = 1, client: ClientId = CLIENT) -> Opened | Refused:
        request = Refreshment(client_id=client, generation=generation, scopes=None, resource=None)
        return await self.vault.rotate(self.secret, request)

    async def revoke(self) -> Refused:
        return await self.vault.revoke(Handle(self.secret, 1, "access"), CLIENT)

    async def use(self) -> Opened | Refused:
        """What the gateway does for a request that needs the upstream token."""
        opened = await self.vault.authenticate(Handle(self.secret, 1, "access"))
        if isinstance(opened, Refused):
            return opened
        return await self.vault.with_fresh_upstream(opened)


async def a_code_is_replayed() -> tuple[Login, Opened | Refused]:
    login = await Login.active()
    return login, await redeem(login.vault, login.code)


async def a_verifier_is_wrong() -> tuple[Login, Opened | Refused]:
    login = await Login.make()
    return login, await redeem(login.vault, login.code, verifier="w" * 43)


async def the_client_revokes() -> tuple[Login, Opened | Refused]:
    login = await Login.active()
    return login, await login.revoke()


async def a_refresh_token_is_reused() -> tuple[Login, Opened | Refused]:
    login = await Login.active()
    for generation in (1, 2):
        assert isinstance(await login.refresh(generation), Opened)
    return login, await login.refresh(1)


async def the_session_is_over() -> tuple[Login, Opened | Refused]:
    login = await Login.active(session=100)
    login.clock.advance(100)
    return login, await login.refresh()


async def the_provider_refuses_at_a_refresh() -> tuple[Login, Opened | Refused]:
    login = await Login.active()
    login.provider.refused = True
    login.clock.advance(UPSTREAM)
    return login, await login.refresh()


async def the_provider_refuses_at_a_request() -> tuple[Login, Opened | Refused]:
    login = await Login.active()
    login.provider.refused = True
    login.clock.advance(UPSTREAM)
    return login, await login.use()


async def the_tokens_end_at_a_refresh() -> tuple[Login, Opened | Refused]:
    login = await Login.active(renewable=False)
    login.clock.advance(UPSTREAM)
    return login, await login.refresh()


async def the_tokens_end_at_a_request() -> tuple[Login, Opened | Refused]:
    login = await Login.active(renewable=False)
    login.clock.advance(UPSTREAM)
    return login, await login.use()


Ending = Callable[[], Awaitable[tuple[Login, Opened | Refused]]]


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
    stranger = await login.vault.revoke(Handle(login.secret, 1, "access"), ClientId("another"))
    assert stranger == Refused(Reason.WRONG_CLIENT)
    assert login.reported == []


async def test_of_ten_revocations_at_once_one_reports() -> None:
    login = await Login.active()
    await asyncio.gather(*(login.revoke() for _ in range(10)))
    assert login.reported == ["a0"]


async def test_fifty_who_wait_for_a_refusal_of_the_provider_report_once() -> None:
    login = await Login.active()
    login.provider.refused = True
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
        monkeypatch.setattr(sealed, "_FIRST_PAUSE", 0.001)

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
        assert isinstance(await login.use(), Opened)
        assert login.reported == []
