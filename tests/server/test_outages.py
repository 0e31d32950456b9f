"""What fails somewhere else is never the client's fault: 503 or 502, and its tokens stay good."""

import asyncio
from typing import Any

import pytest

from mintage.testing.fake_upstream import Fault
from mintage.testing.oauth_client import answer_of, approve
from mintage.upstream import discovery
from tests.support.faulty_store import failing
from tests.support.world import World, every_store

OUTAGES: list[tuple[Fault, int]] = [
    ("500", 503),
    ("503", 503),
    ("429", 503),
    ("temporarily_unavailable", 503),
    ("reset", 503),
    ("garbage", 502),
    ("array", 502),
    ("huge", 502),
    ("redirect", 502),
    ("no_access_token", 502),
    ("invalid_client", 502),
]


@pytest.mark.parametrize(("fault", "status"), OUTAGES)
async def test_attack_c09_the_provider_fails_at_refresh(
    world: World, fault: Fault, status: int
) -> None:
    """Its token has ended and no new one can be had: the client waits, and loses nothing."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(3600)
    world.upstream.faults["token"] = fault
    for answer in (
        await client.refresh(tokens["refresh_token"]),
        await client.refresh(tokens["refresh_token"]),
    ):
        assert answer.status_code == status
        assert answer.json()["error"] in ("temporarily_unavailable", "server_error")
        assert "stack trace" not in answer.text
        if status == 503:
            assert int(answer.headers["retry-after"]) > 0
    world.upstream.faults.clear()
    world.clock.advance(5)
    renewed = await client.refresh(tokens["refresh_token"])
    assert renewed.status_code == 200
    assert (await client.call(renewed.json()["access_token"])).status_code == 200


@pytest.mark.parametrize(("fault", "status"), OUTAGES)
async def test_attack_c09_the_provider_fails_at_a_request(
    world: World, fault: Fault, status: int
) -> None:
    """While the old token holds nobody notices; then it is 503, until the provider is back."""
    world.upstream.lifetime = 600
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.upstream.faults["token"] = fault
    world.clock.advance(590)
    assert (await client.call(tokens["access_token"])).status_code == 200
    await world.running.vault.drain()
    world.clock.advance(10)
    for _ in range(2):
        assert (await client.call(tokens["access_token"])).status_code == status
    world.upstream.faults.clear()
    world.clock.advance(5)
    assert (await client.call(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize(("fault", "status"), OUTAGES)
async def test_the_provider_fails_at_login(world: World, fault: Fault, status: int) -> None:
    """The user gets a page with a way on, and it works."""
    client = await world.client()
    world.upstream.faults["token"] = fault
    async with world.browser() as browser:
        login = client.authorization()
        page = await approve(browser, login.url)
        assert page.status == status
        assert "Reference" in page.text
        assert "stack trace" not in page.text
        again = page.text.partition('"button" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert bool(again) == (fault != "invalid_client"), "trying again helps, or it does not"
        world.upstream.faults.clear()
        page = await approve(browser, world.issuer + again if again else login.url)
    answer = answer_of(page)
    assert answer["state"] == login.state
    assert (await client.redeem(login, answer["code"])).status_code == 200


@pytest.mark.parametrize("endpoint", ["discovery", "jwks"])
@pytest.mark.parametrize("fault", ["500", "garbage", "array"])
async def test_the_provider_fails_at_discovery(world: World, endpoint: Any, fault: Fault) -> None:
    client = await world.client()
    world.upstream.faults[endpoint] = fault
    async with world.browser() as browser:
        page = await approve(browser, client.authorization().url)
    assert page.status in (502, 503)
    assert "Reference" in page.text


async def test_a_provider_that_was_never_reached_is_tried_again_with_a_button(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The user agrees once; nothing of that is lost, whatever was on the page."""
    client = await world.client()
    world.upstream.faults["discovery"] = "503"
    async with world.browser() as browser:
        login = client.authorization()
        page = await approve(browser, login.url)
        for _ in range(2):
            assert page.status == 503
            assert int(page.headers["retry-after"]) > 0
            [line] = [one for one in caplog.messages if "/consent" in one]
            assert "stage upstream: 127.0.0.1:" in line
            assert line.endswith("answered 503")
            caplog.clear()
            page = await browser.submit(page, {})
        world.upstream.faults.clear()
        world.clock.advance(5)
        page = await browser.submit(page, {})
    answer = answer_of(page)
    assert answer["state"] == login.state
    assert (await client.redeem(login, answer["code"])).status_code == 200


AWAY: list[Fault] = ["503", "hang"]


