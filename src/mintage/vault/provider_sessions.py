"""Which users logged in during a session at their provider (the ``sid`` of OpenID Connect).

A logout token may name the session alone. So each login during a session adds its user to a record
of a few bytes, under a keyed hash of the session's id, and encrypted. Grants are found by the user.

The record also says when the session ended. A login that began before that and comes later, which
no list of grants contained, is refused.
"""

import hmac
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_box, seal
from mintage.errors import Exists, SealError, Stale, StoreUnavailable
from mintage.grants.states import Consent, UpstreamTokens
from mintage.stores.protocol import Store, Versioned
from mintage.values import Clock, RandomBytes
from mintage.vault.values import VaultKeys

_ATTEMPTS: Final = 20  # each lost race is another login's progress
_MOST: Final = 50  # users of one session; the oldest leave
_TEN_YEARS: Final = 10 * 365 * 86_400  # seconds
_MARK_SECONDS: Final = 600  # for a session in which nobody logged in so far: a login takes less

_Found: TypeAlias = "tuple[Versioned | None, _Session]"


class _Session(msgspec.Struct, frozen=True, array_like=True):
    """*until*: when the record ends. *ended_at*: when the session ended at the provider."""

    subjects: tuple[str, ...] = ()
    until: int = 0
    ended_at: int | None = None


_decoder: msgspec.msgpack.Decoder[_Session] = msgspec.msgpack.Decoder(_Session)


class ProviderSessions:
    """*keys*: the first is for new records, all find and read them.

    *lifetime*: how many seconds a login lasts in all; None: as long as it is refreshed.
    """

    def __init__(
        self,
        store: Store,
        keys: Sequence[VaultKeys],
        *,
        clock: Clock,
        lifetime: int | None,
        random_bytes: RandomBytes,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._lifetime = lifetime or _TEN_YEARS
        self._random_bytes = random_bytes

    async def join(self, login: Consent, tokens: UpstreamTokens) -> bool:
        """Note who logged in during the session of *tokens*. False if it has ended since then."""
        until = login.created_at + self._lifetime
        if tokens.sid is None or until <= self._clock():
            return True
        who, at = login.identity, login.created_at
        issuer, sid, subject = who.issuer, tokens.sid, who.subject

        def joined(known: _Session) -> _Session | None:
            if known.ended_at is not None and at <= known.ended_at:
                return None
            others = tuple(each for each in known.subjects if each != subject)
            return _Session((*others, subject)[-_MOST:], max(known.until, until), known.ended_at)

        keys = self._keys[0]
        for _ in range(_ATTEMPTS):
            found, known = await self._load(keys, issuer, sid)
            session = joined(known)
            if session is None:
                return False
            if subject in known.subjects and known.until >= until:
                return True
            if await self._write(keys, issuer, sid, found, session):
                return True
        raise StoreUnavailable("other logins kept changing the provider's session")

    async def end(self, issuer: str, sid: str) -> frozenset[str]:
        """Note that the session has ended. Returns the users who logged in during it."""
        subjects: set[str] = set()
        for keys in self._keys:
            subjects.update(await self._end(keys, issuer, sid, int(self._clock())))
        return frozenset(subjects)

    async def _end(self, keys: VaultKeys, issuer: str, sid: str, at: int) -> tuple[str, ...]:
        for _ in range(_ATTEMPTS):
            found, known = await self._load(keys, issuer, sid)
            over = _Session(known.subjects, max(known.until, at + _MARK_SECONDS), at)
            if await self._write(keys, issuer, sid, found, over):
                return known.subjects
        raise StoreUnavailable("logins kept changing the provider's session")

    async def _load(self, keys: VaultKeys, issuer: str, sid: str) -> _Found:
        """(the record, what it says). A record that can't be read says nothing."""
        key = _store_key(keys, issuer, sid)
        found = await self._store.load(key)
        if found is None:
            return None, _Session()
        try:
            plaintext = open_box(found.record, key=BoxKey(keys.seal), context=_context(key))
            return found, _decoder.decode(plaintext)
        except (SealError, msgspec.DecodeError):
            return found, _Session()

    async def _write(
        self, keys: VaultKeys, issuer: str, sid: str, found: Versioned | None, session: _Session
    ) -> bool:
        """Whether it was written: nobody else has changed the record since it was *found*."""
        key = _store_key(keys, issuer, sid)
        record = seal(
            msgspec.msgpack.encode(session),
            key=BoxKey(keys.seal),
            context=_context(key),
            nonce=self._random_bytes(NONCE_BYTES),
        )
        try:
            if found is None:
                await self._store.insert(key, record, None, session.until)
            else:
                await self._store.replace(key, found, record, session.until)
        except (Exists, Stale):
            return False
        return True


def _store_key(keys: VaultKeys, issuer: str, sid: str) -> bytes:
    name = msgspec.msgpack.encode(("provider session", issuer, sid))
    return hmac.digest(keys.index, name, "sha256")


def _context(key: bytes) -> bytes:
    return b"provider session\0" + key
