"""Issues grants for which nobody logs in here (see `grants.direct`)."""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from mintage.errors import StoreUnavailable, UpstreamRefused
from mintage.grants import handles
from mintage.grants.direct import begun
from mintage.grants.states import Consent, Reason
from mintage.partly_shown import PartlyShown
from mintage.values import RandomBytes
from mintage.vault.numbering import Numbering
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import Lifetimes, OpenGrant, Prepare, Refused

log = logging.getLogger("mintage.vault")


class Claim(Protocol):
    async def __call__(self, name: bytes, *, expires_at: int) -> bool:
        """Claim *name*. Returns whether it was free, on all replicas."""


class Once(PartlyShown, frozen=True):
    """What may be used for one grant: *name* says what it is, until *expires_at* (seconds)."""

    not_shown = ("name",)

    name: bytes
    expires_at: int


def _nothing(_: OpenGrant) -> None:
    """For callers that prepare nothing."""


class DirectGrants:
    """Issues grants. ``vault.direct`` is one.

    They are listed, ended, revoked and denied like others. They are not counted among the grants
    that one user may have at one client: each ends soon, and twenty copies of a program may be at
    work.
    """

    def __init__(
        self,
        grants: StoredGrants,
        *,
        random_bytes: RandomBytes,
        lifetimes: Lifetimes,
        claim: Claim,
        is_claimed: Callable[[bytes], Awaitable[bool]],
        numbering: Callable[[], Numbering],
    ) -> None:
        self._numbering = numbering
        self._grants = grants
        self._random_bytes = random_bytes
        self._lifetimes = lifetimes
        self._claim = claim
        self._is_claimed = is_claimed

    async def issue(
        self,
        login: Consent,
        *,
        ends_at: int,
        prepare: Prepare = _nothing,
        once: Once | None = None,
        asserted_at: int | None = None,
        source: str | None = None,
    ) -> OpenGrant | Refused:
        """Store a grant for *login* that ends at *ends_at*. Its token is that of generation 1.

        *prepare* is called before anything is written, and makes the response; if it raises,
        nothing is spent. *once*: what is spent for the grant. If it was spent before, the grant is
        refused (`Reason.ASSERTION_REPLAYED`). *asserted_at*: when a provider asserted who the user
        is, None if none did. A user who has logged out since is refused (`Reason.LOGGED_OUT`).
        *source*: from which address the request came, if that is to be kept. Raises
        `StoreUnavailable`; the caller may then try again with the same *once*.
        """
        if once is not None and await self._is_claimed(once.name):
            return Refused(Reason.ASSERTION_REPLAYED)
        async with self._numbering() as number:
            grant = number.numbered(begun(login, ends_at=ends_at, source=source))
            opened = OpenGrant(self._random_bytes(handles.SECRET_BYTES), grant)
            prepare(opened)
        end = self._lifetimes.end_of(opened.grant)
        try:
            await self._grants.insert(opened.secret, opened.grant, end, since=asserted_at)
        except UpstreamRefused:
            return Refused(Reason.LOGGED_OUT)
        # After the grant: if the store fails between the two, nothing is spent, and the grant that
        # stays is one of which nobody has a token.
        if once is not None and not await self._spend(opened, once):
            return Refused(Reason.ASSERTION_REPLAYED)
        return opened

    async def _spend(self, opened: OpenGrant, once: Once) -> bool:
        """Claim *once* for *opened*. Without it the grant goes."""
        won = False
        try:
            won = await self._claim(once.name, expires_at=once.expires_at)
        finally:
            if not won:
                await self._drop(opened)
        return won

    async def _drop(self, opened: OpenGrant) -> None:
        try:
            await self._grants.delete(opened.secret)
        except StoreUnavailable as error:
            log.warning(
                "grant %s, of which nobody has a token, stays until it ends: %s",
                opened.party().grant,
                error,
            )
