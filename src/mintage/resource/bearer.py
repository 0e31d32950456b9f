"""Finds the live grant of a request from its headers, or refuses as RFC 6750 and RFC 9449 say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from mintage.access.scopes import FLAT, Call, Hierarchy, needed
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import (
    AccessDenied,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    OAuthError,
    TokenError,
)
from mintage.events.event import Party
from mintage.grant_tokens import Tokens
from mintage.grants.delegation import Delegation, is_over
from mintage.grants.handles import store_key
from mintage.grants.states import Active
from mintage.jwt.claims import Confirmation
from mintage.resource.possession import Possession
from mintage.site.resource import Resource
from mintage.values import ClientId, Clock, Scopes
from mintage.vault.values import CLOCK_LEEWAY, OpenGrant, Refused
from mintage.vault.vault import Vault
from mintage.web.current_request import note_caller

_MAX_KNOWN: Final = 2000


BEARER: Final = "bearer"
DPOP: Final = "dpop"
_name_of: Final = itemgetter(0)  # of a header


class NoToken(OAuthError):
    """The request has no credentials: 401 without an error code (RFC 6750 §3.1)."""

    code = "invalid_token"
    status = 401
    stage = "token"


class NeedsProof(InvalidToken):
    """The token is bound to a key, or must be: the scheme ``DPoP`` and a proof are needed."""


class Access(msgspec.Struct, frozen=True):
    """A request with a valid token or session: the live grant, and its scopes.

    *ends_at*: of the token, in seconds since the epoch. *by_cookie*: whether it is a browser's
    session. *delegation*: who acts for the user, if the token was exchanged. *cnf*: the key that
    the token is bound to, which its sender has proven. *next_nonce*: for the client's next proof,
    if it needs another one. *suffices*: whether *scopes* are known to be all that the resource,
    for which the token was checked, wants of every request.
    """

    opened: OpenGrant
    scopes: Scopes
    ends_at: float
    by_cookie: bool = False
    delegation: Delegation | None = None
    cnf: Confirmation | None = None
    next_nonce: str | None = None
    suffices: bool = False

    @property
    def client_id(self) -> ClientId:
        """The client that the token was issued to."""
        login = self.opened.grant.login
        return login.client_id if self.delegation is None else self.delegation.actor

    @property
    def party(self) -> Party:
        """Whom events about the request are about."""
        party = self.opened.party()
        return party if self.delegation is None else replace(party, client_id=self.client_id)

    @property
    def user(self) -> tuple[str, str]:
        """(issuer, subject): one user, with all of the user's clients and logins."""
        who = self.opened.grant.login.identity
        return who.issuer, who.subject


class _Known(NamedTuple):
    """The content of a verified token. Its grant may change.

    *made*: the access that was made last, good for as long as the vault has that very grant.
    """

    secret: bytes
    scopes: Scopes
    resource: Resource
    key: bytes
    ends_at: float
    delegation: Delegation | None
    cnf: Confirmation | None
    made: list[Access]


