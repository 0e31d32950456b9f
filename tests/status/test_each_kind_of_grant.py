"""Each kind of grant that has an access token has a number in the status list."""

import secrets

import pytest

from mintage.grants.devices import Poll, code_hash
from mintage.grants.states import Consent, Identity, UpstreamTokens
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.device_requests import DeviceRequest
from mintage.vault.status_slots import BLOCK, StatusSlots
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault, no_answer
from tests.support.logins import CLIENT, IDP, RESOURCE, vault_on


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def vault(clock: ManualClock, store: MemoryStore) -> Vault:
    slots = StatusSlots(
        store,
        size=64 * BLOCK,
        access=3600,
        clock=clock,
        steady=clock,
        random_bytes=secrets.token_bytes,
    )
    return vault_on(store, clock, status=slots)


def login(clock: ManualClock) -> Consent:
    return Consent(
        client_id=CLIENT,
        resource=RESOURCE,
        scopes=("tools",),
        identity=Identity(issuer=IDP, subject="alice"),
        created_at=int(clock()),
    )


async def test_a_grant_for_which_nobody_logs_in_has_one(vault: Vault, clock: ManualClock) -> None:
    opened = await vault.direct.issue(login(clock), ends_at=int(clock()) + 3600)
    assert isinstance(opened, OpenGrant)
    assert len(opened.grant.slots) == 1


async def test_a_device_has_one_and_its_polls_before_cost_no_write(
    vault: Vault, clock: ManualClock, store: MemoryStore
) -> None:
    secret = secrets.token_bytes(16)
    poll = Poll(client_id=CLIENT, code_hash=code_hash(secret), resource=None)
    for _ in range(5):
        assert isinstance(await vault.devices.poll(secret, poll, no_answer), Refused)
    assert len(store) == 0
    wanted = DeviceRequest(
        secret=secret,
        client_id=CLIENT,
        client_name="a device",
        scopes=("tools",),
        resource=RESOURCE,
        more_resources=(),
        left_out=(),
        address=None,
        created_at=int(clock()),
        expires_at=int(clock()) + 600,
    )
    await vault.devices.approve(wanted, login(clock), UpstreamTokens(access_token="a"))
    opened = await vault.devices.poll(secret, poll, no_answer)
    assert isinstance(opened, OpenGrant)
    assert len(opened.grant.slots) == 1
    again = await vault.devices.poll(secret, poll, no_answer)
    assert again == opened
