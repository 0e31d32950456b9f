"""Grants for which nobody logs in: issued, spent once, listed, ended, and never refreshed."""

import asyncio
from pathlib import Path

import pytest

from mintage.errors import AccessDenied, StoreUnavailable
from mintage.events.grants import GrantEnded
from mintage.grants.handles import Handle, store_key
from mintage.grants.states import Consent, Identity, Reason, UpstreamTokens
from mintage.grants.transitions import Refreshment
from mintage.resource.upstream_token import upstream_token
from mintage.stores.sqlite import SQLiteStore
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.direct_grants import Once
from mintage.vault.values import CLOCK_LEEWAY, OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.faulty_store import FOREVER, FaultyStore
from tests.support.logins import CLIENT, IDP, NEW, OLD, RESOURCE, logged_in, use, vault_on

NOW = 1_000_000
HOUR = 3600
ONCE = Once(b"an assertion", NOW + 300)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(clock: ManualClock) -> FaultyStore:
    return FaultyStore(clock)


@pytest.fixture
def reported() -> list[UpstreamTokens]:
    return []


@pytest.fixture
def vault(store: FaultyStore, clock: ManualClock, reported: list[UpstreamTokens]) -> Vault:
    return vault_on(store, clock, ended=reported.append)


def consent(user: str = "alice", client: ClientId = CLIENT, *, machine: bool = False) -> Consent:
    return Consent(
        client_id=client,
        resource=RESOURCE,
        scopes=("tools",),
        identity=Identity(issuer=IDP, subject=user, machine=machine),
        created_at=NOW,
    )


async def issue(vault: Vault, **more: object) -> OpenGrant:
    issued = await vault.direct.issue(consent(), ends_at=NOW + HOUR, **more)  # type: ignore[arg-type]
    assert isinstance(issued, OpenGrant)
    return issued


async def listed(vault: Vault) -> list[str]:
    return [grant.id async for grant in vault.listing.find()]


async def test_it_is_a_grant_like_any_other_until_it_ends(
    vault: Vault, store: FaultyStore, clock: ManualClock
) -> None:
    opened = await issue(vault)
    again = await use(vault_on(store, clock), opened)
    assert isinstance(again, OpenGrant)
    assert (again.grant.upstream, again.grant.ends_at) == (None, NOW + HOUR)
    (found,) = [grant async for grant in vault.listing.find(subject=(IDP, "alice"))]
    assert found.summary is not None
    assert (found.summary.ends_at, vault.lifetimes.lasts_until(found)) == (NOW + HOUR, NOW + HOUR)
    clock.advance(HOUR + CLOCK_LEEWAY - 1)
    assert isinstance(await use(vault, opened), OpenGrant)
    clock.advance(1)
    assert await use(vault, opened) == Refused(Reason.SESSION_OVER)
    assert await listed(vault) == []
    assert await store.load(store_key(opened.secret)) is None, "it leaves the store by itself"


async def test_nothing_refreshes_it(vault: Vault) -> None:
    """RFC 6749 §4.4.3: no refresh token. A forged generation finds nothing to renew either."""
    opened = await issue(vault)
    request = Refreshment(client_id=CLIENT, generation=1, scopes=None, resource=None)
    outcome = await vault.rotate(opened.secret, request)
    assert isinstance(outcome, OpenGrant)
    assert outcome.grant.ends_at == NOW + HOUR, "a refresh would not have made it live longer"


async def test_its_upstream_token_is_refused_and_never_empty(
    vault: Vault, reported: list[UpstreamTokens]
) -> None:
    opened = await issue(vault)
    assert await vault.with_fresh_upstream(opened) == opened
    with pytest.raises(AccessDenied, match="nobody logged in"):
        await upstream_token(opened, vault)
    outcome = await vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)
    assert outcome == Refused(Reason.CLIENT_REVOKED)
    assert reported == [], "there is nothing to revoke at a provider"


