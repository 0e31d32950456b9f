"""Ends grants: for their clients (RFC 7009), from a list, and at a logout at the provider."""

from mintage.events.grants import EndedBy
from mintage.grants import transitions
from mintage.grants.handles import Handle
from mintage.values import ClientId, Clock
from mintage.vault.cache import GrantCache
from mintage.vault.listing import Listing
from mintage.vault.provider_sessions import ProviderSessions
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import Listed, OpenGrant, Refused


class Revocation:
    """``vault.revocation`` is one."""

    def __init__(
        self,
        grants: StoredGrants,
        listing: Listing,
        cache: GrantCache,
        provider_sessions: ProviderSessions,
        clock: Clock,
    ) -> None:
        self._grants = grants
        self._listing = listing
        self._cache = cache
        self._provider_sessions = provider_sessions
        self._clock = clock

    async def revoke(self, handle: Handle, client_id: ClientId) -> Refused:
        """End the grant at its client's request (RFC 7009 §2.1)."""
        outcome = await self._grants.change(
            handle.secret, lambda grant: transitions.revoke(grant, client_id, now=self._now())
        )
        assert isinstance(outcome, Refused)  # noqa: S101  (revoke never opens)
        return outcome

    async def end_exchanges(
        self, handle: Handle, client_id: ClientId, issued_at: int
    ) -> OpenGrant | Refused:
        """End what *client_id* has got by token exchange, at its request (RFC 7009 §2.1).

        The login continues: it is another client's. *issued_at*: of the token that it revokes, by
        the clock of the replica that issued it.
        """
        at = max(self._now(), issued_at)
        return await self._grants.change(
            handle.secret, lambda grant: transitions.end_exchanges(grant, client_id, at=at)
        )

    async def end(
        self, grant: Listed, *, by: EndedBy = "operator", reason: str = "ended_from_the_list"
    ) -> None:
        """End a grant that `Listing` found.

        If its client used it here a moment ago, its secret is still in the cache, and its upstream
        tokens are reported. Otherwise nobody can read them without a token of the client. They are
        reported when the client next comes with one.
        """
        secret = self._cache.secret_of(grant.key)
        await self._listing.end(grant, by=by, reason=reason)
        if secret is not None:
            await self._grants.settle(grant.key, secret)

    async def end_at_provider(
        self, issuer: str, *, subject: str | None, sid: str | None
    ) -> list[Listed]:
        """End the grants of a user who logged out at the provider *issuer*. Returns them.

        *sid*: those of this session; None: all of *subject*. A grant that does not say its session
        ends with any session of its user.
        """
        subjects = {subject} if subject is not None else set()
        if sid is not None:
            subjects |= await self._provider_sessions.end(issuer, sid)
        elif subject is not None:
            await self._provider_sessions.end_all(issuer, subject)
        ended: list[Listed] = []
        for each in subjects:
            ended += [
                grant
                async for grant in self._listing.find(subject=(issuer, each))
                if sid is None or grant.summary is None or grant.summary.sid in (None, sid)
            ]
        for grant in ended:
            await self.end(grant, by="provider", reason="backchannel_logout")
        return ended

    def _now(self) -> int:
        return int(self._clock())
