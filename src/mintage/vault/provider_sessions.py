"""Which users logged in during a session at their provider (the ``sid`` of OpenID Connect).

A logout token may name the session alone. So each login during a session adds its user to a record
of a few bytes, under a keyed hash of the session's id, and encrypted. Grants are found by the user.

The record also says when the session ended. Another one says when all sessions of a user did. A
login that began before that and comes later, which no list of grants contained, is refused.
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

_Name: TypeAlias = tuple[str, str, str]  # what it is, the provider's issuer, and an id there
_Found: TypeAlias = "tuple[Versioned | None, _Session]"


class _Session(msgspec.Struct, frozen=True, array_like=True):
    """*until*: when the record ends. *ended_at*: when the session ended at the provider."""

    subjects: tuple[str, ...] = ()
    until: int = 0
    ended_at: int | None = None

    def ended_after(self, at: int) -> bool:
        """Whether a login of the time *at* comes too late."""
        return self.ended_at is not None and at <= self.ended_at

    def joined(self, subject: str, until: int) -> "_Session":
        others = tuple(each for each in self.subjects if each != subject)
        return _Session((*others, subject)[-_MOST:], max(self.until, until), self.ended_at)


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

    async def join(
        self, login: Consent, tokens: UpstreamTokens | None, since: int | None = None
    ) -> bool:
        """Note who logged in during the session of *tokens*, if they name one.

        False if it has ended since the login, or the user was logged out everywhere. *since*: when
        the provider asserted who the user is, if that was before the login.
        """
        who, at = login.identity, login.created_at if since is None else since
        _, user = await self._load(self._keys[0], _user(who.issuer, who.subject))
        if user.ended_after(at):
            return False
        until = at + self._lifetime
        if tokens is None or tokens.sid is None or until <= self._clock():
            return True
        name = _session(who.issuer, tokens.sid)
        for _ in range(_ATTEMPTS):
            found, known = await self._load(self._keys[0], name)
            if known.ended_after(at):
                return False
            if who.subject in known.subjects and known.until >= until:
                return True
            if await self._write(self._keys[0], name, found, known.joined(who.subject, until)):
                return True
        raise StoreUnavailable("other logins kept changing the provider's session")

    async def end(self, issuer: str, sid: str) -> frozenset[str]:
        """Note that the session has ended. Returns the users who logged in during it."""
        return await self._end(_session(issuer, sid))

    async def end_all(self, issuer: str, subject: str) -> None:
        """Note that all sessions of *subject* have ended."""
        await self._end(_user(issuer, subject))

    async def _end(self, name: _Name) -> frozenset[str]:
        """Note it under each key: a login may be under way that uses another one."""
        subjects: set[str] = set()
        for keys in self._keys:
            subjects.update(await self._end_under(keys, name, int(self._clock())))
        return frozenset(subjects)

    async def _end_under(self, keys: VaultKeys, name: _Name, at: int) -> tuple[str, ...]:
        for _ in range(_ATTEMPTS):
            found, known = await self._load(keys, name)
            over = _Session(known.subjects, max(known.until, at + _MARK_SECONDS), at)
            if await self._write(keys, name, found, over):
                return known.subjects
        raise StoreUnavailable("logins kept changing the provider's session")

    async def _load(self, keys: VaultKeys, name: _Name) -> _Found:
        """(the record, what it says). A record that can't be read says nothing."""
        key = _store_key(keys, name)
        found = await self._store.load(key)
        if found is None:
            return None, _Session()
        try:
            plaintext = open_box(found.record, key=BoxKey(keys.seal), context=_context(key))
            return found, _decoder.decode(plaintext)
        except (SealError, msgspec.DecodeError):
            return found, _Session()

    async def _write(
        self, keys: VaultKeys, name: _Name, found: Versioned | None, session: _Session
    ) -> bool:
        """Whether it was written: nobody else has changed the record since it was *found*."""
        key = _store_key(keys, name)
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


def _session(issuer: str, sid: str) -> _Name:
    return "provider session", issuer, sid


def _user(issuer: str, subject: str) -> _Name:
    return "provider user", issuer, subject


def _store_key(keys: VaultKeys, name: _Name) -> bytes:
    return hmac.digest(keys.index, msgspec.msgpack.encode(name), "sha256")


def _context(key: bytes) -> bytes:
    return b"provider session\0" + key
