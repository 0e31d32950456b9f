"""Names that work once, on whatever replica: a login's callback, an assertion, a logout token."""

import hashlib
from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import Exists, StoreUnavailable
from mintage.stores.protocol import Store
from mintage.values import RandomBytes
from mintage.vault.stored_grants import StoredGrants

_CLAIM_BYTES: Final = 8
_MAX_UNSURE: Final = 10_000


class SingleUse:
    """Claims names. ``vault.single_use`` is one."""

    def __init__(self, store: Store, grants: StoredGrants, random_bytes: RandomBytes) -> None:
        self._store = store
        self._grants = grants
        self._random_bytes = random_bytes
        self._unsure: BoundedMemory[bytes, bytes] = BoundedMemory(_MAX_UNSURE)

    async def claim(self, name: bytes, *, expires_at: int) -> bool:
        """Claim *name* until *expires_at*. Returns whether it was free.

        If the store failed and may have written the claim, the next call for *name* in this process
        finds out, and the claim is that call's.
        """
        key, record = _claim_key(name), self._random_bytes(_CLAIM_BYTES)
        try:
            await self._grants.insert_once(key, record, None, expires_at)
        except Exists:
            return await self._is_unsure_claim(key)
        except StoreUnavailable:
            self._unsure[key] = record
            raise
        return True

    async def _is_unsure_claim(self, key: bytes) -> bool:
        """Whether the claim at *key* is one of this process that got no answer. True once."""
        if key not in self._unsure:
            return False
        seen = await self._store.load(key)
        return seen is not None and seen.record == self._unsure.pop(key, None)

    async def is_claimed(self, name: bytes) -> bool:
        """Whether *name* was claimed, and the claim has not ended.

        No, if this process made the claim and got no answer: `claim` may still succeed.
        """
        key = _claim_key(name)
        return await self._store.load(key) is not None and key not in self._unsure


def _claim_key(name: bytes) -> bytes:
    # No secret goes into it: replicas must agree on it while a secret is replaced.
    return hashlib.sha256(b"mintage claim\0" + name).digest()
