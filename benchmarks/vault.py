"""The vault: from a request's headers to the open grant, and what a grant takes to keep.

Warm: the grant is in memory. Cold: it is read from the store and opened. FastMCP's
``load_access_token`` does the same job on its two stores, in the same process, in turns.
"""

import asyncio
import gc
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.servers import Server, program

from benchmarks.aims import Aim, tell
from benchmarks.engines import engines
from benchmarks.timing import machine
from benchmarks.upstream import ACCESS_CHARACTERS, REFRESH_CHARACTERS
from mintage.dpop.proofs import Proofs
from mintage.grant_tokens import Tokens
from mintage.grants.handles import Handle, grant_id, parse_code, store_key
from mintage.grants.lease import Renewed
from mintage.grants.pkce import s256
from mintage.grants.states import Active, Consent, Identity, UpstreamTokens
from mintage.grants.transitions import Redemption, Refreshment
from mintage.jwt.keyring import KeyRing
from mintage.resource.bearer import Bearer
from mintage.resource.possession import Possession
from mintage.site.resource import Resource
from mintage.stores.memory import MemoryStore
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.testing.counting_store import CountingStore
from mintage.values import ClientId
from mintage.vault.cache import GrantCache
from mintage.vault.settings import ProviderCalls, VaultSettings
from mintage.vault.values import Lifetimes, OpenGrant, VaultKeys
from mintage.vault.vault import Vault

Call = Callable[[], Awaitable[Any]]

ISSUER: Final = "https://auth.example.com"
RESOURCE: Final = Resource(path="/mcp", identifier=f"{ISSUER}/mcp", scopes=("tools",))
CLIENT: Final = ClientId("mc1." + "x" * 140)
VERIFIER: Final = "v" * 43
CACHED, STORED = 100_000, 3000
MOST_BYTES: Final = 3500  # of a stored grant
CACHED_MOST: Final = 2560  # bytes of one in the cache
ENDED, ENDED_MOST = 60_000, 1.5  # logins of one user that are over; how many times dearer the next
LOGINS, BUSY = 200, "busy user"
# (what, against what, times at least): the aims of this benchmark
AIMS: Final = (
    ("warm", "FastMCP, memory store", 30),
    ("warm", "FastMCP, default store", 300),
    ("cold, SQLite", "FastMCP, default store", 30),
)


@dataclass(frozen=True, slots=True)
class House:
    """A vault on a store, and what checks requests against it."""

    vault: Vault
    tokens: Tokens

    @classmethod
    def on(cls, store: Store, *, ttl: float = 0, size: int = 1) -> "House":
        """*ttl* (seconds) and *size* are the cache's; by default it keeps nothing."""
        key = secrets.token_bytes(32)
        vault = Vault(
            store,
            VaultSettings(
                keys=(VaultKeys(seal=key, index=key),),
                clock=time.time,
                steady=time.time,
                random_bytes=secrets.token_bytes,
            ),
            ProviderCalls(renew=_renewed),
            cache=GrantCache(clock=time.time, ttl=ttl, size=size),
        )
        tokens = Tokens(
            issuer=ISSUER, resources=[RESOURCE.identifier], keys=KeyRing.of_one(key),
            lifetimes=Lifetimes(), clock=time.time,
        )  # fmt: skip
        return cls(vault, tokens)

    async def code(self, ends_at: int | None = None, subject: str | None = None) -> str:
        """A finished login with 2 KB of upstream tokens, good until *ends_at* or for ever.

        Of *subject*, or of a user of its own.
        """
        return await self.vault.create(
            Consent(
                client_id=CLIENT,
                resource=RESOURCE.identifier,
                scopes=("tools",),
                identity=Identity(
                    issuer="https://idp.example",
                    subject=subject or secrets.token_hex(8),
                    claims={"email": "alice@example.com"},
                ),
                created_at=int(time.time()),
            ),
            upstream_tokens(ends_at),
            code_challenge=s256(VERIFIER),
            redirect_uri="https://app.example/cb",
        )

    async def logged_in(self, ends_at: int | None = None) -> OpenGrant:
        """All that a callback and a token request do."""
        await self.vault.single_use.claim(
            secrets.token_bytes(32), expires_at=int(time.time()) + 600
        )
        secret, code_hash = parse_code(await self.code(ends_at)) or (b"", b"")
        request = Redemption(
            client_id=CLIENT, code_hash=code_hash, code_verifier=VERIFIER, redirect_uri=None,
            resource=None,
        )  # fmt: skip
        opened = await self.vault.redeem(secret, request)
        assert isinstance(opened, OpenGrant)
        return opened

    async def request(self) -> Call:
        """A request that passes, to be made again and again."""
        token = self.tokens.issue(await self.logged_in()).access_token
        bearer = Bearer(self.tokens, self.vault, time.time, Possession(Proofs(), time.time))
        headers = [(b"authorization", f"Bearer {token}".encode())]
        await bearer.check(headers, RESOURCE, (), "POST", "")
        return lambda: bearer.check(headers, RESOURCE, (), "POST", "")


