"""What a process keeps of a grant in memory: all that a request needs, and no more of the provider.

The provider's refresh token is in the store alone. Whatever needs it reads it there.
"""

import pytest
from msgspec.structs import replace

from mintage.crypto.sealing import BoxKey
from mintage.grants import records
from mintage.grants.lease import Renewed
from mintage.grants.records import Head
from mintage.grants.states import Identity, UpstreamTokens, in_memory
from mintage.grants.transitions import Write
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.cache import GrantCache
from mintage.vault.values import OpenGrant
from tests.support.grant_states import upstream_of
from tests.support.logins import NEW, logged_in, use, vault_on

TOKENS = UpstreamTokens(access_token="a0", refresh_token="r0", expires_at=3_000_000_600)


class Process:
    """One with a cache, on *store*. *asked*, *reported*: the provider's tokens that it used."""

    def __init__(self, store: MemoryStore, clock: ManualClock) -> None:
        self.asked: list[UpstreamTokens] = []
        self.reported: list[UpstreamTokens] = []
        self.vault = vault_on(
            store,
            clock,
            renew=self._renew,
            ended=self.reported.append,
            cache=GrantCache(clock=clock),
        )

    async def _renew(self, tokens: UpstreamTokens, _: Identity) -> Renewed:
        self.asked.append(tokens)
        return Renewed(replace(TOKENS, access_token="a1", refresh_token="r1", expires_at=None))

    async def cached(self, opened: OpenGrant) -> OpenGrant:
        for _ in range(2):
            found = await use(self.vault, opened)
        assert isinstance(found, OpenGrant)
        return found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(3_000_000_000)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def process(store: MemoryStore, clock: ManualClock) -> Process:
    return Process(store, clock)


async def test_it_has_no_refresh_token_of_the_provider(process: Process) -> None:
    opened = await logged_in(process.vault, upstream=TOKENS)
    upstream = upstream_of((await process.cached(opened)).grant)
    assert (upstream.access_token, upstream.refresh_token) == ("a0", None)
    assert upstream.renewable


async def test_one_without_such_a_token_is_not_renewable(process: Process) -> None:
    alone = replace(TOKENS, refresh_token=None)
    opened = await logged_in(process.vault, upstream=alone)
    assert upstream_of((await process.cached(opened)).grant) == alone
    assert not alone.renewable


async def test_its_renewal_sends_the_stored_token(process: Process, clock: ManualClock) -> None:
    opened = await logged_in(process.vault, upstream=TOKENS)
    clock.advance(600)
    found = await process.cached(opened)
    renewed = await process.vault.with_fresh_upstream(found)
    assert isinstance(renewed, OpenGrant)
    assert upstream_of(renewed.grant).access_token == "a1"
    assert [tokens.refresh_token for tokens in process.asked] == ["r0"]


async def test_whoever_ends_it_in_a_list_has_its_refresh_token_revoked(process: Process) -> None:
    opened = await logged_in(process.vault, upstream=TOKENS)
    await process.cached(opened)
    [listed] = [grant async for grant in process.vault.listing.find()]
    await process.vault.revocation.end(listed)
    assert [tokens.refresh_token for tokens in process.reported] == ["r0"]


async def test_they_are_the_newest_tokens_that_are_revoked_then(
    store: MemoryStore, clock: ManualClock, process: Process
) -> None:
    """Another process has renewed them, and this one has not heard of it yet."""
    opened = await logged_in(process.vault, upstream=TOKENS)
    clock.advance(600)
    await process.cached(opened)
    other = Process(store, clock)
    await other.vault.with_fresh_upstream(await other.cached(opened))
    [listed] = [grant async for grant in process.vault.listing.find()]
    await process.vault.revocation.end(listed)
    assert [tokens.refresh_token for tokens in process.reported] == ["r1"]


async def test_it_is_never_written(process: Process) -> None:
    """The refresh token would be lost, and with it the login."""
    opened = await logged_in(process.vault, upstream=TOKENS)
    found = await process.cached(opened)
    with pytest.raises(ValueError, match="refresh token would be lost"):
        records.encode(
            found.grant,
            head=Head.make(NEW.id, NEW.id),
            key=BoxKey(NEW.seal),
            store_key=b"k",
            nonce=bytes(12),
        )
    with pytest.raises(ValueError, match="refresh token would be lost"):
        await process.vault._grants.change(opened.secret, lambda _: Write(found.grant))


def test_what_is_in_memory_already_stays_as_it_is() -> None:
    assert in_memory(in_memory(TOKENS)) == in_memory(TOKENS) != TOKENS
