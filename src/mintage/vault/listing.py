"""Lists grants and ends them, without their own secrets."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final

from mintage.errors import RecordError, Stale, StoreUnavailable
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.grants import EndedBy, GrantEnded
from mintage.grants.handles import grant_id, parse_grant_id
from mintage.grants.records import SETTLED, set_aside, slots_of
from mintage.grants.states import Consent
from mintage.stores.protocol import UNLISTED, Cursor, Entry, Store
from mintage.values import ClientId
from mintage.vault.ended import Ended
from mintage.vault.names import GrantNames
from mintage.vault.status_slots import StatusSlots
from mintage.vault.values import Listed

log = logging.getLogger("mintage.vault")

_ATTEMPTS: Final = 100  # each lost race is another's progress; this many are a fault
_BATCH: Final = 250  # grants that a page reads at once, at most
_LOOKED_AT: Final = 10_000  # grants that a page looks at: then it is returned as it is


class Listing:
    """Lists grants and ends them. ``running.vault.listing`` is one; don't construct it.

    A grant that is ended here has ended for its client. To decrypt the upstream's tokens, and so to
    revoke them at the provider, takes a token of the client. So that happens when the client next
    comes with one.

    Args:
        store, names, ended, changed, emit, status: Private, and may change.
    """

    def __init__(
        self,
        store: Store,
        names: GrantNames,
        ended: Ended,
        *,
        changed: Callable[[bytes], None],
        emit: Emit = ignore,
        status: StatusSlots | None = None,
    ) -> None:
        self._store = store
        self._status = status
        self._names = names
        self._ended = ended
        self._changed = changed
        self._emit = emit

    async def find(
        self, *, subject: tuple[str, str] | None = None, client: ClientId | None = None
    ) -> AsyncGenerator[Listed, None]:
        """Live grants, each once.

        Those that can't be read are included (`Listed.unread`): ending needs only the key.

        Args:
            subject: Only those of this user: the provider's issuer, and the user's identifier
                there.
            client: Only those of this client id.

        Returns:
            An asynchronous iterator.

        Raises:
            StoreUnavailable: The store can't be read just now.
        """
        if subject is None and client is None:
            async for found in self._pages(None, None):
                yield found
            return
        seen: set[bytes] = set()
        subjects = self._names.of_subject(*subject) if subject is not None else None
        clients = self._names.of_client(client) if client is not None else None
        for number in range(len(subjects or clients or ())):
            async for found in self._pages(
                subjects[number] if subjects else None, clients[number] if clients else None
            ):
                if found.key not in seen:
                    yield found
                seen.add(found.key)

    async def page(
        self,
        *,
        subjects: Sequence[tuple[str, str]] | None = None,
        client: ClientId | None = None,
        matches: Callable[[Listed], bool] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[list[Listed], str | None]:
        """Live grants a page at a time, in one stable order.

        A page before the last one is full, unless 10000 grants did not fill it.

        Args:
            subjects: Only those of these users, each as in `find`.
            client: Only those of this client id.
            matches: Only those for which this returns True. It is for what no index finds.
            after: The public id after which the page begins. None: from the start.
            limit: How many grants the page has at most.

        Returns:
            The grants, and the *after* of the next page; None if there is none.

        Raises:
            StoreUnavailable: The store can't be read just now.
        """
        start = None if after is None else parse_grant_id(after)
        filters = list(self._filters(subjects, client))
        page: list[Listed] = []
        cursor, looked_at = start, 0
        size = limit + 2  # the one before, and one more
        while True:
            entries, more = await self._merged(filters, cursor, size)
            for entry in entries:
                if start is not None and entry.key.startswith(start):
                    continue
                grant = self._names.read(entry)
                if grant is None or not (matches is None or matches(grant)):
                    continue
                if len(page) == limit:
                    return page, page[-1].id
                page.append(grant)
            if more is None:
                return page, None
            cursor = more
            looked_at += len(entries)
            if looked_at >= _LOOKED_AT:
                return page, grant_id(cursor)
            size = min(2 * size, _BATCH)
            await asyncio.sleep(0)  # a store in memory waits for nothing, and others would wait

    async def get(self, name: str) -> Listed | None:
        """Find a live grant by its public id.

        Args:
            name: The id, as logs and pages show it.

        Returns:
            The grant, or None if no live grant has this id.

        Raises:
            StoreUnavailable: The store can't be read just now.
        """
        prefix = parse_grant_id(name)
        return None if prefix is None else await self._first(prefix)

    async def end(
        self, grant: Listed, *, by: EndedBy = "operator", reason: str = "ended_from_the_list"
    ) -> None:
        """End a grant, here and on every replica. Its client must log in again.

        Args:
            grant: What `find` or `get` returned.
            by: Who ends it, for the audit trail.
            reason: Why, in one word for the audit trail.

        Raises:
            StoreUnavailable: The store can't be written just now.
        """
        try:
            await self._set_aside(grant)
        finally:
            # Also after a failure: whether it was written is then not known.
            self._changed(grant.key)
        self._over(grant, by, reason)

    async def _set_aside(self, grant: Listed) -> None:
        """Put an end to the record. The encrypted part stays: a token of the client opens it."""
        for _ in range(_ATTEMPTS):
            seen = await self._store.load(grant.key)
            if seen is None:
                return
            try:
                record = set_aside(seen.record)
                if record != seen.record:
                    await self._end_slots(seen.record)
                    await self._store.replace(grant.key, seen, record, grant.expires_at, UNLISTED)
            except Stale:
                continue
            except RecordError:  # nobody here could read it later
                await self._store.delete(grant.key)
            return
        raise StoreUnavailable("other requests kept changing the grant")

    async def remove(self, grant: Listed, *, by: EndedBy, reason: str) -> None:
        """End a grant that gives way to another. Private.

        The provider's tokens stay as they are: many providers would end all of the user's logins
        with this one (RFC 7009 §2.1).

        Args:
            grant: What `find` or `get` returned.
            by: Who ends it, for the audit trail.
            reason: Why, in one word for the audit trail.
        """
        if self._status is None:
            await self._store.delete(grant.key)
        else:
            await self._settle(grant)
        self._changed(grant.key)
        self._over(grant, by, reason)

    async def _end_slots(self, record: bytes) -> None:
        """End the grant in *record* for verifiers elsewhere, before it is written that it ended."""
        if self._status is not None:
            await self._status.end(slots_of(record))

    async def _settle(self, grant: Listed) -> None:
        """Put an end to the record, and keep nothing of it.

        With a status list it is not just deleted: its client may get another number meanwhile.
        """
        for _ in range(_ATTEMPTS):
            seen = await self._store.load(grant.key)
            if seen is None:
                return
            try:
                await self._end_slots(seen.record)
            except RecordError:
                log.warning("grant %s: its record does not say its number", grant.id)
            try:
                await self._store.replace(grant.key, seen, SETTLED, grant.expires_at, UNLISTED)
            except Stale:
                continue
            return
        raise StoreUnavailable("other requests kept changing the grant")

    def _over(self, grant: Listed, by: EndedBy, reason: str) -> None:
        """Remember that *grant* has ended, and report it once."""
        again = grant.key in self._ended
        self._ended.remember(grant.key)
        log.info("grant %s: ended from the list: %s", grant.id, reason)
        if not again:
            self._emit(GrantEnded(party=_party(grant), by=by, reason=reason))

    async def next_order(self, login: Consent) -> int:
        """A number above those of all grants that this user has at this client. Private.

        It is the time of the login, unless the clock of another server is ahead.

        Args:
            login: The login.

        Returns:
            The number.
        """
        try:
            orders = [_order(grant)[0] for grant in await self._of(login)]
        except StoreUnavailable:
            return login.created_at  # it will be found out when the grant is written
        return max([login.created_at, *(order + 1 for order in orders)])

    async def make_room(self, login: Consent, *, limit: int) -> None:
        """End all but the newest grants of one user at one client. Private.

        Each login calls it after its write, and all use the same order. So of logins at the same
        time the same ones stay, whichever calls first.

        Args:
            login: The login whose user and client are meant.
            limit: How many grants stay.
        """
        try:
            # Those with an end of their own are many copies of a program, or many short visits.
            found = [one for one in await self._of(login) if not _ends_by_itself(one)]
            grants = sorted(found, key=_order)
            for grant in grants[: max(len(grants) - limit, 0)]:
                await self.remove(grant, by="lifetime", reason="too_many_grants")
        except StoreUnavailable as error:
            log.warning("old grants were not looked for: %s", error)  # the next login will

    def _filters(
        self, subjects: Sequence[tuple[str, str]] | None, client: ClientId | None
    ) -> Iterator[tuple[bytes | None, bytes | None]]:
        """The keyed hashes to look for, under each root secret."""
        clients = None if client is None else self._names.of_client(client)
        if subjects is None:
            yield from ((None, one) for one in clients or (None,))
            return
        for subject in subjects:
            of_subject = self._names.of_subject(*subject)
            if clients is None:
                yield from ((one, None) for one in of_subject)
            else:
                yield from zip(of_subject, clients, strict=True)

    async def _merged(
        self,
        filters: Sequence[tuple[bytes | None, bytes | None]],
        after: bytes | None,
        limit: int,
    ) -> tuple[list[Entry], bytes | None]:
        """The first entries after a key that pass any filter, and the key before the next ones.

        A store may return fewer than *limit*, or none, and more after them.
        """
        found: dict[bytes, Entry] = {}
        ends: list[bytes] = []
        for subject, client in filters:
            listed = await self._store.list(
                subject=subject,
                client=client,
                after=None if after is None else Cursor(after),
                limit=limit,
            )
            found |= {one.key: one for one in listed.entries}
            if listed.next is not None:
                ends.append(listed.next)
        # What is behind the end of one filter's page may come after others of that filter.
        end = min(ends, default=None)
        keys = sorted(key for key in found if end is None or key <= end)
        if len(keys) > limit:
            keys = keys[:limit]
            end = keys[-1]
        return [found[key] for key in keys], end

    async def _of(self, login: Consent) -> list[Listed]:
        """The grants of the same user and client, but none that may be another installation's."""
        subject = (login.identity.issuer, login.identity.subject)
        found = self.find(subject=subject, client=login.client_id)
        return [grant async for grant in found if not grant.foreign]

    async def _pages(
        self, subject: bytes | None, client: bytes | None
    ) -> AsyncGenerator[Listed, None]:
        after: Cursor | None = None
        while True:
            page = await self._store.list(subject=subject, client=client, after=after)
            for entry in page.entries:
                if (found := self._names.read(entry)) is not None:
                    yield found
            if page.next is None:
                return
            after = page.next

    async def _first(self, prefix: bytes) -> Listed | None:
        """The grant whose key begins with *prefix*: lists are in the order of keys."""
        page = await self._store.list(after=Cursor(prefix), limit=1)
        entry = next(iter(page.entries), None)
        return self._names.read(entry) if entry and entry.key.startswith(prefix) else None


def _party(grant: Listed) -> Party:
    who = grant.summary
    if who is None:
        return Party(grant=grant.id)
    return Party(
        subject=Subject(who.issuer, who.subject),
        client_id=who.client_id,
        resource=next(iter(who.resources), None),
        grant=grant.id,
    )


def _ends_by_itself(grant: Listed) -> bool:
    return grant.summary is not None and grant.summary.ends_at is not None


def _order(grant: Listed) -> tuple[int, bytes]:
    who = grant.summary
    if who is None:
        return (0, grant.key)
    return (who.created_at if who.order is None else who.order, grant.key)