@pytest.mark.parametrize("fault", AWAY)
async def test_nobody_is_sent_to_a_provider_that_went_down(
    world: World, fault: Fault, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its document is known for an hour; what counts is whether it answered just now."""
    monkeypatch.setattr(discovery, "_ASK_SECONDS", 0.5 if fault == "hang" else 4.0)
    caplog.set_level("INFO", "mintage.upstream")
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.upstream.faults["discovery"] = fault
    world.clock.advance(40)
    async with world.browser() as browser:
        login = client.authorization()
        page = await browser.open(login.url)
        page = await browser.submit(page, {"decision": "approve"})
        for _ in range(2):
            assert page.status == 503
            assert "Try again" in page.text
            page = await browser.submit(page, {})
        assert (await world.http.get(f"{world.issuer}/readyz")).status_code == 503
        assert (await client.call(tokens["access_token"])).status_code == 200
        fresh = await client.refresh(tokens["refresh_token"])
        assert fresh.status_code == 200
        [away] = [one for one in caplog.messages if "nobody is sent there" in one]
        assert away.startswith("provider oidc: 127.0.0.1:")
        assert "answers again" not in caplog.text
        world.upstream.faults.clear()
        world.clock.advance(5)
        page = await browser.submit(page, {})
    assert answer_of(page)["state"] == login.state
    assert caplog.messages.count("provider oidc: it answers again") == 1
    assert (await world.http.get(f"{world.issuer}/readyz")).status_code == 200


@pytest.mark.parametrize("fault", ["500", "429", "garbage"])
async def test_a_provider_that_answers_badly_is_there(world: World, fault: Fault) -> None:
    """Only its document fails, and what is known of it still leads to its login."""
    client = await world.client()
    async with world.browser() as browser:
        await client.tokens(browser)
    world.upstream.faults["discovery"] = fault
    world.clock.advance(40)
    async with world.browser() as browser:
        await client.tokens(browser)
    assert (await world.http.get(f"{world.issuer}/readyz")).status_code == 200


async def test_whether_a_provider_is_there_is_asked_once_in_a_while(world: World) -> None:
    """However many log in, and however often a load balancer asks."""
    client = await world.client()

    async def begin() -> None:
        async with world.browser() as browser:
            assert answer_of(await approve(browser, client.authorization().url))["code"]

    await begin()
    world.clock.advance(40)
    before = world.upstream.seen["discovery"]
    ready = [world.http.get(f"{world.issuer}/readyz") for _ in range(5)]
    await asyncio.gather(*(begin() for _ in range(5)), *ready)
    assert world.upstream.seen["discovery"] == before + 1
    world.clock.advance(20)
    await begin()
    assert world.upstream.seen["discovery"] == before + 1


@every_store
@pytest.mark.parametrize(("fault", "status"), [("503", 503), ("garbage", 502)])
async def test_attack_c09_the_provider_fails_and_the_grant_is_as_it_was(
    world: World, fault: Fault, status: int
) -> None:
    """The lease is given back, whatever store it was taken in: the next one may ask at once."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(3600)
    world.upstream.faults["token"] = fault
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.status_code == status
    assert "invalid" not in refused.text
    world.upstream.faults.clear()
    world.clock.advance(5)
    answer = await client.refresh(tokens["refresh_token"])
    assert answer.status_code == 200
    assert (await client.call(answer.json()["access_token"])).status_code == 200


async def test_a_refusal_is_no_outage(world: World) -> None:
    """The provider says the login is over: it is, here too."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(3590)
    world.upstream.faults["token"] = "invalid_grant"
    refused = await client.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    answer = await client.call(tokens["access_token"])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_fifty_requests_at_once_ask_the_provider_once(world: World) -> None:
    world.upstream.lifetime = 600
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(600)
    world.upstream.delay = 0.1
    answers = await asyncio.gather(*(client.call(tokens["access_token"]) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert world.upstream.seen["refresh_token"] == 1


async def test_a_login_without_a_refresh_token_ends_with_its_upstream_token(
    world: World,
) -> None:
    world.upstream.refreshable = False
    world.upstream.lifetime = 600
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    assert (await client.call(tokens["access_token"])).status_code == 200
    world.clock.advance(600)
    assert (await client.call(tokens["access_token"])).status_code == 401
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


async def test_attack_d11_the_store_is_away(world: World) -> None:
    """Every endpoint says 503 with Retry-After, and goes on by itself afterwards."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
        login, code = await client.log_in(browser)

        with failing(world.running.store, "insert", "load", "replace", "delete"):
            world.clock.advance(6)  # past the cache
            answers = [
                await client.redeem(login, code),
                await client.refresh(tokens["refresh_token"]),
                await client.revoke(tokens["refresh_token"]),
                await client.call(tokens["access_token"]),
            ]
            page = await approve(browser, client.authorization().url)
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json()["error"] == "temporarily_unavailable"
            assert answer.headers["retry-after"] == "5"
            assert "no connection" not in answer.text
        assert page.status == 503
    assert (await client.redeem(login, code)).status_code == 200
    assert (await client.call(tokens["access_token"])).status_code == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_bug_is_a_500_with_a_reference_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.client()

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(world.running.store, "load", broken)
    answer = await client.token(
        grant_type="authorization_code", code="A" * 43, code_verifier="v" * 43
    )
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
