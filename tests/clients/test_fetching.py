"""The guarded fetch by itself: what it takes for public, and how it goes about it."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mintage.clients.addresses import is_public
from mintage.clients.fetching import GuardedFetch
from mintage.errors import FetchError, FetchFailed, FetchRefused
from tests.clients.hosts import (
    DEAD,
    NAME,
    OUTSIDE,
    ClientHost,
    Names,
    client_host,
    fetch_from_tests,
)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ClientHost]:
    async with client_host(tmp_path) as one:
        yield one


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.169.0.1", "223.255.255.255",
     "2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "2400:cb00::1"],
)  # fmt: skip
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(ip_address(address))


def test_attack_d02_an_address_with_a_zone_is_nobodys() -> None:
    assert not is_public(ip_address("2606:4700::1111%eth0"))


async def test_asks_as_a_stranger_with_nothing_of_ours(host: ClientHost) -> None:
    seen: list[Request] = []

    async def page(request: Request) -> Response:
        seen.append(request)
        return JSONResponse({})

    host.pages["/a"] = page
    assert (await fetch_from_tests(Names())(host.url("/a"), limit=100)).body == b"{}"
    (request,) = seen
    assert request.headers["host"] == f"{NAME}:{host.port}"
    assert request.headers["user-agent"] == "mintage"
    assert not {"cookie", "authorization", "referer"} & set(request.headers)


async def test_goes_on_to_the_next_address_when_one_does_not_answer(host: ClientHost) -> None:
    names = Names({NAME: [[DEAD, OUTSIDE]]})
    host.pages["/a"] = JSONResponse({})
    assert (await fetch_from_tests(names)(host.url("/a"), limit=100)).body == b"{}"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/client-metadata+json",
    ],
)
async def test_takes_json_by_all_its_names(host: ClientHost, kind: str) -> None:
    host.pages["/a"] = Response(b"{}", headers={"content-type": kind})
    assert (await fetch_from_tests(Names())(host.url("/a"), limit=100)).body == b"{}"


async def test_the_limit_is_to_the_byte(host: ClientHost) -> None:
    host.pages["/a"] = Response(b" " * 100, media_type="application/json")
    fetch = fetch_from_tests(Names())
    assert len((await fetch(host.url("/a"), limit=100)).body) == 100
    with pytest.raises(FetchRefused, match="larger than 99 bytes"):
        await fetch(host.url("/a"), limit=99)


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", "a" * 64 + ".example"])
async def test_attack_d02_the_systems_own_names_are_not_public(name: str) -> None:
    fetch = GuardedFetch()
    with pytest.raises(FetchError):
        await fetch(f"https://{name}/client.json", limit=100)
    fetch.close()


async def test_attack_d02_only_so_many_run_at_once(host: ClientHost) -> None:
    """Whoever names a thousand slow hosts gets a few of them asked, and the rest refused."""
    running, most, gate = 0, 0, asyncio.Event()

    async def slow(_: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return JSONResponse({})

    host.pages["/slow"] = slow
    fetch = fetch_from_tests(Names(), seconds=1.5)
    asking = [asyncio.create_task(fetch(host.url("/slow"), limit=100)) for _ in range(60)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    gate.set()
    assert {type(outcome) for outcome in outcomes} == {FetchFailed}
    assert 0 < most <= 32


async def test_what_breaks_off_is_an_outage(host: ClientHost) -> None:
    async def broken(_: Request) -> Response:
        return Response(b"{}", headers={"content-length": "50", "content-type": "application/json"})

    host.pages["/a"] = broken
    with pytest.raises(FetchFailed):
        await fetch_from_tests(Names())(host.url("/a"), limit=100)
