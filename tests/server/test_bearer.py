"""Bearer tokens at a resource: verified once, and yet never trusted a moment too long."""

import time

import pytest
from msgspec.structs import replace

from mintage.access.scopes import Call, Rule
from mintage.dpop.proofs import Proofs
from mintage.errors import InsufficientScope, InvalidToken
from mintage.grant_tokens import Tokens
from mintage.grants.states import Active
from mintage.jwt.keyring import KeyRing
from mintage.resource.bearer import Bearer
from mintage.resource.possession import Possession
from mintage.site.resource import Resource
from mintage.stores.memory import MemoryStore
from mintage.testing.clock import ManualClock
from mintage.vault.values import Lifetimes, OpenGrant
from tests.support.logins import CLIENT, logged_in, rotate, vault_on

RESOURCE = Resource(path="/mcp", identifier="https://auth.example/mcp", scopes=("tools",))
STRICTER = Resource(path="/mcp", identifier=RESOURCE.identifier, scopes=("tools", "admin"))
SIBLING = Resource(path="/other", identifier="https://auth.example/other", scopes=())
LEEWAY = 5


class Desk:
    """A bearer check on a vault with one login."""

    def __init__(self) -> None:
        self.clock = ManualClock(int(time.time()))
        self.vault = vault_on(MemoryStore(clock=self.clock), self.clock)
        self.tokens = Tokens(
            issuer="https://auth.example",
            resources=[RESOURCE.identifier, SIBLING.identifier],
            keys=KeyRing(bytes(range(32))),
            lifetimes=Lifetimes(),
            clock=self.clock,
            leeway=LEEWAY,
        )
        self.bearer = Bearer(self.tokens, self.vault, self.clock, Possession(Proofs(), self.clock))

    async def log_in(self) -> tuple[OpenGrant, str]:
        opened = await logged_in(self.vault)
        return opened, self.tokens.issue(opened).access_token

    async def check(self, token: str, resource: Resource = RESOURCE) -> bytes:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        return (await self.bearer.check(headers, resource, (), "GET", "")).opened.secret


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_good_token_is_verified_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, token = await desk.log_in()
    assert await desk.check(token) == opened.secret
    monkeypatch.setattr(Tokens, "read_access", None)  # whoever calls it fails
    assert await desk.check(token) == opened.secret


async def test_it_is_refused_from_its_very_end_on(desk: Desk) -> None:
    _, token = await desk.log_in()
    desk.clock.advance(3600 + LEEWAY - 1)
    await desk.check(token)
    await desk.check(token)
    desk.clock.advance(1)
    with pytest.raises(InvalidToken):
        await desk.check(token)


async def test_it_is_refused_as_soon_as_it_is_revoked(desk: Desk) -> None:
    _, token = await desk.log_in()
    await desk.check(token)
    await desk.vault.revocation.revoke(desk.tokens.read_any(token)[0], CLIENT)
    with pytest.raises(InvalidToken):
        await desk.check(token)


async def test_it_goes_on_after_a_refresh_with_the_grant_as_it_is_now(desk: Desk) -> None:
    opened, token = await desk.log_in()
    await desk.check(token)
    await rotate(desk.vault, opened)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    assert (await desk.bearer.check(headers, RESOURCE, (), "GET", "")).opened.grant.generation == 2


async def test_it_goes_on_after_another_token_has_brought_the_grant_as_it_is_now(
    desk: Desk,
) -> None:
    opened, token = await desk.log_in()
    await desk.check(token)
    rotated = await rotate(desk.vault, opened)
    assert isinstance(rotated, OpenGrant)
    assert await desk.check(desk.tokens.issue(rotated).access_token) == opened.secret
    headers = [(b"authorization", f"Bearer {token}".encode())]
    access = await desk.bearer.check(headers, RESOURCE, (), "GET", "")
    assert access.opened.grant.generation == rotated.grant.generation


async def test_attack_a09_a_token_found_good_for_one_resource_is_refused_at_another(
    desk: Desk,
) -> None:
    _, token = await desk.log_in()
    await desk.check(token)
    with pytest.raises(InvalidToken):
        await desk.check(token, SIBLING)
    with pytest.raises(InsufficientScope):
        await desk.check(token, STRICTER)


async def test_attack_a09_a_known_token_that_lacks_a_scope_is_refused_each_time(
    desk: Desk,
) -> None:
    _, token = await desk.log_in()
    for _ in range(2):
        with pytest.raises(InsufficientScope):
            await desk.bearer.check_token(token, STRICTER, ())
        with pytest.raises(InsufficientScope):
            desk.bearer.at_hand(token, STRICTER, ())


async def test_a_rule_is_asked_about_a_known_token_each_time(desk: Desk) -> None:
    _, token = await desk.log_in()
    ruled = replace(RESOURCE, rules=(Rule(path="/admin", scopes=("admin",)),))
    await desk.bearer.check_token(token, ruled, ())
    assert desk.bearer.at_hand(token, ruled, ()) is not None
    assert desk.bearer.at_hand(token, ruled, (Call(method="GET", path="/"),)) is not None
    with pytest.raises(InsufficientScope):
        desk.bearer.at_hand(token, ruled, (Call(method="GET", path="/admin"),))


async def test_what_is_remembered_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.bearer._known, "most", 10)
    for _ in range(15):
        await desk.check((await desk.log_in())[1])
    assert len(desk.bearer._known) == 10


async def test_a_grant_that_has_changed_is_not_kept_in_memory(desk: Desk) -> None:
    """Else each refreshed token would keep its old grant, until memory is full of them."""
    opened, token = await desk.log_in()
    await desk.check(token)
    await rotate(desk.vault, opened)
    (known,) = desk.bearer._known.values()
    assert not any(isinstance(held, OpenGrant | Active) for held in known)
