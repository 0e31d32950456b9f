"""Grants as the store keeps them: sealed under their own secret, listed under keyed hashes.

Load, open, let a decision be made, replace; and on a lost race decide again.
"""

import hmac
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from mintage import handles, records
from mintage.errors import NewerRecord, RecordError, SealError, Stale, StoreUnavailable
from mintage.grant import Active, Grant, Keep, Login, Reason, Refuse, Revoke, UpstreamTokens, Write
from mintage.sealing import NONCE_BYTES, BoxKey, record_key, seal
from mintage.stores.protocol import Index, Store, Versioned
from mintage.values import ClientId, Clock, Dice
from mintage.vault.values import Decide, Opened, Refused, VaultKeys

log = logging.getLogger("mintage.vault")

_ATTEMPTS: Final = 100  # each lost race is somebody else's progress; this many is a fault


class SealedGrants:
    """*changed* is told the store key of each grant after it was written, or may have been."""

    def __init__(
        self,
        store: Store,
        keys: VaultKeys,
        *,
        clock: Clock,
        dice: Dice,
        refresh_lifetime: int,
        changed: Callable[[bytes], None],
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._dice = dice
        self._refresh_lifetime = refresh_lifetime
        self._changed = changed

    async def insert(self, secret: bytes, grant: Grant, login: Login, expires_at: int) -> None:
        """Keep a new grant until *expires_at*."""
        key = handles.store_key(secret)
        record = self._encode(grant, secret, key)
        await self._store.insert(key, record, self._index(login, key), expires_at)

    async def change(
        self,
        secret: bytes,
        decision: Decide,
        *,
        orphan: UpstreamTokens | None = None,
    ) -> Opened | Refused:
        """Load, decide, replace; on a lost race, again with what the winner wrote.

        *orphan*: tokens that need revoking if there is no longer a grant to hold them.
        """
        for _ in range(_ATTEMPTS):
            found = await self.load(secret)
            if found is None:
                return Refused(Reason.UNKNOWN, orphan)
            seen, grant = found
            outcome = decision(grant)
            try:
                match outcome:
                    case Keep(grant=kept):
                        return Opened(secret, kept)
                    case Refuse(reason=reason):
                        return Refused(reason, orphan)
                    case Write(grant=active):
                        await self._replace(secret, seen, active)
                        return Opened(secret, active)
                    case Revoke(grant=revoked, upstream=upstream):
                        await self._replace(secret, seen, revoked)
                        return Refused(revoked.reason, upstream)
            except Stale:
                continue
        raise StoreUnavailable("a grant kept changing under us")

    async def _replace(self, secret: bytes, seen: Versioned, grant: Grant) -> None:
        key = handles.store_key(secret)
        expires_at = int(self._clock()) + self._refresh_lifetime
        if isinstance(grant, Active):
            expires_at = grant.rotated_at + self._refresh_lifetime
        try:
            await self._store.replace(key, seen, self._encode(grant, secret, key), expires_at)
        finally:
            # Also after a failure: whether it was written is then not known.
            self._changed(key)

    async def load(self, secret: bytes) -> tuple[Versioned, Grant] | None:
        """The grant that *secret* opens, or None.

        A record that does not open is as good as lost: its client must log in again, and
        an operator must hear of it. One that a newer Mintage wrote is not lost: 503.
        """
        key = handles.store_key(secret)
        seen = await self._store.load(key)
        if seen is None:
            return None
        box_key = record_key(self._keys.seal, secret)
        try:
            return seen, records.decode(seen.record, key=box_key, store_key=key)
        except NewerRecord as newer:
            raise StoreUnavailable(str(newer)) from newer
        except (SealError, RecordError) as error:
            log.error("grant %s: its record is damaged: %s", handles.grant_id(key), error)  # noqa: TRY400
            return None

    def _encode(self, grant: Grant, secret: bytes, key: bytes) -> bytes:
        return records.encode(
            grant,
            key=record_key(self._keys.seal, secret),
            store_key=key,
            nonce=self._dice(NONCE_BYTES),
        )

    def _index(self, login: Login, key: bytes) -> Index:
        """Names for lists: hashes to find by, and who it is under the server's own key."""
        summary = msgspec.msgpack.encode(
            (login.identity.issuer, login.identity.subject, login.client_id, login.created_at)
        )
        return Index(
            subject=self.subject_hash(login.identity.issuer, login.identity.subject),
            client=self.client_hash(login.client_id),
            summary=seal(
                summary,
                key=BoxKey(self._keys.seal),
                context=b"summary\0" + key,
                nonce=self._dice(NONCE_BYTES),
            ),
        )

    def subject_hash(self, issuer: str, subject: str) -> bytes:
        """By what the store lists one user's grants."""
        name = msgspec.msgpack.encode(("subject", issuer, subject))
        return hmac.digest(self._keys.index, name, "sha256")

    def client_hash(self, client_id: ClientId) -> bytes:
        """By what the store lists one client's grants."""
        name = msgspec.msgpack.encode(("client", client_id))
        return hmac.digest(self._keys.index, name, "sha256")
