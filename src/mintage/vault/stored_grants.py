"""Reads and changes grants in the store: load, open, decide, replace; after a lost race, again."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from mintage.concurrency.backoff import pause
from mintage.errors import (
    Exists,
    NewerRecord,
    RecordError,
    SealError,
    SecretMissing,
    Stale,
    StoreUnavailable,
    UpstreamRefused,
)
from mintage.events.event import Emit, ignore
from mintage.grants import handles
from mintage.grants.endings import ending
from mintage.grants.parties import party_of
from mintage.grants.records import inside, is_live, slots_of
from mintage.grants.states import (
    Active,
    Consent,
    Grant,
    Pending,
    Reason,
    Revoked,
    UpstreamTokens,
    bound_tokens,
)
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.stores.protocol import UNLISTED, Index, Store, Versioned
from mintage.values import Clock
from mintage.vault.codec import EndedUnread, GrantCodec
from mintage.vault.ended import Ended
from mintage.vault.names import GrantNames
from mintage.vault.outage import Outage
from mintage.vault.status_slots import StatusSlots
from mintage.vault.unconfirmed_writes import UnconfirmedWrites
from mintage.vault.values import (
    Decide,
    Decision,
    Lifetimes,
    OpenGrant,
    Refused,
    ReportEnded,
)

Found: TypeAlias = tuple[Versioned, Grant]  # a record, and the grant in it

log = logging.getLogger("mintage.vault")

_ATTEMPTS: Final = 100  # each lost race is another's progress; this many are a fault
_REPEATS: Final = 5  # of asking a store that failed
_FIRST_PAUSE: Final = 0.07  # seconds before the first; all together are 1.6 on the average
_LONGEST_PAUSE: Final = 1.12
_PATIENCE: Final = 3.0  # seconds after which it is not asked again


class _Patience(msgspec.Struct):
    """Pauses before each further attempt at a store that fails. *begun*: by the steady clock.

    Pauses differ from caller to caller, so that they do not all retry at once.
    """

    begun: float
    failures: int = 0

    async def after(self, failure: StoreUnavailable) -> None:
        """Pause after *failure*, or raise it if no further attempt helps.

        None does if a store took long to fail, or has what needs another secret.
        """
        if (
            isinstance(failure, SecretMissing)
            or self.failures == _REPEATS
            or time.monotonic() - self.begun > _PATIENCE
        ):
            raise failure
        await asyncio.sleep(
            pause(self.failures, random.random, first=_FIRST_PAUSE, most=_LONGEST_PAUSE)
        )
        self.failures += 1


class StoredGrants:
    """*changed* gets the store key of each grant that was written, or may have been.

    *report*: see `ReportEnded`. It gets the upstream tokens of each grant that ends here, after the
    write. *tells*: whether that tells the provider; otherwise grants that were ended unread stay
    so, for a process that does. *join*: notes the provider's session of a login, under the secret
    in use. *status*: the status list; None: there is none.
    """

    def __init__(
        self,
        store: Store,
        codec: GrantCodec,
        names: GrantNames,
        *,
        clock: Clock,
        lifetimes: Lifetimes,
        changed: Callable[[bytes], None],
        report: ReportEnded,
        tells: bool,
        outage: Outage,
        join: Callable[[Consent, UpstreamTokens | None, int | None], Awaitable[bool]],
        emit: Emit = ignore,
        status: StatusSlots | None = None,
    ) -> None:
        self._store = store
        self._status = status
        self._codec = codec
        self._names = names
        self._clock = clock
        self._lifetimes = lifetimes
        self._changed = changed
        self._report = report
        self._tells = tells
        self._outage = outage
        self._emit = emit
        self._join = join
        self._unconfirmed = UnconfirmedWrites()
        self.ended = Ended()

    async def insert(
        self, secret: bytes, grant: Pending | Active, expires_at: int, *, since: int | None = None
    ) -> None:
        """Store a new grant until *expires_at*.

        Raises `UpstreamRefused` if the user has logged out at the provider since the login, which
        was at *since* (seconds since the epoch; None: when the grant was made).
        """
        key = handles.store_key(secret)
        record = self._codec.seal_new(grant, secret=secret, key=key)
        await self.insert_once(key, record, self._names.make(grant, key), expires_at)
        if grant.login.identity.machine:
            return
        # After the grant: a logout at the same time finds the grant, or this finds the logout.
        if not await self._join(grant.login, grant.upstream, since):
            await self.delete(secret)
            self._report_tokens(grant.upstream)
            raise UpstreamRefused("the user has logged out at the provider since this login")

    async def delete(self, secret: bytes) -> None:
        """Delete a grant of which no client has a token yet."""
        key = handles.store_key(secret)
        await self._store.delete(key)
        self._changed(key)

    async def insert_ended(self, secret: bytes, grant: Revoked, expires_at: int) -> None:
        """Store the end of a grant that never was, until *expires_at*. Raises `Exists`."""
        key = handles.store_key(secret)
        record = self._codec.seal_next(grant, secret=secret, key=key, record=b"", before=grant)
        await self.insert_once(key, record, None, expires_at)

    async def insert_once(
        self, key: bytes, record: bytes, index: Index | None, expires_at: int
    ) -> None:
        """Insert, retrying through a short outage. *record* must be unique. Raises `Exists`."""
        patience = _Patience(time.monotonic())
        while True:
            try:
                try:
                    return await self._store.insert(key, record, index, expires_at)
                except Exists:
                    seen = await self._store.load(key) if patience.failures else None
                    if seen is None or seen.record != record:
                        raise
                    return None
            except StoreUnavailable as failure:
                await patience.after(failure)

    async def change(
        self,
        secret: bytes,
        decision: Decide,
        *,
        found: Found | None = None,
        decided: Decision | None = None,
        orphan: UpstreamTokens | None = None,
    ) -> OpenGrant | Refused:
        """Load, decide, replace; after a lost race, again with what the winner wrote.

        It retries a store that fails for a second or two, and then reports an outage. *found*: what
        was loaded just before. *decided*: what *decision* has just said about that, if it was
        asked. *orphan*: tokens to report if their grant no longer exists.
        """
        patience, races = _Patience(time.monotonic()), 0
        while True:
            try:
                seen, found = found or await self.load(secret), None
                if seen is None:
                    return self._refused(Reason.UNKNOWN, orphan)
                outcome, decided = decided or decision(seen[1]), None
                return await self._change_once(secret, seen, outcome, decision, orphan)
            except Stale:
                races += 1
                if races == _ATTEMPTS:
                    raise StoreUnavailable("other requests kept changing the grant") from None
            except StoreUnavailable as failure:
                await patience.after(failure)

    async def _change_once(
        self,
        secret: bytes,
        found: Found,
        outcome: Decision,
        decision: Decide,
        orphan: UpstreamTokens | None,
    ) -> OpenGrant | Refused:
        seen, grant = found
        if isinstance(outcome, Write):
            await self._replace(secret, seen, grant, outcome.grant)
            return OpenGrant(secret, outcome.grant)
        if isinstance(outcome, Keep):
            return OpenGrant(secret, outcome.grant)
        if isinstance(grant, Active):
            key = handles.store_key(secret)
            if self._unconfirmed.earned(key, seen.record, grant, decision):
                self._unconfirmed.forget(key)
                return OpenGrant(secret, grant)
        if isinstance(outcome, Refuse):
            return self._refused(outcome.reason, orphan)
        await self._replace(secret, seen, grant, outcome.grant)
        self._report_tokens(outcome.upstream)
        self._emit_end(secret, grant, outcome.grant.reason)
        return Refused(outcome.grant.reason)

    def _emit_end(self, secret: bytes, grant: Grant, reason: Reason) -> None:
        """Report that *grant*, as it was before, has ended for *reason*."""
        if isinstance(grant, Pending | Active):
            for event in ending(party_of(grant, handles.store_key(secret)), reason):
                self._emit(event)

    def _refused(self, reason: Reason, orphan: UpstreamTokens | None) -> Refused:
        if orphan is not None:
            self._report(orphan)
        return Refused(reason)

    async def _replace(
        self, secret: bytes, seen: Versioned, before: Grant, grant: Active | Revoked
    ) -> None:
        key = handles.store_key(secret)
        record = self._codec.seal_next(
            grant, secret=secret, key=key, record=seen.record, before=before
        )
        index: Index | None
        if isinstance(grant, Active):
            expires_at, index = self._lifetimes.end_of(grant), None
            is_current = self._codec.is_current(seen.record)
            if not is_current or _is_use(before, grant):
                # Lists show when it was used; and names may be made with an older secret.
                index = self._names.make(grant, key)
            if not is_current and not grant.login.identity.machine:
                await self._join(grant.login, grant.upstream, None)
        else:
            index = UNLISTED
            if isinstance(before, Active) and before.ends_at is not None:
                expires_at = self._lifetimes.end_of(before)  # its one token is refused until then
            else:
                expires_at = int(self._clock()) + self._lifetimes.refresh
            if self._status is not None:
                await self._status.end(slots_of(seen.record))
        try:
            await self._store.replace(key, seen, record, expires_at, index)
        except StoreUnavailable:
            self._unconfirmed.remember(key, record, before)
            raise
        finally:
            # Also after a failure: whether it was written is then not known.
            self._changed(key)
        self._unconfirmed.forget(key)
        if isinstance(grant, Revoked):
            self.ended.remember(key)

    async def load_patiently(self, secret: bytes) -> Found | None:
        """`load`, retried through a short outage."""
        patience = _Patience(time.monotonic())
        while True:
            try:
                return await self.load(secret)
            except StoreUnavailable as failure:
                await patience.after(failure)

    async def load(self, secret: bytes) -> Found | None:
        """The grant that *secret* opens, or None.

        A record that does not decrypt is lost: its client must log in again, and the log has an
        error for the operator. A record that a newer Mintage wrote, or one under a secret that is
        not configured here, is not lost: 503.
        """
        key = handles.store_key(secret)
        was_over = key in self.ended  # before the look, which may take its time
        try:
            seen = await self._store.load(key)
        except StoreUnavailable:
            self._outage.failed()
            raise
        self._outage.answered()
        if seen is None:
            return None
        try:
            grant = self._codec.open(seen.record, secret=secret, key=key)
        except NewerRecord as newer:
            raise StoreUnavailable(str(newer)) from newer
        except (SealError, RecordError) as error:
            log.error("grant %s: its record is damaged: %s", handles.grant_id(key), error)  # noqa: TRY400
            return None
        if isinstance(grant, EndedUnread):
            return seen, await self._settle(secret, seen, grant.before)
        if isinstance(grant, Revoked):
            self.ended.remember(key)
            before = self._unconfirmed.written(key, seen.record)
            if before is not None:  # it was not reported when the write got no answer
                self._report_tokens(bound_tokens(before))
                if grant.reason is not Reason.ENDED:  # whoever ended it has reported that
                    self._emit_end(secret, before, grant.reason)
        elif was_over:
            log.error(
                "grant %s ended, and an older record of it is in the store again: it stays "
                "ended here; find out who writes to the store, and restart after a restore",
                handles.grant_id(key),
            )
            return None
        return seen, grant

    async def _settle(self, secret: bytes, seen: Versioned, before: Pending | Active) -> Revoked:
        """Report the upstream tokens of a grant that was ended without its secret, once."""
        client_id, now = before.login.client_id, int(self._clock())
        revoked = Revoked(reason=Reason.ENDED, client_id=client_id, at=now)
        self.ended.remember(handles.store_key(secret))
        if not self._tells:
            return revoked
        try:
            await self._replace(secret, seen, before, revoked)
        except Stale:
            return revoked  # another process reports them
        except StoreUnavailable as error:
            log.warning("an ended grant's upstream tokens are reported later: %s", error)
            return revoked
        self._report_tokens(bound_tokens(before))
        return revoked

    async def settle(self, key: bytes, secret: bytes | None) -> None:
        """Note that the grant under *key* has ended, if it has.

        If it was ended without its *secret*, and that is known here, its upstream tokens are
        reported.
        """
        try:
            seen = await self._store.load(key)
            if seen is None:
                self.ended.clear(key)
            elif not is_live(seen.record):
                self.ended.notice(key)
                if secret is not None and self._tells and inside(seen.record) is not None:
                    await self.load(secret)
        except RecordError:
            return
        except StoreUnavailable as error:
            log.warning("an ended grant's upstream tokens are reported later: %s", error)

    def _report_tokens(self, tokens: UpstreamTokens | None) -> None:
        """Report the upstream tokens of a grant that has ended, if it has some."""
        if tokens is not None:
            self._report(tokens)

    async def check_secrets(self, secret: bytes) -> None:
        """Raise `SecretMissing` if the live grant of *secret* needs a secret that is not here.

        Nothing is decrypted: the head of its record says it.
        """
        key = handles.store_key(secret)
        seen = await self._store.load(key)
        if seen is None:
            return
        try:
            self._codec.check_secrets(seen.record, key)
        except NewerRecord as newer:
            raise StoreUnavailable(str(newer)) from newer


def _is_use(before: Grant, after: Active) -> bool:
    """Whether the client got tokens between the two, or the user was there in a session."""
    if not isinstance(before, Active) or before.generation != after.generation:
        return True
    return before.rotated_at != after.rotated_at
