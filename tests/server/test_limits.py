"""Requests, refreshes and registrations by user, by login and by address: 429, and what goes on."""

import logging
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from mintage.concurrency.rate_limits import RateLimit
from mintage.errors import TooManyRequests
from mintage.events.requests import RequestRefused
from mintage.server.client_address import network_of
from mintage.settings.limits import LimitsSection
from mintage.testing.clock import ManualClock
from tests.support.world import THE_BACKEND, World

LIMITS = {
    "requests_per_user": 3,
    "refreshes_per_login": 2,
    "registrations_per_address": 4,
    "registrations": 5,
}


@pytest.fixture
def overrides() -> dict[str, Any]:
    proxies = {"trusted_proxies": ["127.0.0.1"]}
    resources = [
        {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["tools"]},
        {"path": "/other", "backend": THE_BACKEND, "scopes": ["tools"]},
    ]
    return {"limits": LIMITS, "gateway": proxies, "resource": resources}


def is_refused(answer: httpx2.Response) -> bool:
    """Whether it is a 429 as documented; otherwise it must be no refusal at all."""
    if answer.status_code in (200, 201):
        return False
    assert answer.status_code == 429, answer.text
    assert answer.json()["error"] == "too_many_requests"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.headers
    return True


def count(limit: RateLimit, keys: Sequence[str]) -> list[bool]:
    """Which of *keys* pass, one after the other."""
    passed = []
    for key in keys:
        try:
            limit.check(key)
        except TooManyRequests:
            passed.append(False)
        else:
            passed.append(True)
    return passed


def test_a_minutes_worth_may_come_at_once_and_then_as_much_as_flows_in(clock: ManualClock) -> None:
    limit = RateLimit(60, "wait", clock=clock)
    assert count(limit, "a" * 61) == [True] * 60 + [False]
    clock.advance(1)
    assert count(limit, "aa") == [True, False]
    clock.advance(600)
    assert count(limit, "a" * 61) == [True] * 60 + [False]


def test_it_says_how_long_to_wait_and_that_is_long_enough(clock: ManualClock) -> None:
    limit = RateLimit(6, "wait", clock=clock)
    count(limit, "a" * 6)
    with pytest.raises(TooManyRequests) as refused:
        limit.check("a")
    assert refused.value.retry_after == 10
    clock.advance(refused.value.retry_after)
    limit.check("a")


def test_one_key_takes_nothing_from_another(clock: ManualClock) -> None:
    limit = RateLimit(1, "wait", clock=clock)
    assert count(limit, "aabb") == [True, False, True, False]


def test_its_memory_is_bounded(clock: ManualClock) -> None:
    limit = RateLimit(1, "wait", clock=clock, most=100)
    count(limit, [str(number) for number in range(1000)])
    assert len(limit._full_at) == 100


def test_nought_is_no_limit(clock: ManualClock) -> None:
    assert all(count(RateLimit(0, "wait", clock=clock), "a" * 1000))


def test_no_limit_is_off_by_default() -> None:
    section = LimitsSection()
    assert all(getattr(section, name) > 0 for name in section.__struct_fields__)
    assert set(LIMITS) <= set(section.__struct_fields__)


async def test_attack_d24_a_user_floods_a_resource_with_several_clients(world: World) -> None:
    refusals: list[RequestRefused] = []
    world.running.events.attach(
        lambda event: refusals.append(event) if isinstance(event, RequestRefused) else None
    )
    one, two = await world.client(), await world.client()
    async with world.browser() as browser:
        first, second = await one.tokens(browser), await two.tokens(browser)
    tokens = [first["access_token"], second["access_token"]] * 2
    answers = [await one.call(token) for token in tokens]
    assert [is_refused(answer) for answer in answers] == [False, False, False, True]
    assert "your tokens stay valid" in answers[-1].json()["error_description"]
    (refusal,) = refusals
    assert (refusal.endpoint, refusal.stage, refusal.status) == ("resource", "limits", 429)
    assert refusal.party.client_id == two.client_id

    world.upstream.user = "bob"  # behind the same address, with the same client
    async with world.browser() as browser:
        others = await two.tokens(browser)
    assert not is_refused(await two.call(others["access_token"]))
    world.clock.advance(int(answers[-1].headers["retry-after"]))
    assert not is_refused(await one.call(first["access_token"]))


async def test_a_user_who_goes_on_gets_one_line_of_the_log_in_a_minute(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = await world.client()
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]

    async def lines(requests: int) -> list[str]:
        caplog.clear()
        answers = [await client.call(token) for _ in range(requests)]
        assert is_refused(answers[-1])
        return [message for message in caplog.messages if "stage limits" in message]

    (line,) = await lines(8)
    assert "more" not in line
    world.clock.advance(60)
    (line,) = await lines(6)
    assert "(4 more since the last such line)" in line


async def test_a_request_that_is_refused_reaches_no_backend(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    for _ in range(5):
        await client.call(tokens["access_token"])
    assert len(world.backend.requests) == 3


async def test_attack_d24_a_client_refreshes_without_end(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
        others = await client.tokens(browser)
    newest = tokens
    for _ in range(2):
        answer = await client.refresh(newest["refresh_token"])
        assert not is_refused(answer)
        newest = answer.json()
    answer = await client.refresh(newest["refresh_token"])
    assert is_refused(answer)
    assert (await client.call(newest["access_token"])).status_code == 200
    assert not is_refused(await client.refresh(others["refresh_token"]))
    world.clock.advance(int(answer.headers["retry-after"]))
    assert not is_refused(await client.refresh(newest["refresh_token"]))


async def test_attack_d24_registrations_without_end(world: World) -> None:
    async def register(address: str) -> httpx2.Response:
        return await world.http.post(
            f"{world.issuer}/register",
            json={"redirect_uris": ["https://app.example/cb"]},
            headers={"x-forwarded-for": address},
        )

    one = [is_refused(await register("192.0.2.1")) for _ in range(5)]
    assert one == [False] * 4 + [True]
    assert not is_refused(await register("192.0.2.2"))
    assert is_refused(await register("192.0.2.3"))
    world.clock.advance(12)
    assert not is_refused(await register("192.0.2.3"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", ""),
        (None, ""),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str | None, network: str) -> None:
    assert network_of(address) == network
