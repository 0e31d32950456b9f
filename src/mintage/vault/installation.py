"""Identifies the installation that a store belongs to: one record in it, compared at each start.

Two installations on one store would end each other's logins and count each other's secrets. They
differ in their issuers and root secrets. A server that has neither in common with the record
belongs to another installation.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mintage.errors import Exists, Stale, StoreUnusable
from mintage.stores.protocol import Store, Versioned
from mintage.values import RandomBytes

log = logging.getLogger("mintage.store")

KEY: Final = hashlib.sha256(b"mintage installation\0").digest()
_FOREVER: Final = 2**40  # seconds
_ID_BYTES: Final = 8
_ATTEMPTS: Final = 20


class Installation(msgspec.Struct, frozen=True, array_like=True):
    """*id* is drawn once. *issuers* and *secrets* (`VaultKeys.id`) are all that were ever used."""

    id: bytes
    issuers: tuple[str, ...]
    secrets: tuple[bytes, ...]

    def knows(self, issuer: str, secrets: Iterable[bytes]) -> bool:
        """Whether a server with these settings may be one of this installation's."""
        return issuer in self.issuers or not set(secrets).isdisjoint(self.secrets)

    def joined(self, issuer: str, secrets: Iterable[bytes]) -> "Installation":
        """With the issuer and secrets of a server that starts."""
        return Installation(
            self.id,
            tuple(dict.fromkeys((*self.issuers, issuer))),
            tuple(dict.fromkeys((*self.secrets, *secrets))),
        )


async def find(store: Store) -> Installation | None:
    """The installation that *store* belongs to; None for a store that no server has used yet."""
    seen = await store.load(KEY)
    return None if seen is None else _read(seen)


async def check(store: Store, issuer: str, secrets: Sequence[bytes]) -> None:
    """Raises `StoreUnusable` if *store* belongs to another installation."""
    found = await find(store)
    if found is not None and not found.knows(issuer, secrets):
        raise StoreUnusable(
            f"this store belongs to another installation of Mintage ({', '.join(found.issuers)}): "
            "give this one a part of its own, by ?prefix=NAME (Redis), ?schema=NAME (PostgreSQL) "
            "or another file (SQLite); if that installation was given up, run "
            "`mintage store adopt`"
        )


async def join(
    store: Store,
    issuer: str,
    secrets: Sequence[bytes],
    random_bytes: RandomBytes,
    *,
    adopt: bool = False,
) -> None:
    """Join *store*'s installation; the first server founds it.

    Raises `StoreUnusable` if it belongs to another, unless *adopt* takes it over.
    """
    for _ in range(_ATTEMPTS):
        try:
            await _join(store, issuer, secrets, random_bytes, adopt=adopt)
        except (Exists, Stale):
            continue  # another server starts at the same time
        return
    raise StoreUnusable("other servers keep changing whose store this is")


async def _join(
    store: Store, issuer: str, secrets: Sequence[bytes], random_bytes: RandomBytes, *, adopt: bool
) -> None:
    seen = await store.load(KEY)
    if seen is None:
        founded = Installation(random_bytes(_ID_BYTES), (), ()).joined(issuer, secrets)
        await store.insert(KEY, msgspec.msgpack.encode(founded), None, _FOREVER)
        return
    if adopt:
        found = Installation(random_bytes(_ID_BYTES), (), ())
    else:
        found = _read(seen)
        await check(store, issuer, secrets)
    if issuer not in found.issuers and found.issuers:
        log.warning(
            "this store was used by %s too, under the same secret: a grant that one issuer ends "
            "is ended for both; if both are in use, give each a part of its own (?prefix=, "
            "?schema=, another file)",
            ", ".join(found.issuers),
        )
    wanted = found.joined(issuer, secrets)
    if wanted != found:
        await store.replace(KEY, seen, msgspec.msgpack.encode(wanted), _FOREVER)


def _read(seen: Versioned) -> Installation:
    try:
        return msgspec.msgpack.decode(seen.record, type=Installation)
    except msgspec.DecodeError:
        raise StoreUnusable(
            "the record that says whose store this is can't be read: restore the store, or run "
            "`mintage store adopt`"
        ) from None
