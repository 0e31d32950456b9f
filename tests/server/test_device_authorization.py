"""Device authorization (RFC 8628), against a running server."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from mintage.clients.client import DEVICE_CODE
from mintage.crypto.base64url import decode_text, encode_text
from mintage.grants.devices import ALPHABET
from mintage.stores.memory import MemoryStore
from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import OAuthClient
from tests.support.client_keys import claims_of, form_of, jwks, key, sign
from tests.support.dpop import BoundClient
from tests.support.world import World

ON: dict[str, Any] = {"grant_types": {"device_code": {}}}
METADATA: dict[str, Any] = {
    "client_name": "Headless",
    "redirect_uris": [],
    "grant_types": [DEVICE_CODE, "refresh_token"],
    "response_types": [],
}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return ON


async def device(world: World, **more: Any) -> OAuthClient:
    return await world.client(**METADATA | more)


async def ask(world: World, client: OAuthClient, **more: str) -> httpx2.Response:
    form = {"client_id": client.client_id, "scope": "tools", "resource": client.resource} | more
    return await world.http.post(f"{world.issuer}/device_authorization", data=form)


async def asked(world: World, client: OAuthClient, **more: str) -> dict[str, Any]:
    answer = await ask(world, client, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def poll(client: OAuthClient, device_code: str, **more: str) -> httpx2.Response:
    return await client.token(grant_type=DEVICE_CODE, device_code=device_code, **more)


def error_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 400, answer.text
    assert answer.headers["cache-control"] == "no-store"
    code: str = answer.json()["error"]
    return code


async def question(world: World, browser: Browser, user_code: str) -> Page:
    """The page that asks the person, after the code was typed."""
    page = await browser.open(f"{world.issuer}/device")
    return await browser.submit(page, {"user_code": user_code})


async def approve(world: World, browser: Browser, user_code: str) -> Page:
    page = await question(world, browser, user_code)
    assert page.status == 200, page.text
    return await browser.submit(page, {"decision": "approve"})


async def test_a_device_gets_tokens_after_a_person_has_approved(world: World) -> None:
    """RFC 8628 §3.1 to §3.5, to the resource and to a refresh."""
    client = await device(world)
    answer = await ask(world, client)
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert set(found) == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete",
        "expires_in", "interval",
    }  # fmt: skip
    assert found["verification_uri"] == f"{world.issuer}/device"
    assert found["verification_uri_complete"].endswith(f"?user_code={found['user_code']}")
    assert (found["expires_in"], found["interval"]) == (600, 5)
    assert error_of(await poll(client, found["device_code"])) == "authorization_pending"
    async with world.browser() as browser:
        done = await approve(world, browser, found["user_code"])
    assert done.status == 200
    assert "Your device is connected" in done.text
    world.clock.advance(5)
    tokens = (await poll(client, found["device_code"])).raise_for_status().json()
    assert tokens["scope"] == "tools"
    assert (await client.call(tokens["access_token"])).status_code == 200
    renewed = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
    assert (await client.call(renewed["access_token"])).status_code == 200
    async with world.browser() as browser:
        again = await question(world, browser, found["user_code"])
    assert again.status == 400, "an answered code leads nowhere"


async def test_the_link_with_the_code_shows_it_to_be_compared(world: World) -> None:
    """RFC 8628 §3.3.1: nothing is looked up until the person has said that it is the same."""
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as browser:
        page = await browser.open(found["verification_uri_complete"])
        assert f'<strong dir="ltr">{found["user_code"]}</strong>' in page.text
        assert "exactly this code" in page.text
        assert "Headless" not in page.text
        page = await browser.submit(page)
        assert "Headless" in page.text
        assert "127.0.0.1" in page.text, "from where the device asked"
        assert "you started this" in page.text.replace("<strong>", "").replace("</strong>", "")
        done = await browser.submit(page, {"decision": "approve"})
    assert "Your device is connected" in done.text
    assert (await poll(client, found["device_code"])).status_code == 200


async def test_a_person_may_deny(world: World) -> None:
    """RFC 8628 §3.5: access_denied."""
    client = await device(world)
    found = await asked(world, client)
    before = world.stored()
    async with world.browser() as browser:
        page = await question(world, browser, found["user_code"])
        done = await browser.submit(page, {"decision": "deny"})
    assert "You denied access" in done.text
    assert world.stored() == before, "one record in place of another"
    assert error_of(await poll(client, found["device_code"])) == "access_denied"
    world.clock.advance(5)
    assert error_of(await poll(client, found["device_code"])) == "access_denied"


async def test_a_code_ends(world: World) -> None:
    """RFC 8628 §3.5: expired_token; and the page takes it no longer."""
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as browser:
        page = await question(world, browser, found["user_code"])
        world.clock.advance(599)
        assert error_of(await poll(client, found["device_code"])) == "authorization_pending"
        world.clock.advance(5)
        assert error_of(await poll(client, found["device_code"])) == "expired_token"
        late = await browser.submit(page, {"decision": "approve"})
        assert late.status == 400
        assert (await question(world, browser, found["user_code"])).status == 400


@pytest.mark.parametrize(
    "spelled", [str.lower, lambda c: c.replace("-", ""), lambda c: f" {c.replace('-', ' – ')} "]
)
async def test_case_and_separators_do_not_matter(world: World, spelled: Any) -> None:
    """RFC 8628 §6.1."""
    client = await device(world)
    found = await asked(world, client)
    assert re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", found["user_code"])
    async with world.browser() as browser:
        page = await question(world, browser, spelled(found["user_code"]))
    assert page.status == 200


@pytest.mark.parametrize("typed", ["AAAA-AAAA", "BCDF", "", "B" * 41, "ßCDF-GHJK", "<script>"])
async def test_what_is_no_code_may_be_typed_again(world: World, typed: str) -> None:
    async with world.browser() as browser:
        page = await question(world, browser, typed)
    assert page.status == 400
    if typed:
        assert "No device waits with this code" in page.text
    assert "<script>" not in page.text


async def test_it_is_off_unless_the_settings_have_it(world: World) -> None:
    assert DEVICE_CODE in (await metadata(world))["grant_types_supported"]


class TestOff:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {}

    async def test_then_nothing_tells_of_it(self, world: World) -> None:
        found = await metadata(world)
        assert "device_authorization_endpoint" not in found
        assert DEVICE_CODE not in found["grant_types_supported"]
        client = await device(world)
        assert (await ask(world, client)).status_code == 404
        assert error_of(await poll(client, "x")) == "unsupported_grant_type"


async def metadata(world: World) -> dict[str, Any]:
    url = f"{world.issuer}/.well-known/oauth-authorization-server"
    found: dict[str, Any] = (await world.http.get(url)).json()
    return found


async def test_the_metadata_names_the_endpoint(world: World) -> None:
    """RFC 8628 §4."""
    found = await metadata(world)
    assert found["device_authorization_endpoint"] == f"{world.issuer}/device_authorization"


async def test_only_clients_that_registered_the_grant_type(world: World) -> None:
    client = await world.client()
    assert error_of(await ask(world, client)) == "unauthorized_client"
    assert error_of(await poll(client, "x")) == "unauthorized_client"


async def test_a_client_of_devices_alone_begins_no_login_in_a_browser(world: World) -> None:
    client = await device(world)
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
    assert page.status == 400


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"resource": "https://other.example/"}, "invalid_target"),
        ({"scope": "\x07"}, "invalid_scope"),
    ],
)
async def test_a_wrong_request_of_a_device(world: World, more: dict[str, str], error: str) -> None:
    assert error_of(await ask(world, await device(world), **more)) == error


async def test_tokens_are_for_a_resource_that_was_asked_for(world: World) -> None:
    """RFC 8707 §2.2."""
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as browser:
        await approve(world, browser, found["user_code"])
    other = f"{world.issuer}/other"
    assert error_of(await poll(client, found["device_code"], resource=other)) == "invalid_target"
    world.clock.advance(5)
    assert (await poll(client, found["device_code"], resource=client.resource)).status_code == 200


async def test_a_lost_response_is_sent_again(world: World) -> None:
    """As after a refresh: the same tokens, byte for byte, within the grace."""
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as browser:
        await approve(world, browser, found["user_code"])
    first = (await poll(client, found["device_code"])).json()
    world.clock.advance(5)
    again = (await poll(client, found["device_code"])).json()
    assert again.pop("expires_in") == first.pop("expires_in") - 5
    assert again == first


async def test_a_client_with_a_key_polls_without_a_write(world: World) -> None:
    """Its assertion is claimed when there are tokens, and not before."""
    client = await device(world, token_endpoint_auth_method="private_key_jwt", jwks=jwks(key()))
    number = 0

    def proof() -> dict[str, str]:
        nonlocal number
        number += 1
        claims = claims_of(
            client.client_id, now=world.clock(), issuer=world.issuer, jti=f"j{number}"
        )
        return form_of(sign(claims))

    found = await asked(world, client, **proof())
    before = world.stored()
    assert error_of(await poll(client, found["device_code"], **proof())) == "authorization_pending"
    assert error_of(await poll(client, found["device_code"], **proof())) == "slow_down"
    assert world.stored() == before
    async with world.browser() as browser:
        await approve(world, browser, found["user_code"])
    world.clock.advance(10)
    used = proof()
    assert (await poll(client, found["device_code"], **used)).status_code == 200
    world.clock.advance(10)
    replayed = await poll(client, found["device_code"], **used)
    assert replayed.status_code == 401


async def test_attack_f40_a_device_code_is_guessed(world: World) -> None:
    """128 random bits, encrypted: what opens nothing is refused without a look at the store."""
    client = await device(world)
    found = await asked(world, client)
    raw = decode_text(found["device_code"])
    for place in range(0, len(raw), 5):
        changed = bytearray(raw)
        changed[place] ^= 1
        assert error_of(await poll(client, encode_text(bytes(changed)))) == "invalid_grant"
    for odd in ("x", "A" * 300, found["user_code"]):
        assert error_of(await poll(client, odd)) == "invalid_grant"


class TestGuesses:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return ON | {"limits": {"user_codes_per_address": 3}}

    async def test_attack_f41_a_user_code_is_guessed(self, world: World) -> None:
        """RFC 8628 §5.1: after a few codes the right one is not looked up either."""
        client = await device(world)
        found = await asked(world, client)
        async with world.browser() as browser:
            guesses = ("BBBB-BBBB", "CCCC-CCCC", "DDDD-DDDD", found["user_code"])
            statuses = [(await question(world, browser, typed)).status for typed in guesses]
        async with world.browser() as another:
            statuses.append((await question(world, another, found["user_code"])).status)
            assert statuses == [400, 400, 400, 429, 429]
            world.clock.advance(60)
            assert (await question(world, another, found["user_code"])).status == 200


async def test_attack_f42_a_device_polls_too_fast(world: World) -> None:
    """RFC 8628 §3.5: slow_down, five seconds more each time; and it costs no read."""
    client = await device(world)
    code = (await asked(world, client))["device_code"]
    assert error_of(await poll(client, code)) == "authorization_pending"
    assert error_of(await poll(client, code)) == "slow_down"
    world.clock.advance(5)
    assert error_of(await poll(client, code)) == "slow_down", "the interval is 10 seconds now"
    world.clock.advance(10)
    assert error_of(await poll(client, code)) == "authorization_pending"


async def test_polling_costs_no_write_and_at_most_one_read_in_each_interval(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await device(world)
    code = (await asked(world, client))["device_code"]
    seen = counted(monkeypatch)
    for _ in range(10):
        for _ in range(5):
            await poll(client, code)
        world.clock.advance(50)
    assert 1 <= seen["load"] <= 10
    assert set(seen) == {"load"}


async def test_what_a_login_on_a_device_costs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of docs/scaling.md."""
    client = await device(world)
    seen = counted(monkeypatch)
    found = await asked(world, client)
    assert taken(seen) == {"insert": 1}
    async with world.browser() as browser:
        page = await question(world, browser, found["user_code"])
        assert taken(seen) == {"load": 1}
        await browser.submit(page, {"decision": "approve"})
    costs = taken(seen)
    assert costs == {"insert": 2, "delete": 1, "load": 3, "list": 2}
    await poll(client, found["device_code"])
    assert taken(seen) == {"load": 1, "replace": 1}


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the calls to the store from now on."""
    seen: Counter[str] = Counter()

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            seen[name] += 1
            return method(*args, **named)

        return call

    for name in ("insert", "load", "replace", "delete", "list"):
        monkeypatch.setattr(MemoryStore, name, counting(name, getattr(MemoryStore, name)))
    return seen


def taken(seen: Counter[str]) -> dict[str, int]:
    found = dict(seen)
    seen.clear()
    return found


async def test_attack_f43_another_browser_approves(world: World) -> None:
    """The form goes back from the browser in which the code was typed, or it is refused."""
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as victim, world.browser() as attacker:
        page = await question(world, attacker, found["user_code"])
        await victim.open(f"{world.issuer}/device")
        for decision in ("approve", "deny"):
            refused = await victim.submit(page, {"decision": decision})
            assert refused.status == 403
            assert "connected" not in refused.text
    assert error_of(await poll(client, found["device_code"])) == "authorization_pending"


async def test_attack_f43_the_callback_comes_to_another_browser(world: World) -> None:
    client = await device(world)
    found = await asked(world, client)
    callback = f"{world.issuer}/callback"
    async with Browser(stop_at=(callback,)) as attacker, world.browser() as victim:
        landed = await approve(world, attacker, found["user_code"])
        assert landed.url.startswith(callback)
        refused = await victim.open(landed.url)
    assert refused.status == 403
    assert error_of(await poll(client, found["device_code"])) == "authorization_pending"


async def test_attack_f43_another_site_sends_the_form(world: World) -> None:
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as browser:
        page = await question(world, browser, found["user_code"])
        form = page.form().fields | {"decision": "approve"}
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            sent = world.cookies_of(browser) | headers
            refused = await world.http.post(f"{world.issuer}/device", data=form, headers=sent)
            assert refused.status_code == 403
        made_up = await world.http.post(
            f"{world.issuer}/device",
            data=form | {"form": "AAAA"},
            headers=world.cookies_of(browser),
        )
        assert made_up.status_code == 400
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_attack_f44_another_client_uses_a_device_code(world: World) -> None:
    owner, thief = await device(world), await device(world, client_name="Thief")
    found = await asked(world, owner)
    async with world.browser() as browser:
        await approve(world, browser, found["user_code"])
    assert error_of(await poll(thief, found["device_code"])) == "invalid_grant"
    assert (await poll(owner, found["device_code"])).status_code == 200


async def test_attack_f45_a_device_code_is_replayed(world: World) -> None:
    """After the grace, or after a refresh, somebody else has it: the login ends."""
    client = await device(world)
    for refreshes, pause in ((False, 61), (True, 5)):
        found = await asked(world, client)
        async with world.browser() as browser:
            await approve(world, browser, found["user_code"])
        tokens = (await poll(client, found["device_code"])).json()
        if refreshes:
            tokens = (await client.refresh(tokens["refresh_token"])).json()
        world.clock.advance(pause)
        assert error_of(await poll(client, found["device_code"])) == "invalid_grant"
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_attack_f45_ten_polls_at_once_get_one_login(world: World) -> None:
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as browser:
        await approve(world, browser, found["user_code"])
    answers = await asyncio.gather(*(poll(client, found["device_code"]) for _ in range(10)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [400] * 9
    assert {error_of(a) for a in answers if a.status_code == 400} == {"slow_down"}


async def test_attack_f45_two_people_answer_one_device(world: World) -> None:
    """The first answer counts; the second is told so, and ends nothing."""
    client = await device(world)
    found = await asked(world, client)
    async with world.browser() as first, world.browser() as second, world.browser() as third:
        pages = [await question(world, each, found["user_code"]) for each in (first, second, third)]
        assert "connected" in (await first.submit(pages[0], {"decision": "approve"})).text
        for browser, page, decision in ((second, pages[1], "approve"), (third, pages[2], "deny")):
            late = await browser.submit(page, {"decision": decision})
            assert late.status == 400
            assert "Begin again at your device" in late.text
    assert (await poll(client, found["device_code"])).status_code == 200


class TestBounds:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return ON | {"limits": {"device_requests_per_address": 5, "device_requests": 3}}

    async def test_attack_f46_requests_of_devices_without_end(self, world: World) -> None:
        """The one record that nobody logged in for: bounded in all, small, and gone in time."""
        client = await device(world)
        before = world.stored()
        statuses = [(await ask(world, client)).status_code for _ in range(7)]
        assert statuses == [200] * 3 + [429] * 4
        assert world.stored() == before + 3
        store = world.running.store
        assert isinstance(store, MemoryStore)
        rows = [row async for row in store.rows()]
        assert all(len(row.record) < 1500 for row in rows)
        world.clock.advance(600 + 300)
        await store.sweep()
        assert world.stored() == before


async def test_the_store_does_not_show_what_devices_ask(world: World) -> None:
    """Neither the code, nor the client, nor the grant's secret."""
    client = await device(world)
    found = await asked(world, client)
    store = world.running.store
    assert isinstance(store, MemoryStore)
    everything = b"".join([row.key + row.record async for row in store.rows()])
    for hidden in (found["user_code"], client.client_id, "Headless", "tools"):
        assert hidden.encode() not in everything


async def test_spec122_a_device_binds_its_tokens(world: World) -> None:
    """RFC 9449 §5: all grant types. A refused proof spends nothing."""
    client = await device(world)
    bound = BoundClient(client, world.clock)
    codes = await asked(world, client)
    async with world.browser() as browser:
        await approve(world, browser, codes["user_code"])
    world.clock.advance(codes["interval"])
    form = {"grant_type": DEVICE_CODE, "device_code": codes["device_code"]}
    elsewhere = bound.proof("POST", client.resource)
    assert error_of(await bound.token(elsewhere, **form)) == "invalid_dpop_proof"
    body = (await bound.token(**form)).raise_for_status().json()
    assert body["token_type"] == "DPoP"
    assert (await client.call(body["access_token"])).status_code == 401
    assert (await bound.call(body["access_token"])).status_code == 200
    thief = BoundClient(client, world.clock)
    assert error_of(await thief.refresh(body["refresh_token"])) == "invalid_grant"
    assert (await bound.refresh(body["refresh_token"])).json()["token_type"] == "DPoP"
