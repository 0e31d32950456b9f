"""Requests of devices that wait for a person (RFC 8628): the one record that nobody logged in for.

A user code is too short to hold a request, so the request is stored under a keyed hash of it. The
endpoint limits how many there are; each is a few hundred bytes, and goes when it was answered or
has expired. It is encrypted under a key from the server's secret and the user code: the store and
the secret together do not show it without trying the codes.
"""

import hmac
from collections.abc import Sequence
from typing import Final

import msgspec

from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_box, record_key, seal
from mintage.errors import RecordError, SealError
from mintage.grants.records import NO_TOKENS, Head
from mintage.stores.protocol import Store
from mintage.values import ClientId, RandomBytes, Scopes
from mintage.vault.values import VaultKeys

_PLACE: Final = b"device request\0"


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a device asks for.

    *secret*: of the grant that an approval makes. *address*: from where the device asked.
    """

    secret: bytes
    client_id: ClientId
    client_name: str
    scopes: Scopes
    resource: str
    more_resources: tuple[str, ...]
    left_out: Scopes
    address: str | None
    created_at: int
    expires_at: int
    host: str | None = None
    vouched: bool = False

    def __repr__(self) -> str:
        return f"DeviceRequest({self.client_id!r}, …)"


class DeviceRequests:
    """*keys*: the first encrypts and makes names, all decrypt and find."""

    def __init__(self, store: Store, keys: Sequence[VaultKeys], random_bytes: RandomBytes) -> None:
        self._store = store
        self._keys = tuple(keys)
        self._random_bytes = random_bytes

    async def insert(self, user_code: str, request: DeviceRequest) -> None:
        """Store *request* until it expires. Raises `Exists` if another one has this code."""
        keys = self._keys[0]
        name, head = _name(keys, user_code), Head.make(keys.id, NO_TOKENS).raw
        box = seal(
            msgspec.msgpack.encode(request),
            key=_box_key(keys, user_code),
            context=_PLACE + head + name,
            nonce=self._random_bytes(NONCE_BYTES),
        )
        await self._store.insert(name, head + box, None, request.expires_at)

    async def load(self, user_code: str) -> DeviceRequest | None:
        """The request that waits under *user_code*; None if there is none."""
        for keys in self._keys:
            name = _name(keys, user_code)
            seen = await self._store.load(name)
            if seen is None:
                continue
            try:
                head = Head.of(seen.record).raw
                plain = open_box(
                    seen.record[len(head) :],
                    key=_box_key(keys, user_code),
                    context=_PLACE + head + name,
                )
                return msgspec.msgpack.decode(plain, type=DeviceRequest)
            except (SealError, RecordError, msgspec.DecodeError):
                return None
        return None

    async def remove(self, user_code: str) -> None:
        """The person has answered: the code leads nowhere any more."""
        for keys in self._keys:
            await self._store.delete(_name(keys, user_code))


def _name(keys: VaultKeys, user_code: str) -> bytes:
    return hmac.digest(keys.index, _PLACE + user_code.encode(), "sha256")


def _box_key(keys: VaultKeys, user_code: str) -> BoxKey:
    return record_key(keys.seal, _PLACE + user_code.encode())
