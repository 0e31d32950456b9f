"""One login on a vault and a provider that do as they are told."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from mintage.grants.handles import Handle
from mintage.grants.lease import Renewed
from mintage.grants.states import Active, Identity, UpstreamTokens
from mintage.grants.transitions import Refreshment
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.values import Lifetimes, OpenGrant, Prepare, Refused
from mintage.vault.vault import Vault, no_answer
from tests.support.faulty_store import FaultyStore
from tests.support.logins import CLIENT, new_code, redeem, vault_on

UPSTREAM = 600  # seconds that the provider's tokens live


@dataclass
class Provider:
    """It gives the tokens a1, a2, … once `arrive` is set, or raises *error*.

    *answers*: whether it says who the user is by now.
    """

    clock: ManualClock
    given: int = 0
    asked: int = 0
    error: Exception | None = None
    answers: bool = True
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
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.given += 1
        return Renewed(self.tokens(), answered=self.answers)


@dataclass
class Login:
    """One login on a vault of its own, and what was reported."""

    clock: ManualClock
    store: FaultyStore
    provider: Provider
    vault: Vault = field(init=False)
    reported: list[str] = field(default_factory=list)
    code: str = ""
    secret: bytes = b""

    @classmethod
    async def make(cls, *, renewable: bool = True, **lifetimes: int) -> Self:
        """A code that was not redeemed yet."""
        clock = ManualClock()
        self = cls(clock, FaultyStore(clock), Provider(clock, renewable=renewable))
        self.vault = self.another_vault(**lifetimes)
        upstream = self.provider.tokens()
        self.code = await new_code(self.vault, at=int(clock()), upstream=upstream)
        return self

    @classmethod
    async def active(cls, *, renewable: bool = True, **lifetimes: int) -> Self:
        self = await cls.make(renewable=renewable, **lifetimes)
        opened = await redeem(self.vault, self.code)
        assert isinstance(opened, OpenGrant)
        self.secret = opened.secret
        return self

    async def refresh(
        self, generation: int = 1, client: ClientId = CLIENT, prepare: Prepare = no_answer
    ) -> OpenGrant | Refused:
        request = Refreshment(client_id=client, generation=generation, scopes=None, resource=None)
        return await self.vault.rotate(self.secret, request, prepare)

    async def revoke(self) -> Refused:
        return await self.vault.revocation.revoke(Handle(self.secret, 1, "access"), CLIENT)

    async def use(self) -> OpenGrant | Refused:
        """What the gateway does for a request that needs the upstream token."""
        opened = await self.vault.live.authenticate(Handle(self.secret, 1, "access"))
        if isinstance(opened, Refused):
            return opened
        return await self.vault.with_fresh_upstream(opened)

    def another_vault(self, **lifetimes: int) -> Vault:
        """On the same store, with the same provider: another process."""
        return vault_on(
            self.store,
            self.clock,
            renew=self.provider.renew,
            ended=lambda tokens: self.reported.append(tokens.access_token),
            lifetimes=Lifetimes(**lifetimes),
        )

    async def stored(self) -> Active:
        """The grant as the store has it."""
        found = await self.vault._grants.load(self.secret)
        assert found is not None
        assert isinstance(found[1], Active)
        return found[1]
