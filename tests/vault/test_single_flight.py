"""Eight replicas, and a provider that ends the login when a refresh token is used twice."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from msgspec.structs import replace
from stress.replica import Replica
from stress.worker_pool import CONTEXT, WorkerPool

from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, Reason, UpstreamTokens
from mintage.network.tls import trusted
from mintage.testing.fake_upstream import FakeUpstream
from mintage.upstream.opening import open_upstream
from mintage.upstream.protocol import LoginRequest, UpstreamClient
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream
from mintage.values import Secret
from mintage.vault.values import Lifetimes, OpenGrant, Refused, Renew
from tests.support.grant_states import upstream_of

PROCESSES, OPENINGS, REQUESTS = 4, 2, 50  # eight replicas with fifty requests each
LEASE = 2  # seconds, where its holder is killed
LONG_LEASE = 5  # where its holder is slow, and must not be frozen for as long by a busy machine
SLACK = 15  # seconds that a busy machine may add
LOGIN = LoginRequest(
    redirect_uri="http://127.0.0.1:9/callback", state="s", nonce="n", code_verifier="v" * 43
)

Gone = Literal["before it asked", "after the answer"]


def upstream_at(issuer: str, secret: str) -> UpstreamClient:
    described = Upstream(
        name="oidc",
        title="the provider",
        issuer=issuer,
        client_id="mintage",
        client_secret=Secret(secret.encode()),
        scopes=("openid",),
    )
    return open_upstream(described, HttpTransport(), time.time)


class Process:
    """Some replicas in one process, each with its own opening of the store."""

    def __init__(self, upstream: UpstreamClient, reached: Event) -> None:
        self._replicas: list[Replica] = []
        self._upstream = upstream
        self._reached = reached
        self._how: Renew = self._ask

    @classmethod
    @asynccontextmanager
    async def open(
        cls, _: int, url: str, issuer: str, secret: str, lifetimes: Lifetimes, reached: Event
    ) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            upstream = upstream_at(issuer, secret)
            stack.push_async_callback(upstream.close)
            process = cls(upstream, reached)
            for _ in range(OPENINGS):
                opening = Replica.open(url, lifetimes=lifetimes, renew=process._renew)
                process._replicas.append(await stack.enter_async_context(opening))
            yield process

    async def login(self, tokens: UpstreamTokens) -> bytes:
        return await self._replicas[0].login(tokens)

    async def use(self, secret: bytes) -> Counter[str]:
        """Fifty requests at each replica: which upstream token, or which refusal, they got."""
        requests = [self._use(one, secret) for one in self._replicas for _ in range(REQUESTS)]
        return Counter(await asyncio.gather(*requests))

    async def refresh(self, secret: bytes) -> Counter[str]:
        """The same with one refresh token: which generation they got as well."""
        requests = [self._refresh(one, secret) for one in self._replicas for _ in range(REQUESTS)]
        return Counter(await asyncio.gather(*requests))

    async def die(self, secret: bytes, gone: Gone) -> None:
        """Take the lease, get to the point of *gone*, and never do anything again."""

        async def renew(tokens: UpstreamTokens, who: Identity) -> Renewed:
            if gone == "after the answer":
                await self._ask(tokens, who)
            self._reached.set()
            return await asyncio.Future()

        self._how = renew
        opened = await self._replicas[0].authenticate(secret)
        assert isinstance(opened, OpenGrant)
        await self._replicas[0].vault.with_fresh_upstream(opened)

    async def linger(self, secret: bytes) -> str:
        """Ask, and then ask who the user is by now, which takes longer than the lease."""

        async def renew(tokens: UpstreamTokens, who: Identity) -> Renewed:
            renewed = await self._ask(tokens, who)
            self._reached.set()
            await asyncio.sleep(1.5 * LONG_LEASE)
            return renewed

        self._how = renew
        opened = await self._replicas[0].authenticate(secret)
        assert isinstance(opened, OpenGrant)
        outcome = await self._replicas[0].vault.with_fresh_upstream(opened)
        return outcome.reason if isinstance(outcome, Refused) else "renewed"

    async def _use(self, replica: Replica, secret: bytes) -> str:
        outcome = await replica.authenticate(secret)
        if isinstance(outcome, OpenGrant):
            outcome = await replica.vault.with_fresh_upstream(outcome)
        if isinstance(outcome, OpenGrant):
            return upstream_of(outcome.grant).access_token
        return outcome.reason

    async def _refresh(self, replica: Replica, secret: bytes) -> str:
        outcome = await replica.refresh(secret, 1)
        if isinstance(outcome, OpenGrant):
            return f"{outcome.grant.generation} {upstream_of(outcome.grant).access_token}"
        return outcome.reason

    async def _renew(self, tokens: UpstreamTokens, who: Identity) -> Renewed:
        return await self._how(tokens, who)

    async def _ask(self, tokens: UpstreamTokens, _: Identity) -> Renewed:
        return await self._upstream.refresh(tokens, now=int(time.time()))


@pytest.fixture
async def provider() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(time.time).running() as provider:
        yield provider


@pytest.fixture
async def expired(provider: FakeUpstream) -> UpstreamTokens:
    """The tokens of a real login at the provider, whose access token is over."""
    upstream = upstream_at(provider.issuer, provider.client_secret)
    async with httpx2.AsyncClient(verify=trusted(), trust_env=False) as http:
        answer = await http.get(await upstream.authorization_url(LOGIN))
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    tokens, _ = await upstream.redeem(code, LOGIN, now=int(time.time()))
    await upstream.close()
    return replace(tokens, expires_at=int(time.time()) - 1)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/store.db"
    found: str = request.getfixturevalue(request.param)
    return found


@asynccontextmanager
async def pool(
    url: str, provider: FakeUpstream, reached: Event, *, size: int, lifetimes: Lifetimes
) -> AsyncIterator[WorkerPool]:
    """Its processes talk to a provider in this one, so nothing here may block."""

    def begin() -> WorkerPool:
        args = (url, provider.issuer, provider.client_secret, lifetimes, reached)
        return WorkerPool(Process.open, *args, size=size)

    pool = await asyncio.to_thread(begin)
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.__exit__)


@pytest.fixture
def reached() -> Event:
    return CONTEXT.Event()


async def test_four_hundred_requests_at_eight_replicas_ask_the_provider_once(
    url: str, provider: FakeUpstream, expired: UpstreamTokens, reached: Event
) -> None:
    async with pool(url, provider, reached, size=PROCESSES, lifetimes=Lifetimes()) as processes:
        secret = await asyncio.to_thread(processes.ask, 0, "login", expired)
        provider.delay = 0.3  # all are there before the first has its answer
        got: Counter[str] = sum(await asyncio.to_thread(processes.all, "use", secret), Counter())
    assert len(got) == 1, got
    ((token, requests),) = got.items()
    assert requests == PROCESSES * OPENINGS * REQUESTS
    assert provider.is_live(token)
    assert provider.seen["refresh_token"] == 1


async def test_four_hundred_refreshes_at_eight_replicas_get_one_successor(
    url: str, provider: FakeUpstream, expired: UpstreamTokens, reached: Event
) -> None:
    """And one of them asks the provider for all."""
    async with pool(url, provider, reached, size=PROCESSES, lifetimes=Lifetimes()) as processes:
        secret = await asyncio.to_thread(processes.ask, 0, "login", expired)
        provider.delay = 0.3
        got: Counter[str] = sum(
            await asyncio.to_thread(processes.all, "refresh", secret), Counter()
        )
    ((answer, requests),) = got.items()
    generation, token = answer.split()
    assert (generation, requests) == ("2", PROCESSES * OPENINGS * REQUESTS)
    assert provider.is_live(token)
    assert provider.seen["refresh_token"] == 1


@pytest.mark.parametrize("gone", ["before it asked", "after the answer"])
async def test_a_leaseholder_that_is_killed_delays_others_by_its_lease_at_most(
    url: str, provider: FakeUpstream, expired: UpstreamTokens, reached: Event, gone: Gone
) -> None:
    """What it had not asked for, another asks for.

    What it was given and did not save is lost, and the old refresh token is spent: using it
    again makes a provider as strict as this one end the login. That is the provider's rule.
    """
    async with pool(url, provider, reached, size=2, lifetimes=Lifetimes(lease=LEASE)) as processes:
        secret = await asyncio.to_thread(processes.ask, 0, "login", expired)
        processes.tell(0, "die", secret, gone)
        assert await asyncio.to_thread(reached.wait, 20)
        processes.kill(0)
        begin = time.monotonic()
        got: Counter[str] = await asyncio.to_thread(processes.ask, 1, "use", secret)
        assert time.monotonic() - begin < LEASE + SLACK
    assert got.total() == OPENINGS * REQUESTS
    if gone == "before it asked":
        ((token, _),) = got.items()
        assert provider.is_live(token)
        assert provider.seen["refresh_token"] == 1
    else:
        assert set(got) <= {Reason.UPSTREAM_REFUSED, Reason.REVOKED}
        assert provider.seen["refresh_token"] == 2


async def test_a_leaseholder_that_is_slow_keeps_its_lease(
    url: str, provider: FakeUpstream, expired: UpstreamTokens, reached: Event
) -> None:
    """The provider has spent the refresh token, and who the user is takes longer than a lease."""
    async with pool(
        url, provider, reached, size=2, lifetimes=Lifetimes(lease=LONG_LEASE)
    ) as processes:
        secret = await asyncio.to_thread(processes.ask, 0, "login", expired)
        processes.tell(0, "linger", secret)
        assert await asyncio.to_thread(reached.wait, 20)
        got: Counter[str] = await asyncio.to_thread(processes.ask, 1, "use", secret)
        assert await asyncio.to_thread(processes.result, 0) == "renewed"
    ((token, _),) = got.items()
    assert provider.is_live(token)
    assert provider.seen["refresh_token"] == 1
