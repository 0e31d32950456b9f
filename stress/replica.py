"""One process's vault on a store, and the few requests that stress tests make of it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tests.support import logins
from tests.support.logins import CLIENT

from mintage.grants.handles import Handle, parse_code
from mintage.grants.states import UpstreamTokens
from mintage.grants.transitions import Refreshment
from mintage.stores.opening import open_store
from mintage.vault.values import Lifetimes, OpenGrant, Refused, Renew
from mintage.vault.vault import Vault


class Replica:
    """*vault*, listening to what other processes change."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        lifetimes: Lifetimes | None = None,
        listening: bool = True,
        renew: Renew | None = None,
    ) -> AsyncIterator[Self]:
        store = await open_store(url, clock=time.time)
        vault = logins.vault_on(store, time.time, renew=renew, lifetimes=lifetimes)
        watcher = asyncio.create_task(vault.watch() if listening else asyncio.sleep(0))
        try:
            yield cls(vault)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await vault.drain()
            await store.close()

    async def code(self, upstream: UpstreamTokens | None = None) -> str:
        """The code of a new login, each of another user."""
        return await logins.new_code(
            self.vault,
            secrets.token_hex(8),
            at=int(time.time()),
            upstream=upstream or UpstreamTokens(access_token="a" * 1200),
        )

    async def redeem(self, code: str) -> OpenGrant | Refused:
        return await logins.redeem(self.vault, code)

    async def login(self, upstream: UpstreamTokens | None = None) -> bytes:
        """The secret of a new grant, redeemed."""
        code = await self.code(upstream)
        opened = await self.redeem(code)
        assert isinstance(opened, OpenGrant), opened
        return secret_of(code)

    async def refresh(self, secret: bytes, generation: int) -> OpenGrant | Refused:
        request = Refreshment(client_id=CLIENT, generation=generation, scopes=None, resource=None)
        return await self.vault.rotate(secret, request)

    async def authenticate(self, secret: bytes) -> OpenGrant | Refused:
        return await self.vault.live.authenticate(Handle(secret, 1, "access"))

    async def revoke(self, secret: bytes) -> Refused:
        return await self.vault.revocation.revoke(Handle(secret, 1, "access"), CLIENT)


def secret_of(code: str) -> bytes:
    """The secret of the grant that *code* is for."""
    parsed = parse_code(code)
    assert parsed is not None
    return parsed[0]