@dataclass(frozen=True, slots=True)
class Bearer:
    """Checks access tokens for the resources of one server.

    A verified token is not verified again until it expires: the same string has the same signature.
    Whether its grant is live is asked of the vault each time, and whether its client is *denied*.
    *possession* checks the proof of each request with a token that is bound to a key.
    """

    tokens: Tokens
    vault: Vault
    clock: Clock
    possession: Possession
    hierarchy: Hierarchy = FLAT
    denied: Callable[[ClientId], bool] = lambda _: False
    _known: BoundedMemory[str, "_Known"] = field(
        default_factory=lambda: BoundedMemory(_MAX_KNOWN), init=False, repr=False
    )

    async def check(
        self,
        headers: list[tuple[bytes, bytes]],
        resource: Resource,
        calls: Sequence[Call],
        method: str,
        path: str,
        again: bool = False,  # noqa: FBT001, FBT002  (by position: a request pays for each name)
    ) -> Access:
        """The access that the ``Authorization`` header gives to *resource* and all *calls* there.

        *method*, *path*: of the request, below the resource: its DPoP proof must be for them.
        *again*: the request was admitted before, so its proof was checked, and may be old by now.

        Raises `NoToken`, `InvalidRequest`, `InvalidToken`, `InvalidDpopProof`, `InsufficientScope`,
        `AccessDenied`; and `StoreUnavailable` if nothing is known, which is no refusal.
        """
        scheme, token = credential(headers)
        access = self._at_hand(token, resource) or await self._check(token, resource)
        if access.cnf is not None or scheme is DPOP:
            access = self._proven(
                access, scheme, token, headers, method, resource.identifier + path, again
            )
        note_caller(access)
        self.judge(access, resource, calls)
        return access

    def at_hand(self, token: str, resource: Resource, calls: Sequence[Call]) -> Access | None:
        """What `check_token` returns or raises, if the grant need not be read. Otherwise None."""
        access = self._at_hand(token, resource)
        if access is None:
            return None
        if access.cnf is not None:
            raise _needs_proof()
        note_caller(access)
        if calls or not access.suffices:
            self.judge(access, resource, calls)
        return access

    async def check_token(self, token: str, resource: Resource, calls: Sequence[Call]) -> Access:
        """What `check` returns for a request whose one credential is the bearer token *token*.

        A token that is bound to a key is refused, as `check` refuses it with that scheme.
        """
        access = await self._check(token, resource)
        if access.cnf is not None:
            raise _needs_proof()
        note_caller(access)
        self.judge(access, resource, calls)
        return access

    def judge(self, access: Access, resource: Resource, calls: Sequence[Call]) -> None:
        """Refuse what *access* does not allow; see `check`."""
        wanted = needed(resource.scopes, resource.rules, calls)
        if not self.hierarchy.covers(access.scopes, wanted):
            machine = access.opened.grant.login.identity.machine
            raise InsufficientScope(wanted, machine=machine)
        if calls and not _accepted(access, resource, calls):
            raise AccessDenied(
                "this user may not do this here; ask the operator of this server", stage="rules"
            )

    def allows(self, access: Access, resource: Resource, call: Call) -> bool:
        """Whether `check` would allow *call* with *access*."""
        wanted = needed(resource.scopes, resource.rules, (call,))
        covered = self.hierarchy.covers(access.scopes, wanted)
        return covered and _accepted(access, resource, (call,))

    async def read(self, token: str, resource: Resource, *, proven: bool = False) -> Access:
        """The access of *token* to *resource*. Its scopes are not checked.

        *proven*: whether `check` has admitted the request that *token* came with. Without that, a
        token that is bound to a key is refused: there is no proof to look at. Raises
        `InvalidToken`, and `StoreUnavailable`.
        """
        access = self._at_hand(token, resource) or await self._check(token, resource)
        if access.cnf is not None and not proven:
            raise _needs_proof()
        return access

    def _proven(
        self,
        access: Access,
        scheme: str,
        token: str,
        headers: list[tuple[bytes, bytes]],
        method: str,
        uri: str,
        again: bool,  # noqa: FBT001  (as in `check`)
    ) -> Access:
        """*access*, after a look at the key of the sender (RFC 9449 §7.1, §7.2)."""
        if access.cnf is None:
            raise NeedsProof(
                "this access token is not bound to a key: send it with the scheme Bearer",
                reason="an unbound token with the scheme DPoP",
            )
        if scheme is not DPOP or access.cnf.jkt is None:
            raise _needs_proof()
        if again:
            return access
        proof = self.possession.check(
            headers, method=method, uri=uri, token=token, jkt=access.cnf.jkt
        )
        return replace(access, next_nonce=self.possession.next_nonce(proof))

    def _at_hand(self, token: str, resource: Resource) -> Access | None:
        """The access of a token that is known, if its grant need not be read again."""
        known = self._known.get(token)
        if known is not None and known.resource is resource and self.clock() < known.ends_at:
            grant = self.vault.live.fresh(known.key)
            if known.delegation is not None:
                grant = None if grant is None or self._over(grant, known.delegation) else grant
            if grant is not None and not self.denied(grant.login.client_id):
                [made] = known.made
                if made.opened.grant is not grant:
                    made = known.made[0] = replace(made, opened=OpenGrant(known.secret, grant))
                return made
        return None

    async def _check(self, token: str, resource: Resource) -> Access:
        try:
            verified = self.tokens.read_access(token, resource.identifier)
        except TokenError as error:
            await self.vault.check_secrets(self.tokens.named_by_unknown_key(token, error))
            raise InvalidToken(
                "the access token is not valid here: get a new one",
                reason=error.error,
            ) from None
        if verified.cnf is None and resource.dpop_required:
            raise NeedsProof(
                "this resource accepts only access tokens that are bound to a key: get one with a "
                "DPoP proof",
                reason="an unbound token for a resource with dpop = required",
            )
        outcome = await self.vault.live.authenticate(verified.handle)
        if isinstance(outcome, Refused):
            raise InvalidToken(
                "the access token was revoked: get a new one",
                reason=outcome.reason.value,
                stage="grant",
                grant=verified.handle.grant,
            )
        delegation = verified.delegation
        if self.denied(outcome.grant.login.client_id):
            raise InvalidToken(
                "the operator of this server has denied this application",
                reason="client_denied",
                stage="client",
                grant=verified.handle.grant,
            )
        if delegation is not None and self._over(outcome.grant, delegation):
            raise InvalidToken(
                "the client that exchanged this token has revoked it, or was denied; exchange anew",
                reason="exchange_over",
                stage="grant",
                grant=verified.handle.grant,
            )
        secret = verified.handle.secret
        ends_at = min(verified.ends_at, self.vault.lifetimes.ends_at(outcome.grant) + CLOCK_LEEWAY)
        access = Access(
            outcome,
            verified.scopes,
            ends_at,
            delegation=delegation,
            cnf=verified.cnf,
            suffices=self.hierarchy.covers(verified.scopes, resource.scopes),
        )
        self._known[token] = _Known(
            secret,
            verified.scopes,
            resource,
            store_key(secret),
            ends_at,
            delegation,
            verified.cnf,
            [access],
        )
        return access

    def _over(self, grant: Active, delegation: Delegation) -> bool:
        """Whether a client that acts by an exchanged token has revoked it, or was denied."""
        return is_over(grant, delegation) or any(map(self.denied, delegation.actors))


