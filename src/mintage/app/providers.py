"""The identity providers and the rules for users, as the settings have them now.

The vault outlives a reload, and asks through this object. So new rules and new credentials apply to
existing logins at once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from mintage.errors import HalfKnown, NotAdmitted, UpstreamMisconfigured, UpstreamUnavailable
from mintage.grants.admission import AllowRule, admit, admit_again
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.upstream.protocol import Exchange, IdJag, UpstreamClient
from mintage.upstream.registry import Upstreams
from mintage.values import Clock


class Providers:
    """None, no rules and any machine, until `become` says which."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._upstreams = Upstreams([])
        self._allow: Sequence[AllowRule] = ()
        self._machines: Callable[[Identity], bool] = lambda _: True
        self._others: Mapping[tuple[str, str], UpstreamClient] = {}

    def become(
        self,
        upstreams: Upstreams,
        allow: Sequence[AllowRule],
        machines: Callable[[Identity], bool],
        others: Mapping[tuple[str, str], UpstreamClient],
    ) -> None:
        """Ask *upstreams* from now on, and judge users by the rules *allow*.

        *machines*: whether a client or workload may have tokens. *others*: the authorization
        servers that redeem ID-JAGs, by (issuer, Mintage's client_id).
        """
        self._upstreams, self._allow = upstreams, allow
        self._machines, self._others = machines, others

    async def renew(self, old: UpstreamTokens, who: Identity) -> Renewed:
        """New tokens from the provider, and who the user is by now (see `Renew`)."""
        judge = partial(admit_again, self._allow, who)  # may they still log in
        return await self._upstreams.refresh(old, now=int(self._clock()), judge=judge)

    async def exchange(self, tokens: UpstreamTokens, wanted: Exchange | IdJag) -> UpstreamTokens:
        """A token for a backend: from the provider, or for its ID-JAG from another server."""
        now = int(self._clock())
        if isinstance(wanted, Exchange):
            return await self._upstreams.exchange(tokens, wanted, now=now)
        other = self._others.get((wanted.audience, wanted.client_id))
        if other is None:
            raise UpstreamUnavailable(f"the settings have no credentials for {wanted.audience}")
        assertion = await self._upstreams.id_jag(tokens, wanted, now=now)
        try:
            return await other.redeem_id_jag(assertion, now=now)
        except UpstreamMisconfigured as error:
            raise UpstreamMisconfigured(
                f"{wanted.audience} refuses this server: check [resource.id_jag] ({error})"
            ) from None

    def revoke(self, tokens: UpstreamTokens) -> Awaitable[None]:
        """Revoke *tokens* at the provider that issued them."""
        return self._upstreams.revoke(tokens)

    def issued(self, tokens: UpstreamTokens) -> bool:
        """Whether a configured provider issued *tokens*."""
        return self._upstreams.issued(tokens)

    def name_of(self, subject: str) -> str | None:
        """The name of the provider of the user *subject*."""
        return self._upstreams.name_of(subject)

    def admits(self, who: Identity) -> bool:
        """Whether the rules let *who* in. What the provider has left open is no refusal.

        The rules are for users. A machine has what its own settings give it.
        """
        if who.machine:
            return self._machines(who)
        try:
            admit(self._allow, who)
        except NotAdmitted:
            return False
        except HalfKnown:
            return True
        return True
