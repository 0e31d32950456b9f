"""Replacing the root secret: nobody is logged out, and what moves on is told exactly."""

import secrets

import pytest
from msgspec.structs import replace

from mintage.crypto.sealing import record_key, seal
from mintage.errors import StoreUnavailable
from mintage.grants import handles, records
from mintage.grants.handles import Handle
from mintage.grants.records import Head
from mintage.grants.states import Lease
from mintage.grants.transitions import Write
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.values import OpenGrant, VaultKeys
from tests.support.logins import (
    CLIENT,
    IDP,
    NEW,
    OLD,
    logged_in,
    new_code,
    redeem,
    rotate,
    use,
    vault_on,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


async def head_of(store: MemoryStore, opened: OpenGrant) -> Head:
    found = await store.load(handles.store_key(opened.secret))
    assert found is not None
    return Head.of(found.record)


async def test_a_grant_moves_to_the_secret_in_use_when_it_is_next_written(
    store: MemoryStore, clock: ManualClock
) -> None:
    opened = await logged_in(vault_on(store, clock, OLD))
    after = vault_on(store, clock, NEW, former_keys=[OLD])
    assert isinstance(await use(after, opened), OpenGrant)
    assert await head_of(store, opened) == Head.make(OLD.id, OLD.id)
    assert isinstance(await rotate(after, opened), OpenGrant)
    assert await head_of(store, opened) == Head.make(NEW.id, NEW.id)
    alone = vault_on(store, clock, NEW)
    assert isinstance(await use(alone, opened), OpenGrant)


async def test_a_code_from_before_is_redeemed_after(store: MemoryStore, clock: ManualClock) -> None:
    code = await new_code(vault_on(store, clock, OLD))
    assert isinstance(await redeem(vault_on(store, clock, NEW, former_keys=[OLD]), code), OpenGrant)


async def test_a_write_without_new_tokens_does_not_pretend_that_they_were_signed_anew(
    store: MemoryStore, clock: ManualClock
) -> None:
    """The client still holds tokens under the old secret after only the upstream was asked."""
    opened = await logged_in(vault_on(store, clock, OLD))
    after = vault_on(store, clock, NEW, former_keys=[OLD])
    renewed = replace(opened.grant, lease=Lease(b"holder", 0))
    await after._grants.change(opened.secret, lambda _: Write(renewed))
    assert await head_of(store, opened) == Head.make(NEW.id, OLD.id)


async def test_a_record_under_a_secret_that_is_not_configured_is_an_outage_not_a_refusal(
    store: MemoryStore, clock: ManualClock
) -> None:
    opened = await logged_in(vault_on(store, clock, OLD))
    alone = vault_on(store, clock, NEW)
    for call in (use(alone, opened), rotate(alone, opened)):
        with pytest.raises(StoreUnavailable, match=OLD.id.hex()):
            await call
    other = await logged_in(alone, "bob")  # it is nobody else's trouble
    assert isinstance(await use(alone, other), OpenGrant)
    assert isinstance(await use(vault_on(store, clock, NEW, former_keys=[OLD]), opened), OpenGrant)


async def test_lists_find_grants_from_before_and_after(
    store: MemoryStore, clock: ManualClock
) -> None:
    before = vault_on(store, clock, OLD)
    first, second = await logged_in(before), await logged_in(before)
    after = vault_on(store, clock, NEW, former_keys=[OLD])
    await rotate(after, second)
    third = await logged_in(after)
    keys = {handles.store_key(opened.secret) for opened in (first, second, third)}
    for found in (
        after.listing.find(),
        after.listing.find(subject=(IDP, "alice")),
        after.listing.find(client=CLIENT),
    ):
        listed = [grant async for grant in found]
        assert {grant.key for grant in listed} == keys
        assert len(listed) == 3
    alone = vault_on(store, clock, NEW)  # names moved along with what they name
    found_alone = [grant.key async for grant in alone.listing.find(subject=(IDP, "alice"))]
    assert set(found_alone) == keys - {handles.store_key(first.secret)}


async def test_a_claim_holds_across_secrets(store: MemoryStore, clock: ManualClock) -> None:
    end = int(clock()) + 60
    assert await vault_on(store, clock, OLD).single_use.claim(b"login", expires_at=end)
    assert not await vault_on(store, clock, NEW, former_keys=[OLD]).single_use.claim(
        b"login", expires_at=end
    )


async def test_the_id_of_a_secret_is_public_and_stable() -> None:
    assert OLD.id == VaultKeys(seal=b"s" * 32, index=b"other" * 8).id
    assert OLD.id != NEW.id
    assert OLD.id not in (OLD.seal, OLD.index)


async def test_a_record_of_the_first_format_still_opens_and_moves_on(
    store: MemoryStore, clock: ManualClock
) -> None:
    opened = await logged_in(vault_on(store, clock, OLD))
    key = handles.store_key(opened.secret)
    seen = await store.load(key)
    assert seen is not None
    plaintext = records._encoder.encode(opened.grant)
    old_box = seal(
        plaintext,
        key=record_key(OLD.seal, opened.secret),
        context=b"\x01" + key,
        nonce=secrets.token_bytes(12),
    )
    await store.replace(key, seen, b"\x01" + old_box, int(clock()) + 1000)
    after = vault_on(store, clock, NEW, former_keys=[OLD])
    assert isinstance(await use(after, opened), OpenGrant)
    assert len([grant async for grant in after.listing.find()]) == 1
    assert isinstance(await rotate(after, opened), OpenGrant)
    assert await head_of(store, opened) == Head.make(NEW.id, NEW.id)


async def test_attack_d05_a_head_that_was_changed_does_not_open(
    store: MemoryStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await logged_in(vault_on(store, clock, OLD))
    key = handles.store_key(opened.secret)
    seen = await store.load(key)
    assert seen is not None
    forged = Head.make(OLD.id, NEW.id).raw + seen.record[9:]
    await store.replace(key, seen, forged, int(clock()) + 1000)
    vault = vault_on(store, clock, OLD, former_keys=[NEW])
    assert not isinstance(await use(vault, opened), OpenGrant)
    assert "damaged" in caplog.text


async def test_whether_a_token_of_a_newer_record_is_good_is_not_said(
    store: MemoryStore, clock: ManualClock
) -> None:
    vault = vault_on(store, clock, OLD)
    opened = await logged_in(vault)
    key = handles.store_key(opened.secret)
    seen = await store.load(key)
    assert seen is not None
    await store.replace(key, seen, b"\xff" + seen.record[1:], int(clock()) + 1000)
    with pytest.raises(StoreUnavailable, match="record version 255"):
        await vault.check_secrets(Handle(opened.secret, 1, "access"))
