"""The clients that operators have denied: one encrypted record in the store, for all servers."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_any, seal
from mintage.errors import SealError, StoreUnusable
from mintage.stores.protocol import Store
from mintage.values import Clock, RandomBytes
from mintage.vault import shared_record
from mintage.vault.values import VaultKeys

_KEY: Final = hashlib.sha256(b"mintage denied clients\0").digest()
_FOREVER: Final = 2**40  # seconds
MOST: Final = 1000


class Denial(msgspec.Struct, frozen=True, array_like=True):
    """*name*: a client_id, or a host. *since*: seconds since the epoch. *by*: the operator."""

    name: str
    since: int
    by: str | None = None


_Denials: TypeAlias = dict[str, Denial]
_decode = msgspec.msgpack.Decoder(tuple[Denial, ...]).decode


class Denials:
    """*keys*: the first encrypts, all decrypt."""

    def __init__(
        self,
        store: Store,
        keys: Sequence[VaultKeys],
        *,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        self._store = store
        self._keys = [BoxKey(one.seal) for one in keys]
        self._clock = clock
        self._random_bytes = random_bytes

    async def load(self) -> tuple[Denial, ...]:
        """All denials, by name. Raises `StoreUnavailable` and `StoreUnusable`."""
        seen = await self._store.load(_KEY)
        return tuple(self._open(None if seen is None else seen.record).values())

    async def deny(self, name: str, *, by: str | None) -> bool:
        """Deny *name*. Returns whether it was admitted before."""
        denial = Denial(name, int(self._clock()), by)
        return await self._change(lambda found: {name: denial} | found)

    async def admit(self, name: str) -> bool:
        """Deny *name* no longer. Returns whether it was denied."""
        return await self._change(
            lambda found: {each: one for each, one in found.items() if each != name}
        )

    async def reseal(self) -> None:
        """Encrypt the record under the secret in use, so that it outlives former ones."""

        def under_the_first(record: bytes | None) -> bytes | None:
            if record is None or self._is_under_the_first(record):
                return None
            return self._seal(self._open(record))

        await shared_record.change(self._store, _KEY, under_the_first, expires_at=_FOREVER)

    async def _change(self, change: Callable[[_Denials], _Denials]) -> bool:
        changed = False

        def new(record: bytes | None) -> bytes | None:
            nonlocal changed
            before = self._open(record)
            after = change(before)
            changed = after.keys() != before.keys()
            if len(after) > MOST:
                raise StoreUnusable(f"{MOST} clients are denied already: admit some of them first")
            return self._seal(after) if changed else None

        await shared_record.change(self._store, _KEY, new, expires_at=_FOREVER)
        return changed

    def _open(self, record: bytes | None) -> _Denials:
        if record is None:
            return {}
        try:
            found = _decode(open_any(record, keys=self._keys, context=_KEY))
        except (SealError, msgspec.DecodeError):
            raise StoreUnusable(
                "the list of denied clients does not decrypt with the configured secrets: put the "
                "missing secret back"
            ) from None
        return {one.name: one for one in found}

    def _is_under_the_first(self, record: bytes) -> bool:
        try:
            open_any(record, keys=self._keys[:1], context=_KEY)
        except SealError:
            return False
        return True

    def _seal(self, found: _Denials) -> bytes:
        return seal(
            msgspec.msgpack.encode(tuple(sorted(found.values(), key=lambda one: one.name))),
            key=self._keys[0],
            context=_KEY,
            nonce=self._random_bytes(NONCE_BYTES),
        )