async def fastmcp(*, memory: bool) -> Call:
    """FastMCP's own check of its own token, with the cheapest upstream verifier there is."""
    from fastmcp.server.auth.oauth_proxy.models import JTIMapping, UpstreamTokenSet

    from benchmarks.peers import oauth_proxy

    proxy = oauth_proxy(ISSUER, "https://idp.example", memory=memory)
    proxy.set_mcp_path("/mcp")
    now = time.time()
    tokens = UpstreamTokenSet(
        upstream_token_id="u", access_token="a" * ACCESS_CHARACTERS,
        refresh_token="r" * REFRESH_CHARACTERS, refresh_token_expires_at=now + 1e6,
        expires_at=now + 1e6, token_type="Bearer", scope="tools", client_id="c",
        created_at=now, raw_token_data={},
    )  # fmt: skip
    await proxy._upstream_token_store.put(key="u", value=tokens, ttl=10**6)
    mapping = JTIMapping(jti="j", upstream_token_id="u", created_at=now)
    await proxy._jti_mapping_store.put(key="j", value=mapping, ttl=10**6)
    token = proxy.jwt_issuer.issue_access_token("c", ["tools"], "j", 10**6)
    assert await proxy.load_access_token(token) is not None
    return lambda: proxy.load_access_token(token)