async def test_each_way_to_end_a_grant_ends_it(
    store: FaultyStore, clock: ManualClock, reported: list[UpstreamTokens]
) -> None:
    """By its client, from a list, by a logout at the provider that asserted who it is."""
    events: list[object] = []
    vault = vault_on(store, clock, ended=reported.append, emit=events.append)
    elsewhere = vault_on(store, clock, ended=reported.append)
    opened = [await issue(vault) for _ in range(3)]
    await vault.revocation.revoke(Handle(opened[0].secret, 1, "access"), CLIENT)
    found = await vault.listing.get(opened[1].party().grant or "")
    assert found is not None
    await vault.revocation.end(found)
    ended = await vault.revocation.end_at_provider(IDP, subject="alice", sid=None)
    assert [grant.id for grant in ended] == [opened[2].party().grant]
    for each in opened:
        assert isinstance(await use(vault, each), Refused)
        assert isinstance(await use(elsewhere, each), Refused)
    reasons = [event.by for event in events if isinstance(event, GrantEnded)]
    assert reasons == ["client", "operator", "provider"]
    assert reported == []


async def test_an_ended_one_leaves_no_record_beyond_its_token(
    vault: Vault, store: FaultyStore, clock: ManualClock
) -> None:
    """Its one token is refused until it would have ended; a month more would fill the store."""
    opened = await issue(vault)
    await vault.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)
    clock.advance(HOUR + CLOCK_LEEWAY - 1)
    assert await store.load(store_key(opened.secret)) is not None
    clock.advance(1)
    assert await store.load(store_key(opened.secret)) is None


async def test_many_copies_of_a_program_do_not_end_each_other(
    store: FaultyStore, clock: ManualClock
) -> None:
    """`max_grants` counts logins. A login of the same user counts none of these either."""
    vault = vault_on(store, clock, max_grants=3)
    login = await logged_in(vault, "alice", at=NOW)
    copies = [await issue(vault) for _ in range(25)]
    await logged_in(vault, "alice", at=NOW)
    for each in (login, *copies):
        assert isinstance(await use(vault, each), OpenGrant)


async def test_what_it_is_issued_for_is_spent_once(vault: Vault, store: FaultyStore) -> None:
    await issue(vault, once=ONCE)
    writes = store.writes
    again = await vault.direct.issue(consent(), ends_at=NOW + HOUR, once=ONCE)
    assert again == Refused(Reason.ASSERTION_REPLAYED)
    assert store.writes == writes, "a replay costs no write"
    assert len(await listed(vault)) == 1


