"""Ends the grants of users who are no longer admitted by the rules."""

from collections.abc import Callable

from mintage.grants import transitions
from mintage.grants.states import Active, Grant, Identity, Reason
from mintage.grants.transitions import Keep, Refuse, Revoke
from mintage.values import Clock
from mintage.vault.stored_grants import StoredGrants
from mintage.vault.values import Decision


class Admission:
    """*admits*: whether the rules, as they are now, admit a user."""

    def __init__(
        self, grants: StoredGrants, admits: Callable[[Identity], bool], clock: Clock
    ) -> None:
        self._grants = grants
        self._admits = admits
        self._clock = clock

    def admits(self, grant: Active) -> bool:
        """Whether the rules admit the user of *grant*."""
        return self._admits(grant.login.identity)

    def turned_away(self, grant: Grant) -> Revoke | None:
        """The end of *grant*, if the rules no longer admit its user."""
        if not isinstance(grant, Active) or self._admits(grant.login.identity):
            return None
        return transitions.end(grant, Reason.NOT_ADMITTED, now=int(self._clock()))

    async def turn_away(self, secret: bytes) -> None:
        """End the grant of *secret*, unless it has ended, or its user may log in after all."""

        def decision(grant: Grant) -> Decision:
            if not isinstance(grant, Active):
                return Refuse(Reason.REVOKED)
            return self.turned_away(grant) or Keep(grant)

        await self._grants.change(secret, decision)
