"""The grants of devices (RFC 8628): made or denied by a person, and found by the device's code.

An answer inserts the grant's record. So of two answers to one device the first one counts, on all
replicas.
"""

from collections.abc import Callable

from msgspec.structs import replace

from mintage.errors import Exists
from mintage.grants import devices
from mintage.grants.devices import Poll
from mintage.grants.states import Consent, Grant, Pending, Reason, Revoked, UpstreamTokens
from mintage.grants.transitions import Keep, Revoke, Write
from mintage.values import Clock
from mintage.vault.device_requests import DeviceRequest, DeviceRequests
from mintage.vault.listing import Listing
from mintage.vault.numbering import Numbering
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import Decision, Lifetimes, OpenGrant, Prepare, Refused


class DeviceGrants:
    """``vault.devices`` is one.

    *turned_away*: the end of a grant, if the rules do not let its user in any more. *numbering*:
    gives its tokens their number in the status list.
    """

    def __init__(
        self,
        grants: StoredGrants,
        listing: Listing,
        requests: DeviceRequests,
        *,
        clock: Clock,
        lifetimes: Lifetimes,
        max_grants: int,
        turned_away: Callable[[Grant], Revoke | None],
        numbering: Callable[[], Numbering],
    ) -> None:
        self._numbering = numbering
        self._grants = grants
        self._listing = listing
        self._clock = clock
        self._lifetimes = lifetimes
        self._max_grants = max_grants
        self._turned_away = turned_away
        self.requests = requests

    async def approve(
        self, wanted: DeviceRequest, login: Consent, upstream: UpstreamTokens
    ) -> None:
        """Store the login of the person who approved. The device finds it until its code expires.

        Raises `Exists` if the device was answered before, and `UpstreamRefused` if the user has
        logged out at the provider since the login.
        """
        order = await self._listing.next_order(login)
        pending = Pending(
            login=replace(login, order=order),
            upstream=upstream,
            code_hash=devices.code_hash(wanted.secret),
            code_challenge="",  # no verifier hashes to it, so it is no authorization code
            redirect_uri="",
            code_expires_at=wanted.expires_at,
        )
        await self._grants.insert(wanted.secret, pending, wanted.expires_at)
        await self._listing.make_room(login, limit=self._max_grants)

    async def deny(self, wanted: DeviceRequest) -> bool:
        """Note that the person denied access. Returns whether nobody had answered before."""
        now = int(self._clock())
        denied = Revoked(reason=Reason.DENIED, client_id=wanted.client_id, at=now)
        try:
            await self._grants.insert_ended(wanted.secret, denied, wanted.expires_at)
        except Exists:
            return False
        return True

    async def is_answered(self, secret: bytes) -> bool:
        """Whether a person has approved or denied the grant of *secret*."""
        return await self._grants.load_patiently(secret) is not None

    async def poll(self, secret: bytes, request: Poll, prepare: Prepare) -> OpenGrant | Refused:
        """The tokens' grant, if a person has approved. `Reason.UNKNOWN`: nobody has answered.

        That costs a read. Of any number of callers one opens the grant; see `devices.redeem` for
        the others. *prepare* is called before the write; if it raises, nothing has changed.
        """
        found = await self._grants.load_patiently(secret)
        if found is None:
            return Refused(Reason.UNKNOWN)
        async with self._numbering() as number:

            def decision(grant: Grant) -> Decision:
                if (turned_away := self._turned_away(grant)) is not None:
                    return turned_away
                outcome = devices.redeem(
                    grant, request, now=int(self._clock()), grace=self._lifetimes.grace
                )
                numbered = number(outcome)
                if isinstance(numbered, Keep | Write):
                    prepare(OpenGrant(secret, numbered.grant))
                return numbered

            return await self._grants.change(secret, decision, found=found)