async def test_attack_f05_ten_at_once_on_eight_replicas_make_one_grant(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The losers leave no grant behind, either."""
    stores = [await SQLiteStore.open(tmp_path / "db", clock=clock) for _ in range(8)]
    try:
        vaults = [vault_on(store, clock) for store in stores]
        outcomes = await asyncio.gather(
            *(
                vault.direct.issue(consent(), ends_at=NOW + HOUR, once=ONCE)
                for vault in vaults
                for _ in range(10)
            )
        )
        (winner,) = [one for one in outcomes if isinstance(one, OpenGrant)]
        assert {one.reason for one in outcomes if isinstance(one, Refused)} == {
            Reason.ASSERTION_REPLAYED
        }
        assert await listed(vaults[0]) == [winner.party().grant]
    finally:
        for store in stores:
            await store.close()


class Unprepared(Exception):
    """No response can be made."""


async def test_nothing_is_spent_if_the_response_cannot_be_made(vault: Vault) -> None:
    def fail(_: OpenGrant) -> None:
        raise Unprepared

    with pytest.raises(Unprepared):
        await issue(vault, once=ONCE, prepare=fail)
    assert await listed(vault) == []
    await issue(vault, once=ONCE)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault does not pause between its attempts."""
    monkeypatch.setattr("mintage.vault.stored_grants._FIRST_PAUSE", 0.0)
    monkeypatch.setattr("mintage.vault.stored_grants._LONGEST_PAUSE", 0.0)


@pytest.mark.usefixtures("hurried")
async def test_nothing_is_lost_while_the_store_is_down(vault: Vault, store: FaultyStore) -> None:
    """Neither before the grant nor between the grant and the claim."""
    store.failing = FOREVER
    with pytest.raises(StoreUnavailable):
        await issue(vault, once=ONCE)
    store.failing = 0
    fail_after_the_grant = FailingClaims(store)
    with pytest.raises(StoreUnavailable):
        await issue(vault, once=ONCE)
    fail_after_the_grant.over()
    assert await listed(vault) == [], "the grant of which nobody has a token is gone"
    await issue(vault, once=ONCE)


class FailingClaims:
    """Writes of claims fail until `over`; *done*: after they were made."""

    def __init__(self, store: FaultyStore, *, done: bool = False) -> None:
        self._store, self._insert = store, store.insert

        async def insert(key: bytes, record: bytes, index: object, expires_at: int) -> None:
            if index is not None:
                await self._insert(key, record, index, expires_at)
                return
            if done and await store.load(key) is None:
                await self._insert(key, record, index, expires_at)
            raise StoreUnavailable("no connection")

        store.insert = insert  # type: ignore[method-assign]

    def over(self) -> None:
        self._store.insert = self._insert  # type: ignore[method-assign]


@pytest.mark.usefixtures("hurried")
async def test_a_claim_whose_answer_was_lost_is_found_again_and_only_once(
    vault: Vault, store: FaultyStore, clock: ManualClock
) -> None:
    """The client got 503 and sends the same again: it is no replay. Ten times: one grant."""
    lost = FailingClaims(store, done=True)
    with pytest.raises(StoreUnavailable):
        await issue(vault, once=ONCE)
    lost.over()
    elsewhere = await vault_on(store, clock).direct.issue(consent(), ends_at=NOW + HOUR, once=ONCE)
    assert elsewhere == Refused(Reason.ASSERTION_REPLAYED), "another process can't know"
    outcomes = await asyncio.gather(
        *(vault.direct.issue(consent(), ends_at=NOW + HOUR, once=ONCE) for _ in range(10))
    )
    assert sum(isinstance(one, OpenGrant) for one in outcomes) == 1
    assert len(await listed(vault)) == 1


async def test_who_logged_out_after_the_assertion_is_refused(
    vault: Vault, clock: ManualClock
) -> None:
    await vault.revocation.end_at_provider(IDP, subject="alice", sid=None)
    clock.advance(10)
    late = await vault.direct.issue(consent(), ends_at=NOW + HOUR, asserted_at=NOW - 5, once=ONCE)
    assert late == Refused(Reason.LOGGED_OUT)
    assert await listed(vault) == []
    assert not await vault.single_use.is_claimed(ONCE.name), (
        "the logout is the reason, and stays it"
    )
    fresh = await vault.direct.issue(consent(), ends_at=NOW + HOUR, asserted_at=NOW + 5)
    assert isinstance(fresh, OpenGrant)


async def test_a_machine_is_no_user_of_a_provider(vault: Vault, store: FaultyStore) -> None:
    """It costs one write and no read, and no logout of a user of its name ends it."""
    before = store.seen.copy()
    issued = await vault.direct.issue(consent("bot", machine=True), ends_at=NOW + HOUR)
    assert isinstance(issued, OpenGrant)
    assert store.seen - before == {"insert": 1}


async def test_it_survives_the_replacement_of_the_secret(
    store: FaultyStore, clock: ManualClock
) -> None:
    opened = await issue(vault_on(store, clock, OLD))
    newer = vault_on(store, clock, NEW, former_keys=[OLD])
    found = await use(newer, opened)
    assert isinstance(found, OpenGrant)
    await newer.revocation.revoke(Handle(opened.secret, 1, "access"), CLIENT)
    assert isinstance(await use(newer, opened), Refused)
