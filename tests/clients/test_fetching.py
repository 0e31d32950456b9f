"""The guarded fetch by itself: what it takes for public, and how it goes about it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mintage.clients.addresses import Address, is_public
from mintage.clients.fetching import GuardedFetch
from mintage.concurrency.host_limits import HostConcurrencyLimit
from mintage.errors import FetchError, FetchFailed, FetchRefused
from tests.support.client_hosts import (
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


@pytest.mark.parametrize(
    "network",
    ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
     "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
     "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
     "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "::/3", "4000::/2", "8000::/1",
     "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
     "2a00::5efe:0:0/96", "2a00::200:5efe:0:0/96"],
)  # fmt: skip
def test_attack_d02_special_networks_from_end_to_end(network: str) -> None:
    both_ends = ip_network(network)[0], ip_network(network)[-1]
    assert not any(map(is_public, both_ends))


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


async def test_attack_d02_one_host_is_asked_little_at_once_and_holds_up_no_other(
    host: ClientHost,
) -> None:
    """Whoever names a thousand URLs of a slow host gets a few of them asked."""
    running, most, gate = 0, 0, asyncio.Event()

    async def slow(_: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return JSONResponse({})

    host.pages |= {"/slow": slow, "/fast": JSONResponse({})}
    fetch = fetch_from_tests(Names(), seconds=30)
    asking = [asyncio.create_task(fetch(host.url("/slow"), limit=100)) for _ in range(20)]
    while running < 4:
        assert not any(one.done() for one in asking)
        await asyncio.sleep(0)
    assert (await fetch(host.url("/fast", host=f"other.{NAME}"), limit=100)).body == b"{}"
    gate.set()
    await asyncio.gather(*asking)
    assert most == 4


async def test_attack_d02_only_so_many_run_at_once_in_all() -> None:
    turns, gate = HostConcurrencyLimit(), asyncio.Event()
    running = 0

    async def errand(host: str) -> None:
        nonlocal running
        async with turns.of(host):
            running += 1
            await gate.wait()

    errands = [asyncio.create_task(errand(f"{n}.example")) for n in range(100)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert running == 32
    gate.set()
    await asyncio.gather(*errands)
    assert running == 100


async def test_what_breaks_off_is_an_outage(host: ClientHost) -> None:
    async def broken(_: Request) -> Response:
        return Response(b"{}", headers={"content-length": "50", "content-type": "application/json"})

    host.pages["/a"] = broken
    with pytest.raises(FetchFailed):
        await fetch_from_tests(Names())(host.url("/a"), limit=100)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), FetchRefused),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), FetchFailed),
        (socket.gaierror(socket.EAI_FAIL, "the name server failed"), FetchFailed),
        (socket.gaierror(socket.EAI_MEMORY, "no memory"), FetchFailed),
        (OSError(24, "too many open files"), FetchFailed),
    ],
    ids=str,
)
async def test_a_resolver_in_trouble_says_nothing_about_the_name(
    trouble: OSError, said: type[FetchError]
) -> None:
    async def resolve(_: str, __: int) -> Sequence[Address]:
        raise trouble

    fetch = GuardedFetch(resolve=resolve)
    with pytest.raises(said):
        await fetch("https://client.example/app.json", limit=1000)
    fetch.close()
