"""Records which root secrets the servers on one store have used, in the store itself.

A server that lacks one of them can thus tell a client that registered under it from an invented
client id. The record has only ids of the secrets, which give no hint of them.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from mintage.errors import SecretMissing
from mintage.stores.protocol import Store
from mintage.values import Clock
from mintage.vault import shared_record

_KEY: Final = hashlib.sha256(b"mintage secrets in use").digest()
_LIFETIME: Final = 10 * 365 * 86400  # seconds
_REREAD: Final = 5.0  # seconds: strangers can cause a read, but no more often


class Used(msgspec.Struct, frozen=True, array_like=True):
    """One secret. *client_key*: the name in client ids of the key that is derived from it."""

    first_seen: int  # seconds since the epoch
    client_key: bytes


_Register = dict[bytes, Used]  # by `VaultKeys.id`
_decode = msgspec.msgpack.Decoder(_Register).decode


class SecretRegister:
    """*configured*: the secrets of this server by id, with the names of their keys in client ids.

    *steady* is a clock that cannot be set, for how long an answer is cached.
    """

    def __init__(
        self, store: Store, configured: Mapping[bytes, bytes], *, clock: Clock, steady: Clock
    ) -> None:
        self._store = store
        self._configured = dict(configured)
        self._clock = clock
        self._steady = steady
        self._read: tuple[float, _Register] | None = None

    async def note(self) -> None:
        """Enter the configured secrets. Raises `StoreUnavailable`."""
        now = int(self._clock())

        def with_ours(register: _Register) -> _Register:
            ours = {name: Used(now, key) for name, key in self._configured.items()}
            return ours | register

        await self._change(with_ours)

    async def strike_out(self, names: Collection[bytes]) -> None:
        """Remove secrets that are lost. Raises `StoreUnavailable`."""
        await self._change(
            lambda register: {name: used for name, used in register.items() if name not in names}
        )

    async def missing(self) -> dict[bytes, Used]:
        """The secrets that other servers used and this one lacks."""
        register = await self._load()
        return {name: used for name, used in register.items() if name not in self._configured}

    async def check_client_key(self, client_key: bytes) -> None:
        """Raise `SecretMissing` if *client_key* belongs to a secret that is not here."""
        for name, used in (await self._recent()).items():
            if used.client_key == client_key and name not in self._configured:
                raise SecretMissing("a registered client", name.hex())

    async def _recent(self) -> _Register:
        if self._read is None or self._steady() >= self._read[0] + _REREAD:
            register = await self._load()
            self._read = self._steady(), register
        return self._read[1]

    async def _load(self) -> _Register:
        seen = await self._store.load(_KEY)
        return {} if seen is None else _decode(seen.record)

    async def _change(self, change: Callable[[_Register], _Register]) -> None:
        def new(record: bytes | None) -> bytes | None:
            before = {} if record is None else _decode(record)
            after = change(before)
            return None if after == before else msgspec.msgpack.encode(after)

        expires_at = int(self._clock()) + _LIFETIME
        await shared_record.change(self._store, _KEY, new, expires_at=expires_at)
        self._read = None
