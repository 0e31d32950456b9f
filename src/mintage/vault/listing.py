"""Which grants there are, for whom, and an end to any of them without its own secret."""

import logging
from collections.abc import AsyncGenerator, Callable

from mintage.errors import RecordError, SealError, StoreUnavailable
from mintage.grant import Login
from mintage.handles import grant_id, parse_grant_id
from mintage.stores.protocol import Cursor, Entry, Store
from mintage.values import ClientId
from mintage.vault.sealed import SealedGrants
from mintage.vault.values import Listed

log = logging.getLogger("mintage.vault")


class Listing:
    """Lists grants and ends them.

    What is ended here is over for its client. The upstream's tokens stay as they are: to read
    them, and so to revoke them there, takes a token of the client's.
    """

    def __init__(
        self, store: Store, grants: SealedGrants, *, changed: Callable[[bytes], None]
    ) -> None:
        self._store = store
        self._grants = grants
        self._changed = changed

    async def find(
        self, *, subject: tuple[str, str] | None = None, client: ClientId | None = None
    ) -> AsyncGenerator[Listed, None]:
        """Live grants, each once: of *subject* (issuer, subject), of *client*, of both, or all."""
        if subject is None and client is None:
            async for found in self._pages(None, None):
                yield found
            return
        seen: set[bytes] = set()
        subjects = self._grants.subject_hashes(*subject) if subject is not None else None
        clients = self._grants.client_hashes(client) if client is not None else None
        for number in range(len(subjects or clients or ())):
            async for found in self._pages(
                subjects[number] if subjects else None, clients[number] if clients else None
            ):
                if found.key not in seen:
                    yield found
                seen.add(found.key)

    async def get(self, name: str) -> Listed | None:
        """The live grant of that public id."""
        prefix = parse_grant_id(name)
        return None if prefix is None else await self._first(prefix)

    async def end(self, grant: Listed) -> None:
        """End *grant*, here and on every replica."""
        await self._store.delete(grant.key)
        self._changed(grant.key)
        log.info("grant %s: ended from the list", grant.id)

    async def make_room(self, login: Login, *, new: bytes, limit: int) -> None:
        """End the oldest grants of one user at one client, so that *limit* remain with *new*."""
        who = login.identity
        try:
            grants = [
                grant
                async for grant in self.find(
                    subject=(who.issuer, who.subject), client=login.client_id
                )
                if grant.key != new
            ]
            grants.sort(key=_age)
            for grant in grants[: max(len(grants) - limit + 1, 0)]:
                await self.end(grant)
        except StoreUnavailable as error:
            log.warning("old grants were not looked for: %s", error)  # the next login will

    async def _pages(
        self, subject: bytes | None, client: bytes | None
    ) -> AsyncGenerator[Listed, None]:
        after: Cursor | None = None
        while True:
            page = await self._store.list(subject=subject, client=client, after=after)
            for entry in page.entries:
                if (found := self._read(entry)) is not None:
                    yield found
            if page.next is None:
                return
            after = page.next

    async def _first(self, prefix: bytes) -> Listed | None:
        """The grant whose key begins with *prefix*: lists are in the order of keys."""
        page = await self._store.list(after=Cursor(prefix), limit=1)
        entry = next(iter(page.entries), None)
        return self._read(entry) if entry and entry.key.startswith(prefix) else None

    def _read(self, entry: Entry) -> Listed | None:
        try:
            return self._grants.listed(entry)
        except (SealError, RecordError) as error:
            log.warning("grant %s: its name is damaged: %s", grant_id(entry.key), error)
            return None


def _age(grant: Listed) -> tuple[int, bytes]:
    return (0 if grant.summary is None else grant.summary.created_at, grant.key)
