"""Several vaults on one store, a provider that tells what it was asked, and logins on them."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mintage.errors import UpstreamRefused, UpstreamUnavailable
from mintage.grants.handles import Handle, parse_code
from mintage.grants.lease import Renewed
from mintage.grants.states import UpstreamTokens
from mintage.grants.transitions import Refreshment
from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.cache import GrantCache
from mintage.vault.values import Lifetimes, OpenGrant, Refused, Renew
from mintage.vault.vault import Vault
from tests.support.grant_states import upstream_of
from tests.support.logins import CLIENT, REDIRECT, RESOURCE, VERIFIER, new_code, redeem, vault_on
from tests.vault.reference import (
    CACHED,
    CODE,
    GRACE,
    MARGIN,
    REFRESH,
    UPSTREAM,
    Answer,
    Authenticate,
    Away,
    No,
    Open,
    Provider,
    Redeem,
    Refresh,
    Request,
    Revoke,
    Use,
)  # fmt: skip

LIFETIMES = Lifetimes(code=CODE, refresh=REFRESH, grace=GRACE, upstream_margin=MARGIN)
STRANGER = ClientId("another client")


@dataclass
class Family:
    """One login's tokens at a strict provider: each refresh token may be used once."""

    clock: ManualClock
    name: str
    renewable: bool
    until: int | None
    provider: Provider = "well"
    renewals: int = 0
    reused: bool = False
    failed_at: dict[int, float] = field(default_factory=dict)  # by replica
    reported: list[int] = field(default_factory=list)  # which of its tokens were to be revoked

    def tokens(self) -> UpstreamTokens:
        return UpstreamTokens(
            access_token=f"{self.name} {self.renewals}",
            refresh_token=f"{self.name} r{self.renewals}" if self.renewable else None,
            expires_at=self.until,
        )

    async def renew(self, replica: int, old: UpstreamTokens) -> Renewed:
        await asyncio.sleep(0)
        if self.provider == "away":
            self.failed_at[replica] = self.clock()
            raise UpstreamUnavailable("away")
        if self.provider == "refusing":
            raise UpstreamRefused("invalid_grant")
        self.reused |= old.refresh_token != self.tokens().refresh_token
        self.renewals += 1
        self.until = int(self.clock()) + UPSTREAM
        return Renewed(self.tokens())


@dataclass
class Subject:
    """A login as its client holds it."""

    code: str
    family: Family
    newest: int = 1  # the newest generation that any answer told of

    @property
    def secret(self) -> bytes:
        parsed = parse_code(self.code)
        assert parsed is not None
        return parsed[0]


@dataclass
class Replicas:
    """Open on one store until `close`; each vault listens to what the others change."""

    clock: ManualClock
    stores: list[Store]
    vaults: list[Vault]
    families: dict[str, Family]
    _listening: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)

    @classmethod
    async def open(cls, place: str, count: int = 3) -> Self:
        """On *place*: ``memory``, the path of a SQLite file, or a URL."""
        clock = ManualClock(int(time.time()) + 10**8)  # a server's own expiry never comes first
        stores: list[Store]
        if place == "memory":
            # One process: what is in memory is there for all.
            cache, store = GrantCache(clock=clock, ttl=CACHED), MemoryStore(clock=clock)
            stores, caches = [store] * count, [cache] * count
        else:
            stores = [await _opened(place, clock) for _ in range(count)]
            caches = [GrantCache(clock=clock, ttl=CACHED) for _ in range(count)]
        families: dict[str, Family] = {}

        def report(tokens: UpstreamTokens) -> None:
            families[_family(tokens)].reported.append(_number(tokens))

        def asked_by(replica: int) -> Renew:
            return lambda old, _: families[_family(old)].renew(replica, old)

        vaults = [
            vault_on(
                store,
                clock,
                renew=asked_by(number),
                ended=report,
                lifetimes=LIFETIMES,
                cache=cache,
            )
            for number, (store, cache) in enumerate(zip(stores, caches, strict=True))
        ]
        replicas = cls(clock, stores, vaults, families)
        for number in range(count):
            await replicas.listen(number)
        return replicas

    async def close(self) -> None:
        for number in range(len(self.vaults)):
            await self.listen(number, on=False)
        for store in self.stores:
            await store.close()

    async def listen(self, replica: int, *, on: bool = True) -> None:
        """Whether *replica* hears what the others change."""
        if on and replica not in self._listening:
            self._listening[replica] = asyncio.create_task(self.vaults[replica].watch())
        elif not on and (watcher := self._listening.pop(replica, None)) is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def create(self, replica: int, *, renewable: bool, expires: bool) -> Subject:
        until = int(self.clock()) + UPSTREAM if expires else None
        family = Family(self.clock, secrets.token_hex(8), renewable, until)
        self.families[family.name] = family
        code = await new_code(
            self.vaults[replica], family.name, at=int(self.clock()), upstream=family.tokens()
        )
        return Subject(code, family)

    async def ask(self, replica: int, subject: Subject, request: Request) -> Answer:
        """What *replica* answers, in the model's words."""
        family = subject.family
        try:
            answer = _told(await self._ask(self.vaults[replica], subject, request))
        except UpstreamUnavailable:
            return Away()
        assert not family.reused, "a refresh token of the provider was used twice"
        if isinstance(answer, Open):
            subject.newest = max(subject.newest, answer.generation)
        return answer

    async def _ask(self, vault: Vault, subject: Subject, request: Request) -> OpenGrant | Refused:
        access = Handle(subject.secret, subject.newest, "access")
        match request:
            case Redeem(fault=fault):
                return await redeem(
                    vault,
                    _other_code(subject.code) if fault == "code" else subject.code,
                    STRANGER if fault == "client" else CLIENT,
                    verifier="w" * 43 if fault == "verifier" else VERIFIER,
                    redirect_uri="https://evil.example/" if fault == "redirect_uri" else REDIRECT,
                    resource="https://evil.example/" if fault == "resource" else None,
                )
            case Refresh(generation=generation, fault=fault):
                wanted = Refreshment(
                    client_id=STRANGER if fault == "client" else CLIENT,
                    generation=generation,
                    scopes=("tools", "more") if fault == "scope" else None,
                    resource="https://evil.example/" if fault == "resource" else RESOURCE,
                )
                return await vault.rotate(subject.secret, wanted)
            case Revoke(fault=fault):
                return await vault.revocation.revoke(
                    access, STRANGER if fault == "client" else CLIENT
                )
            case Authenticate():
                return await vault.live.authenticate(access)
            case Use():
                outcome = await vault.live.authenticate(access)
                if isinstance(outcome, Refused):
                    return outcome
                return await vault.with_fresh_upstream(outcome)


async def _opened(place: str, clock: ManualClock) -> Store:
    if "://" in place:
        return await open_store(place, clock=clock)
    return await SQLiteStore.open(Path(place), clock=clock, poll=0.002)


def _told(outcome: OpenGrant | Refused) -> Answer:
    if isinstance(outcome, OpenGrant):
        return Open(outcome.grant.generation, _number(upstream_of(outcome.grant)))
    return No(outcome.reason)


def _family(tokens: UpstreamTokens) -> str:
    return tokens.access_token.partition(" ")[0]


def _number(tokens: UpstreamTokens) -> int:
    return int(tokens.access_token.partition(" ")[2])


def _other_code(code: str) -> str:
    """The same grant's secret, another code."""
    return code[:30] + ("A" if code[30] != "A" else "B") + code[31:]
