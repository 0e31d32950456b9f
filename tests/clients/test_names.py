"""Look-ups of names that strangers choose: those that hang hold up nobody else."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from threading import Event
from typing import Any

import pytest

from mintage.clients.names import BELOW_ONE_DOMAIN, IN_ALL, Names
from mintage.errors import FetchFailed

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]


class Resolver:
    """Answers at once, but for names below ``slow…``: those hang until they are let go."""

    def __init__(self) -> None:
        self.go = Event()
        self.begun: list[str] = []

    def __call__(self, host: str, _port: int, **_: Any) -> Any:
        self.begun.append(host)
        if "slow" in host:
            self.go.wait()
        return ANSWER


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    one = Resolver()
    yield one
    one.go.set()


async def hanging(names: Names, resolver: Resolver, hosts: list[str]) -> list[asyncio.Future[Any]]:
    flights: list[asyncio.Future[Any]] = [asyncio.ensure_future(names(host, 443)) for host in hosts]
    while len(resolver.begun) < len(hosts):
        await asyncio.sleep(0.001)
    return flights


async def test_attack_d02_names_that_hang_delay_no_other_name(resolver: Resolver) -> None:
    names = Names(resolver)
    flights = await hanging(names, resolver, [f"h{n}.slow.example" for n in range(8)])
    assert await names("good.example", 443) == [ip_address("192.0.2.1")]
    assert not any(flight.done() for flight in flights)
    for flight in flights:  # their fetches give up; the threads can't
        flight.cancel()
    assert await names("good.example", 443)
    resolver.go.set()
    names.close()


async def test_attack_d02_a_domain_has_few_threads_and_nobody_queues_for_one(
    resolver: Resolver,
) -> None:
    names = Names(resolver)
    hosts = [f"h{n}.slow.example" for n in range(BELOW_ONE_DOMAIN)]
    flights = await hanging(names, resolver, hosts)
    with pytest.raises(FetchFailed, match="too long"):
        await names("one-more.slow.example", 443)
    resolver.go.set()
    await asyncio.gather(*flights)
    while True:  # the last thread counts itself out after it has answered
        try:
            assert await names("one-more.slow.example", 443)
        except FetchFailed:
            await asyncio.sleep(0.001)
        else:
            break
    names.close()


async def test_attack_d02_there_are_so_many_threads_and_no_more(resolver: Resolver) -> None:
    names = Names(resolver)
    flights = await hanging(names, resolver, [f"a.slow{n}" for n in range(IN_ALL)])
    with pytest.raises(FetchFailed):
        await names("good.example", 443)
    resolver.go.set()
    await asyncio.gather(*flights)
    names.close()
