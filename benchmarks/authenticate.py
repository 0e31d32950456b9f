"""Authenticating one request at the gateway: from its headers to the open grant.

Warm: the grant is in memory. Cold: it is read from SQLite and opened. FastMCP's
``load_access_token`` on a memory store stands beside them, doing the same job.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import machine
from mintage.grant import Identity, Login, UpstreamTokens, s256
from mintage.keyring import KeyRing
from mintage.resource.bearer import Bearer
from mintage.site import Resource
from mintage.stores.memory import MemoryStore
from mintage.stores.protocol import Store
from mintage.stores.sqlite import SQLiteStore
from mintage.tokens import Tokens
from mintage.values import ClientId
from mintage.vault.cache import GrantCache
from mintage.vault.values import Lifetimes, Opened, VaultKeys
from mintage.vault.vault import Vault

ISSUER = "https://auth.example.com"
RESOURCE = Resource(identifier=f"{ISSUER}/mcp", scopes=("tools",))
VERIFIER = "v" * 43


async def bearer(store: Store, *, ttl: float) -> tuple[Bearer, list[tuple[bytes, bytes]]]:
    """A checker, and the headers of a request that passes it (2 KB of upstream tokens)."""
    cache = GrantCache(clock=time.time, ttl=ttl)
    keys = VaultKeys(seal=secrets.token_bytes(32), index=secrets.token_bytes(32))
    vault = Vault(store, keys, clock=time.time, dice=secrets.token_bytes, cache=cache)
    tokens = Tokens(
        issuer=ISSUER,
        resources=[RESOURCE.identifier],
        keys=KeyRing(secrets.token_bytes(32)),
        lifetimes=Lifetimes(),
        clock=time.time,
    )
    code = await vault.create(
        Login(
            client_id=ClientId("mc1." + "x" * 140),
            resource=RESOURCE.identifier,
            scopes=("tools",),
            identity=Identity(issuer="https://idp.example", subject="alice"),
            created_at=int(time.time()),
        ),
        UpstreamTokens(access_token="a" * 1200, refresh_token="r" * 800),
        code_challenge=s256(VERIFIER),
        redirect_uri="https://app.example/cb",
    )
    opened = await vault.redeem(
        code,
        client_id=ClientId("mc1." + "x" * 140),
        code_verifier=VERIFIER,
        redirect_uri=None,
        resource=None,
    )
    assert isinstance(opened, Opened)
    token = tokens.issue(opened).access_token
    return Bearer(tokens, vault, time.time), [(b"authorization", f"Bearer {token}".encode())]


async def fastmcp() -> Callable[[], Awaitable[Any]]:
    """FastMCP's own check of its own token, with the cheapest upstream verifier there is."""
    from fastmcp.server.auth import AccessToken, TokenVerifier
    from fastmcp.server.auth.oauth_proxy import OAuthProxy
    from fastmcp.server.auth.oauth_proxy.models import JTIMapping, UpstreamTokenSet
    from key_value.aio.stores.memory import MemoryStore as KeyValueMemory

    class Trusting(TokenVerifier):  # type: ignore[misc]
        async def verify_token(self, token: str) -> AccessToken | None:
            return AccessToken(token=token, client_id="c", scopes=["tools"], expires_at=None)

    proxy = OAuthProxy(
        upstream_authorization_endpoint="https://idp.example/authorize",
        upstream_token_endpoint="https://idp.example/token",
        upstream_client_id="c",
        upstream_client_secret="a-client-secret-of-the-upstream-0123456789",
        token_verifier=Trusting(),
        base_url=ISSUER,
        client_storage=KeyValueMemory(),
    )
    proxy.set_mcp_path("/mcp")
    now = time.time()
    await proxy._upstream_token_store.put(
        key="u",
        value=UpstreamTokenSet(
            upstream_token_id="u", access_token="a" * 1200, refresh_token="r" * 800,
            refresh_token_expires_at=now + 1e6, expires_at=now + 1e6, token_type="Bearer",
            scope="tools", client_id="c", created_at=now, raw_token_data={},
        ),
        ttl=10**6,
    )  # fmt: skip
    await proxy._jti_mapping_store.put(
        key="j", value=JTIMapping(jti="j", upstream_token_id="u", created_at=now), ttl=10**6
    )
    token = proxy.jwt_issuer.issue_access_token("c", ["tools"], "j", 10**6)
    assert await proxy.load_access_token(token) is not None
    return lambda: proxy.load_access_token(token)


async def measure(calls: dict[str, Callable[[], Awaitable[Any]]]) -> dict[str, float]:
    """Microseconds for one call each, the median of interleaved batches."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(60):
        for name, call in calls.items():
            begin = time.perf_counter()
            for _ in range(50):
                await call()
            samples[name].append((time.perf_counter() - begin) / 50 * 1e6)
    return {name: sorted(times)[len(times) // 2] for name, times in samples.items()}


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        memory = MemoryStore()
        sqlite = await SQLiteStore.open(Path(directory) / "store.db")
        warm, warm_headers = await bearer(memory, ttl=3600)
        cold, cold_headers = await bearer(sqlite, ttl=0)
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "warm: token → open grant, from memory": lambda: warm.check(warm_headers, RESOURCE),
            "cold: token → SQLite → open grant": lambda: cold.check(cold_headers, RESOURCE),
        }
        try:
            calls["FastMCP load_access_token, memory store"] = await fastmcp()
        except ImportError as error:
            print(f"FastMCP is left out: {error}")
        times = await measure(calls)
        await sqlite.close()
    print(f"Authenticating one request ({machine()})")
    print("| | µs | × FastMCP |\n|---|---:|---:|")
    peer = times.get("FastMCP load_access_token, memory store")
    for name, microseconds in times.items():
        ratio = f"{peer / microseconds:.1f}" if peer else "–"
        print(f"| {name} | {microseconds:.1f} | {ratio} |")


if __name__ == "__main__":
    asyncio.run(main())