def _accepted(access: Access, resource: Resource, calls: Sequence[Call]) -> bool:
    """Whether the rules that match one of *calls* accept the user, by the provider's claims."""
    if not calls:
        return True
    claims = access.opened.grant.login.identity.claims
    matching = (rule for rule in resource.rules if any(map(rule.matches, calls)))
    return all(rule.accepts(claims) for rule in matching)


def _needs_proof() -> NeedsProof:
    return NeedsProof(
        "this access token is bound to a key: send it with the scheme DPoP and a proof of that key",
        reason="a bound token without its proof",
    )


def credential(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """(scheme, token) of the one ``Authorization`` header (RFC 6750 §2.1, RFC 9449 §7.1)."""
    names = [*map(_name_of, headers)]  # no step of Python for each header
    if (count := names.count(b"authorization")) != 1:
        if count:
            raise InvalidRequest("Authorization must be given once")
        raise NoToken("an access token is needed: get one, and send it in Authorization")
    value = headers[names.index(b"authorization")][1]
    if value[:7] == b"Bearer ":  # as nearly all clients write it
        scheme, token = BEARER, value[7:].decode("latin-1").strip(" ")
    else:
        scheme, token = _spelled_otherwise(value.decode("latin-1"))
    if not token or " " in token:
        named = "Bearer" if scheme is BEARER else "DPoP"
        raise InvalidRequest(f"Authorization must hold one token after {named}")
    return scheme, token


def _spelled_otherwise(value: str) -> tuple[str, str]:
    named, _, token = value.partition(" ")
    scheme = _SCHEMES.get(named.lower())
    if scheme is None:
        raise NoToken("the Authorization scheme must be Bearer or DPoP")
    return scheme, token.strip(" ")


_SCHEMES: Final = {BEARER: BEARER, DPOP: DPOP}
