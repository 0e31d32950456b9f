"""Consents that users let Mintage remember: records of their own beside the grants.

A record's key is a keyed hash of who agreed and to what. So only the same user, and only for the
same terms, finds it. No list of grants shows it.
"""

import hmac
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_any, open_box, seal
from mintage.errors import Exists, RecordError, SealError
from mintage.grants import handles
from mintage.grants.records import NO_TOKENS, Head
from mintage.partly_shown import PartlyShown
from mintage.stores.protocol import Cursor, Index, Store
from mintage.values import ClientId, GrantId, RandomBytes, Scopes
from mintage.vault.values import VaultKeys

log = logging.getLogger("mintage.vault")

MOST_CONSENTS: Final = 50
"""How many one user may have at one provider. A new one replaces the oldest."""


class RememberedConsent(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a user agreed to, and until when it is remembered.

    *terms*: a hash of everything that the page asked. The rest is for people to read.
    """

    issuer: str
    subject: str
    terms: bytes
    client_id: ClientId
    redirect_uri: str
    resources: tuple[str, ...]
    scopes: Scopes
    created_at: int
    expires_at: int


class StoredConsent(PartlyShown, frozen=True):
    """A remembered consent, and its *key* in the store."""

    not_shown = ("key",)

    key: bytes
    consent: RememberedConsent

    @property
    def id(self) -> GrantId:
        """Its public id, which a form sends to forget it."""
        return handles.grant_id(self.key)


class Consents:
    """*keys*: the first encrypts and makes names, all decrypt and find."""

    def __init__(self, store: Store, keys: Sequence[VaultKeys], random_bytes: RandomBytes) -> None:
        self._store = store
        self._keys = {one.id: one for one in keys}
        self._active = keys[0]
        self._random_bytes = random_bytes

    def names(self, issuer: str, subject: str, terms: bytes) -> list[bytes]:
        """The keys in the store: under the secret in use, and under others."""
        return self._hashes("remembered consent", issuer, subject, terms)

    async def remember(self, consent: RememberedConsent) -> bytes:
        """Store *consent*, in place of an earlier one to the same terms. Returns its key."""
        who = (consent.issuer, consent.subject)
        names = self.names(*who, consent.terms)
        for name in names:
            await self._store.delete(name)
        with suppress(Exists):  # the same person agreed to the same at the same time
            key = names[0]
            head = Head.make(self._active.id, NO_TOKENS).raw
            record = head + self._seal(consent, head + key)
            await self._store.insert(key, record, self._index(consent, key), consent.expires_at)
        oldest_first = sorted([each async for each in self.of(*who)], key=_age)
        for surplus in oldest_first[:-MOST_CONSENTS]:
            await self.forget(surplus)
        return names[0]

    async def load(self, key: bytes) -> RememberedConsent | None:
        """The consent under *key*, if it is there. The caller checks whether it has ended."""
        seen = await self._store.load(key)
        if seen is None:
            return None
        try:
            head = Head.of(seen.record)
            opened = open_box(
                seen.record[len(head.raw) :],
                key=BoxKey(self._keys[head.sealed_under].seal),
                context=_context(head.raw + key),
            )
            return msgspec.msgpack.decode(opened, type=RememberedConsent)
        except (SealError, RecordError, KeyError, msgspec.DecodeError) as error:
            log.warning("a remembered consent can't be read, so the user is asked: %s", error)
            return None

    async def of(self, issuer: str, subject: str) -> AsyncGenerator[StoredConsent, None]:
        """All consents of one user that can be read."""
        for name in self._hashes("remembered consents of", issuer, subject):
            after: Cursor | None = None
            while True:
                page = await self._store.list(subject=name, after=after)
                for entry in page.entries:
                    if (consent := self._summary(entry.summary, entry.key)) is not None:
                        yield StoredConsent(entry.key, consent)
                if page.next is None:
                    break
                after = page.next

    async def forget(self, stored: StoredConsent) -> None:
        """Remove it. The user is asked again, in every browser."""
        await self._store.delete(stored.key)

    def _index(self, consent: RememberedConsent, key: bytes) -> Index:
        return Index(
            subject=self._hashes("remembered consents of", consent.issuer, consent.subject)[0],
            client=self._hashes("remembered consents for", consent.client_id)[0],
            summary=self._seal(consent, b"summary" + key),
        )

    def _summary(self, box: bytes, key: bytes) -> RememberedConsent | None:
        keys = [BoxKey(one.seal) for one in self._keys.values()]
        try:
            opened = open_any(box, keys=keys, context=_context(b"summary" + key))
            return msgspec.msgpack.decode(opened, type=RememberedConsent)
        except (SealError, msgspec.DecodeError):
            return None

    def _seal(self, consent: RememberedConsent, place: bytes) -> bytes:
        return seal(
            msgspec.msgpack.encode(consent),
            key=BoxKey(self._active.seal),
            context=_context(place),
            nonce=self._random_bytes(NONCE_BYTES),
        )

    def _hashes(self, *name: str | bytes) -> list[bytes]:
        encoded = msgspec.msgpack.encode(name)
        return [hmac.digest(known.index, encoded, "sha256") for known in self._keys.values()]


def _context(place: bytes) -> bytes:
    return b"remembered consent\0" + place


def _age(stored: StoredConsent) -> tuple[int, bytes]:
    return stored.consent.created_at, stored.key