async def timed(calls: dict[str, Call], *, rounds: int = 40) -> dict[str, float]:
    """Microseconds for one call each, the median of interleaved batches of about 10 ms."""
    repeats = {name: max(2, int(0.01 / await _batch(call, 3))) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            samples[name].append(await _batch(call, repeats[name]) * 1e6)
    return {name: sorted(times)[len(times) // 2] for name, times in samples.items()}


async def _batch(call: Call, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        await call()
    return (time.perf_counter() - begin) / repeats


async def authenticate(stores: dict[str, Store]) -> None:
    calls = {"warm": await House.on(MemoryStore(), ttl=3600, size=10).request()}
    for name, store in stores.items():
        calls[f"cold, {name}"] = await House.on(store).request()
    calls["FastMCP, memory store"] = await fastmcp(memory=True)
    calls["FastMCP, default store"] = await fastmcp(memory=False)
    times = await timed(calls)
    peers = ("FastMCP, memory store", "FastMCP, default store")
    print("| token → open grant | µs | × FastMCP, memory store | × FastMCP, default store |")
    print("|---|---:|---:|---:|")
    for name, microseconds in times.items():
        ratios = " | ".join(f"{times[peer] / microseconds:.1f}" for peer in peers)
        print(f"| {name} | {microseconds:.1f} | {ratios} |")
    print("\n| | measured | aim |\n|---|---:|---:|")
    for name, peer, aim in AIMS:
        ratio = times[peer] / times[name]
        print(f"| {name}, against {peer} | {ratio:.0f} × | {aim} × |")
        tell(Aim(f"token → open grant, {name}, against {peer}", ratio, aim))


async def operations() -> None:
    store = CountingStore(MemoryStore())
    house = House.on(store, ttl=3600, size=10)
    print("\n| | reads | lists | writes | bytes written |\n|---|---:|---:|---:|---|")

    def row(name: str) -> None:
        seen, lengths = store.seen, " + ".join(map(str, store.lengths)) or "–"
        print(f"| {name} | {seen['load']} | {seen['list']} | {store.writes} | {lengths} |")
        store.forget()

    refreshment = Refreshment(client_id=CLIENT, generation=1, scopes=None, resource=None)
    for name, ends_at in (("refresh, upstream renewed", 1), ("refresh", None)):
        store.forget()
        opened = await house.logged_in(ends_at)
        if ends_at is None:
            row("login")
        store.forget()
        await house.vault.rotate(opened.secret, refreshment)
        row(name)
    for name in ("request, cold", "request, warm"):
        await house.vault.live.authenticate(Handle(opened.secret, 2, "access"))
        row(name)
    await house.vault.revocation.revoke(Handle(opened.secret, 2, "refresh"), CLIENT)
    row("revocation")


async def refreshes(stores: dict[str, Store]) -> None:
    """What one refresh takes, at a provider that answers at once."""
    print("\n| a refresh, µs | upstream fresh | upstream renewed |\n|---|---:|---:|")
    for name, store in stores.items():
        house = House.on(store)
        medians = [await _refresh_us(house, ends_at) for ends_at in (None, 1)]
        print(f"| {name} | {medians[0]:.0f} | {medians[1]:.0f} |", flush=True)


async def _refresh_us(house: House, ends_at: int | None) -> float:
    """The median of some refreshes, each of a login of its own."""
    refreshment = Refreshment(client_id=CLIENT, generation=1, scopes=None, resource=None)
    logins = [await house.logged_in(ends_at) for _ in range(LOGINS)]
    times = []
    for opened in logins:
        begin = time.perf_counter()
        await house.vault.rotate(opened.secret, refreshment)
        times.append((time.perf_counter() - begin) * 1e6)
    return sorted(times)[len(times) // 2]


async def after_ended(stores: dict[str, Store], count: int = ENDED) -> bool:
    """What a login costs its user after so many ended ones at the same client."""
    print(
        f"\n| a login, ms | the first ones | after {count:,} ended ones | × (aim: {ENDED_MOST}) |"
    )
    print("|---|---:|---:|---:|")
    met = True
    for name, store in stores.items():
        house = House.on(store)
        first = await _login_ms(house)
        await _end_many(house, count)
        last = await _login_ms(house)
        met &= last / first <= ENDED_MOST
        what = f"a login after {count:,} ended ones, {name}, against the first ones"
        tell(Aim(what, last / first, ENDED_MOST, at_most=True))
        print(f"| {name} | {first:.2f} | {last:.2f} | {last / first:.2f} |", flush=True)
    return met


async def _login_ms(house: House) -> float:
    """The median of some logins of one user; each ends the one before by revoking it."""
    times = []
    for _ in range(LOGINS):
        begin = time.perf_counter()
        code = await house.code(subject=BUSY)
        times.append((time.perf_counter() - begin) * 1e3)
        await _revoke(house, code)
    return sorted(times)[len(times) // 2]


async def _end_many(house: House, count: int) -> None:
    """Half of them by their clients' word, half by the operator's."""
    left = iter(range(count))

    async def some() -> None:
        for number in left:
            code = await house.code(subject=BUSY)
            if number % 2:
                await _revoke(house, code)
                continue
            secret, _ = parse_code(code) or (b"", b"")
            found = await house.vault.listing.get(grant_id(store_key(secret)))
            if found is not None:  # more than twenty at once end each other
                await house.vault.listing.end(found)

    await asyncio.gather(*(some() for _ in range(16)))


async def _revoke(house: House, code: str) -> None:
    secret, _ = parse_code(code) or (b"", b"")
    await house.vault.revocation.revoke(Handle(secret, 1, "refresh"), CLIENT)


def upstream_tokens(ends_at: int | None) -> UpstreamTokens:
    """As long as those of many providers, and new."""
    return UpstreamTokens(
        access_token=secrets.token_urlsafe(32).ljust(ACCESS_CHARACTERS, "a"),
        refresh_token=secrets.token_urlsafe(32).ljust(REFRESH_CHARACTERS, "r"),
        expires_at=ends_at,
    )


async def _renewed(_: UpstreamTokens, __: Identity) -> Renewed:
    return Renewed(upstream_tokens(int(time.time()) + 3600))


async def cached_bytes() -> float:
    """Memory of one open grant in the cache."""
    store = MemoryStore()
    house = House.on(store, ttl=3600, size=CACHED)
    handles = []
    for _ in range(1000):
        opened = await house.logged_in()
        handles.append(Handle(opened.secret, 1, "access"))
    cache = GrantCache(clock=time.time, ttl=3600, size=CACHED)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(CACHED):
        outcome = await house.vault._grants.load(handles[number % len(handles)].secret)
        assert outcome is not None
        key = number.to_bytes(32, "big")
        assert isinstance(outcome[1], Active)
        secret = bytes(bytearray(handles[number % len(handles)].secret))  # each has its own
        cache.put(key, OpenGrant(secret, outcome[1]), cache.ticket(key))
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size / CACHED


async def stored_bytes(store: Store, size: Callable[[], int]) -> float:
    """What the engine grows by for one grant, its names in lists and all."""
    house = House.on(store)
    for _ in range(STORED // 10):
        await house.code()
    before = size()
    for _ in range(STORED):
        await house.code()
    return (size() - before) / STORED


def size_of(url: str, server: Server | None) -> Callable[[], int]:
    """A measure of the engine: its file's, its database's or its memory's bytes."""
    if server is None:
        return lambda: _sqlite_size(url.partition("://")[2])
    if url.startswith("redis"):
        return lambda: int(_ask("redis-cli", server, "info", "memory").split()[2].partition(":")[2])
    query = "select pg_database_size('mintage')"
    return lambda: int(_ask("psql", server, "-h", "127.0.0.1", "-U", "mintage", "-Atc", query))


def _sqlite_size(path: str) -> int:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ((pages,),) = db.execute("PRAGMA page_count").fetchall()
    ((bytes_,),) = db.execute("PRAGMA page_size").fetchall()
    db.close()
    return int(pages * bytes_)


def _ask(name: str, server: Server, *words: str) -> str:
    command = [program(name), "-p", str(server.port), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


async def ended_alone(count: int, names: list[str]) -> None:
    """``python -m benchmarks.vault ended [HOW MANY [STORE…]]``: only what ended logins cost."""
    print(f"The vault ({machine()})")
    with tempfile.TemporaryDirectory() as name, engines(Path(name)) as found:
        stores: dict[str, Store] = {"memory": MemoryStore()} | {
            engine: await open_store(url, clock=time.time)
            for engine, (url, _) in found.items()
            if not names or engine in names
        }
        met = await after_ended({n: s for n, s in stores.items() if not names or n in names}, count)
        for store in stores.values():
            await store.close()
    sys.exit(0 if met else 1)


async def main() -> None:
    print(f"The vault ({machine()})\n")
    with tempfile.TemporaryDirectory() as name, engines(Path(name)) as found:
        os.environ["FASTMCP_HOME"] = f"{name}/fastmcp"
        os.environ["FASTMCP_LOG_LEVEL"] = "ERROR"
        stores = {
            engine: await open_store(url, clock=time.time) for engine, (url, _) in found.items()
        }
        # First: an engine that had more would put new grants where others were.
        print(f"| one grant takes | bytes (aim of what is stored: {MOST_BYTES:,}) |\n|---|---:|")
        size = await cached_bytes()
        print(f"| in the cache, open ({CACHED:,} of them; aim {CACHED_MOST:,}) | {size:,.0f} |")
        tell(Aim("a cached grant", size, CACHED_MOST, "bytes", at_most=True))
        for engine, store in stores.items():
            grown = await stored_bytes(store, size_of(*found[engine]))
            print(f"| in {engine} ({STORED:,} of them) | {grown:,.0f} |")
            tell(Aim(f"a grant in {engine}", grown, MOST_BYTES, "bytes", at_most=True))
        print()
        await authenticate(stores)
        await operations()
        await refreshes(stores | {"memory": MemoryStore()})
        await after_ended(stores | {"memory": MemoryStore()})
        for store in stores.values():
            await store.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["ended"]:
        asyncio.run(ended_alone(int(sys.argv[2]) if sys.argv[2:] else ENDED, sys.argv[3:]))
    else:
        asyncio.run(main())
