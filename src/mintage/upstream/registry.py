"""One identity provider, or several at once. Each login belongs to one provider for ever.

Logins at different providers must never be mixed up. Each provider has a callback of its own (RFC
9700 §4.4.2.2), and its name is put in front of its users' subjects: otherwise the user ``7`` of one
would be the user ``7`` of the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import UpstreamMisbehaved, UpstreamUnavailable
from mintage.grants.lease import Renewed
from mintage.grants.machines import RESERVED
from mintage.grants.states import Identity, UpstreamTokens
from mintage.partly_shown import PartlyShown
from mintage.upstream.logout_token import LogoutToken
from mintage.upstream.protocol import Exchange, IdJag, Judge, LoginRequest, UpstreamClient
from mintage.upstream.upstream import Upstream

_MAX_ISSUERS: Final = 1000  # a provider of many tenants has an issuer for each
_MAX_SUBJECTS: Final = 1000  # whose provider is remembered: each event of theirs names it


class RegisteredUpstream(PartlyShown, frozen=True):
    """A provider among others, which serves only its own logins.

    *client* asks it. *others*: the names of the other providers.
    """

    not_shown = ("client",)

    upstream: Upstream
    client: UpstreamClient
    others: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its name in URLs and subjects."""
        return self.upstream.name

    @property
    def title(self) -> str:
        """Its name on pages."""
        return self.upstream.title

    @property
    def callback(self) -> str:
        """The path of its callback, below the issuer."""
        return self.upstream.callback

    @property
    def prefix(self) -> str:
        """What is put in front of its users' subjects."""
        return "" if self.upstream.legacy_default else f"{self.name}|"

    def owns(self, tokens: UpstreamTokens) -> bool:
        """Whether it issued *tokens*, and not another provider that had its name before."""
        return tokens.provider == self._mark and self.upstream.issued(tokens.issuer)

    def expects(self, login_hint: str | None) -> bool:
        """Whether the hint is an address in one of its domains."""
        domain = (login_hint or "").rpartition("@")[2].lower()
        return domain in self.upstream.domains

    async def authorization_url(self, login: LoginRequest) -> str:
        return await self.client.authorization_url(login)

    async def check_issuer(self, iss: str | None) -> None:
        await self.client.check_issuer(iss)

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        tokens, who = await self.client.redeem(code, login, now=now)
        # Without a prefix of its own it could speak of another's user.
        named = who.subject.partition("|")[0]
        if not self.prefix and (named in self.others or named in RESERVED):
            raise UpstreamMisbehaved("its subject reads like one of another provider")
        return self._marked(tokens), self._known(who)

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        asked = None if judge is None else lambda who, complete: judge(self._known(who), complete)
        renewed = await self.client.refresh(tokens, now=now, judge=asked)
        return replace(renewed, tokens=self._marked(renewed.tokens))

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        return await self.client.exchange(tokens, wanted, now=now)

    async def id_jag(self, tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> str:
        return await self.client.id_jag(tokens, wanted, now=now)

    def revoke(self, tokens: UpstreamTokens) -> Awaitable[None]:
        return self.client.revoke(tokens)

    async def logout_url(self, back: str) -> str | None:
        return await self.client.logout_url(back)

    async def read_logout(self, token: str, *, now: int) -> LogoutToken:
        told = await self.client.read_logout(token, now=now)
        subject = None if told.subject is None else self.prefix + told.subject
        return replace(told, subject=subject)

    async def check(self) -> None:
        await self.client.check()

    async def close(self) -> None:
        await self.client.close()

    @property
    def _mark(self) -> str | None:
        return None if self.upstream.legacy_default else self.name

    def _known(self, who: Identity) -> Identity:
        return replace(who, subject=self.prefix + who.subject)

    def _marked(self, tokens: UpstreamTokens) -> UpstreamTokens:
        return replace(tokens, provider=self._mark)


class Upstreams:
    """All of them, in the order of the configuration.

    *reserved*: names of others, with which no subject of theirs may begin.
    """

    def __init__(
        self,
        clients: Sequence[tuple[Upstream, UpstreamClient]],
        *,
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        names = frozenset(upstream.name for upstream, _ in clients) | reserved
        self._all = tuple(
            RegisteredUpstream(upstream, client, names - {upstream.name})
            for upstream, client in clients
        )
        self._by_name = {one.name: one for one in self._all}
        self._unprefixed = next((one for one in self._all if not one.prefix), None)
        self._owners: BoundedMemory[tuple[str | None, str | None], RegisteredUpstream | None] = (
            BoundedMemory(_MAX_ISSUERS)
        )
        self.name_of: Callable[[str], str | None] = lru_cache(_MAX_SUBJECTS)(self._name_of)
        """The name of the provider of a user with this subject here; None for a machine."""

    def __iter__(self) -> Iterator[RegisteredUpstream]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def find(self, name: str) -> RegisteredUpstream | None:
        """The provider of that name."""
        return self._by_name.get(name)

    def _name_of(self, subject: str) -> str | None:
        first = subject.partition("|")[0]
        if first in RESERVED:
            return None
        named = self._by_name.get(first)
        if named is None or not named.prefix:
            named = self._unprefixed
        return None if named is None else named.name

    def issued(self, tokens: UpstreamTokens) -> bool:
        """Whether one of them issued *tokens*. It is called for each request that needs a token."""
        return self.owner(tokens) is not None

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        """As `UpstreamClient.refresh`, at the provider that issued *tokens*."""
        return await self._owner(tokens).refresh(tokens, now=now, judge=judge)

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        """As `UpstreamClient.exchange`, at the provider that issued *tokens*."""
        return await self._owner(tokens).exchange(tokens, wanted, now=now)

    async def id_jag(self, tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> str:
        """As `UpstreamClient.id_jag`, at the provider that issued *tokens*."""
        return await self._owner(tokens).id_jag(tokens, wanted, now=now)

    def revoke(self, tokens: UpstreamTokens) -> Awaitable[None]:
        """As `UpstreamClient.revoke`, at the provider that issued *tokens*."""
        return self._owner(tokens).revoke(tokens)

    def owner(self, tokens: UpstreamTokens) -> RegisteredUpstream | None:
        """The provider that issued *tokens*, if it is configured."""
        key = tokens.provider, tokens.issuer
        if key not in self._owners:
            self._owners[key] = next((one for one in self._all if one.owns(tokens)), None)
        return self._owners[key]

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self._all))

    def _owner(self, tokens: UpstreamTokens) -> RegisteredUpstream:
        if (owner := self.owner(tokens)) is not None:
            return owner
        # It may have been taken out by mistake: no reason to end logins.
        name = tokens.provider or tokens.issuer
        raise UpstreamUnavailable(f"the provider of this login is not configured: {name}")
