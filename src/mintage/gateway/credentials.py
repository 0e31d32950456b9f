"""What a backend learns about the user, and which token it gets for its own requests."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from mintage.access.emails import verified_email
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.concurrency.single_flight import SingleFlight
from mintage.errors import AccessDenied, InvalidToken, UpstreamRefused
from mintage.events.event import Emit, Party, ignore
from mintage.events.tokens import TokenExchanged, TokenExchangeRefused
from mintage.gateway.headers import (
    MAX_GROUP_BYTES,
    RawHeaders,
    identity_headers,
    lines_to_backend,
    of_the_user,
)
from mintage.grants.delegation import Actors, act_claim
from mintage.grants.handles import Handle, store_key
from mintage.grants.states import Identity, UpstreamTokens, in_memory
from mintage.jwt.jws import sign
from mintage.jwt.keyring import TokenKey
from mintage.resource.bearer import Access
from mintage.resource.upstream_token import fresh_upstream, stored_upstream
from mintage.server.subject_tokens import CLAIM, IDENTITY_TYPE, Subject, SubjectBox
from mintage.site.resource import Resource
from mintage.upstream.id_jag import LOGIN_TOO_OLD
from mintage.upstream.protocol import Exchange, IdJag
from mintage.values import Clock, RandomBytes
from mintage.vault.values import CLOCK_LEEWAY
from mintage.vault.vault import Vault

IDENTITY_HEADER: Final = "x-identity-token"
_IDENTITY_NAME: Final = IDENTITY_HEADER.encode()
_IDENTITY_SECONDS: Final = 60
_MARGIN: Final = 30  # seconds before its end at which an exchanged token is got anew
_UNSTATED: Final = 300  # seconds that one without an end is kept
_YOUNG: Final = 10  # seconds in which one that a backend refuses is not got anew
_MAX_KEPT: Final = 10_000
_MAX_SIGNED: Final = 16  # identity tokens of one grant: each access token may need another

Exchanger: TypeAlias = Callable[[UpstreamTokens, Exchange | IdJag], Awaitable[UpstreamTokens]]


class IdentitySigner(msgspec.Struct, frozen=True):
    """Signs who a user is, for a minute, for one backend (typ ``identity+jwt``).

    Because of its ``typ`` and audience no program takes it for an access token. *subjects* makes it
    a subject token for the backends at *exchanging*, the paths of their resources (RFC 8693 §2.1).
    """

    issuer: str
    key: TokenKey
    clock: Clock
    random_bytes: RandomBytes
    subjects: SubjectBox | None = None
    exchanging: frozenset[str] = frozenset()

    def of_exchange(self, access: Access, resource: Resource) -> Subject | None:
        """What the backend of *resource* can exchange; None if it exchanges nothing."""
        if self.subjects is None or resource.path not in self.exchanging:
            return None
        handle = Handle(access.opened.secret, 0, "access")
        return Subject(handle, access.scopes, access.ends_at - CLOCK_LEEWAY, access.delegation)

    def signed(
        self,
        who: Identity,
        audience: str,
        now: int,
        actors: Actors = (),
        subject: Subject | None = None,
    ) -> str:
        """*actors*: who acts for the user (RFC 8693 §4.1). *subject*: see `of_exchange`."""
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "aud": audience,
            "sub": who.subject,
            "iat": now,
            "exp": now + _IDENTITY_SECONDS,
            "jti": self.random_bytes(16).hex(),
        }
        told = {name: who.claims.get(name) for name in ("name", "preferred_username", "groups")}
        told["email"] = verified_email(who.claims)
        payload |= {name: value for name, value in told.items() if value}
        if actors:
            payload["act"] = act_claim(actors)
        if subject is not None and self.subjects is not None:
            payload[CLAIM] = self.subjects.seal(subject, audience)
        if self.key.signer is None:
            raise ValueError("the key can't sign")
        header = self.key.header(IDENTITY_TYPE)
        return sign(msgspec.json.encode(payload), header=header, signer=self.key.signer)


class Told(msgspec.Struct):
    """What a backend learns about a user, and the *token* for its own requests, if it gets one.

    *identity*: who the user is, read-only.
    """

    identity: RawHeaders
    token: str | None
    _lines: bytes | None = None

    def __repr__(self) -> str:
        return f"Told({[name for name, _ in self.identity]}, …)"  # no token in a log

    @property
    def authorization(self) -> str | None:
        """The value of the header ``Authorization``."""
        return None if self.token is None else f"Bearer {self.token}"

    @property
    def headers(self) -> RawHeaders:
        """A new list."""
        return of_the_user(self.identity, self.authorization)

    def lines(self) -> bytes:
        """The headers as bytes. Raises as `lines_to_backend` does."""
        if self._lines is None:
            self._lines = lines_to_backend(self.headers)
        return self._lines


NOTHING: Final = Told([], None)


class _Kept(NamedTuple):
    """*made_of*: the grant or tokens that it came from. It is invalid for any other."""

    token: str
    made_of: object
    until: float
    since: float = 0.0


@dataclass(slots=True)
class BackendCredentials:
    """Finds what a backend gets for the user of a token.

    *clock* is the time of day. Caches use *steady*, which cannot be set. *exchanged*: tokens that
    were got, by the store keys of their grants (see `Ended.clearing`). *signed*: identity tokens
    likewise.
    """

    vault: Vault
    clock: Clock
    steady: Clock
    exchanger: Exchanger
    signer: IdentitySigner | None = None
    group_bytes: int = MAX_GROUP_BYTES
    emit: Emit = ignore
    signed: BoundedMemory[bytes, BoundedMemory[Hashable, _Kept]] = field(
        default_factory=lambda: BoundedMemory(_MAX_KEPT), repr=False
    )
    exchanged: BoundedMemory[bytes, dict[Exchange | IdJag, _Kept]] = field(
        default_factory=lambda: BoundedMemory(_MAX_KEPT), repr=False
    )
    _flights: SingleFlight[str] = field(default_factory=SingleFlight)
    _headers: str = field(init=False, repr=False)
    _without_token: str = field(init=False, repr=False)
    _with_token: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Other settings may leave room for other groups.
        self._headers = f"identity headers of {self.group_bytes}"
        self._without_token, self._with_token = f"{self._headers}, told", f"{self._headers}, token"

    def at_hand(self, access: Access, resource: Resource) -> Told | None:
        """What `of` returns, if nobody need be asked for it. Otherwise None."""
        kind = resource.credential
        if kind == "upstream":
            tokens = self.vault.upstream_at_hand(access.opened)
            return None if tokens is None else self._told(access, resource, tokens.access_token)
        if kind == "identity":
            return self._told(access, resource, None)
        return NOTHING if kind == "none" else None

    async def of(self, access: Access, resource: Resource) -> Told:
        """What the backend of *resource* learns about the user of *access*.

        Raises `InvalidToken` if the upstream has ended the login, `AccessDenied` if nobody logged
        in there or it issues no token for the backend, and `UpstreamError` if it can't be asked.
        """
        if (at_hand := self.at_hand(access, resource)) is not None:
            return at_hand
        if resource.credential == "exchange":
            token = await self._exchange(access, resource, resource.exchange)
        elif resource.credential == "id_jag":
            token = await self._exchange(access, resource, resource.id_jag)
        else:
            token = (await fresh_upstream(access.opened, self.vault)).access_token
        return self._told(access, resource, token)

    def refused(self, access: Access, resource: Resource) -> None:
        """The backend refuses the exchanged token of *access*: the next request gets a new one.

        One that was got just now is kept, so a backend that refuses every token costs the provider
        little.
        """
        wanted = resource.exchange or resource.id_jag
        if wanted is None:
            return
        of_grant = self.exchanged.get(store_key(access.opened.secret), {})
        kept = of_grant.get(wanted)
        if kept is not None and self.steady() - kept.since >= _YOUNG:
            del of_grant[wanted]

    def _told(self, access: Access, resource: Resource, token: str | None) -> Told:
        """It is kept beside the identity, for as long as the token stays the same."""
        who = access.opened.grant.login.identity
        if self.signer is not None:
            signed = self._signed_for(access, resource, self.signer)
            return Told([*self._identity(who), (_IDENTITY_NAME, signed.encode())], token)
        name = self._with_token if token is not None else self._without_token
        told: Told | None = who.derived.get(name)
        if told is None or told.token is not token:
            told = who.derived[name] = Told(self._identity(who), token)
        return told

    def _identity(self, who: Identity) -> RawHeaders:
        """Read-only: it is kept beside the identity."""
        headers: RawHeaders | None = who.derived.get(self._headers)
        if headers is None:
            told = identity_headers(who, self.group_bytes)
            headers = [(name.encode(), value.encode("latin-1")) for name, value in told.items()]
            who.derived[self._headers] = headers
        return headers

    def _signed_for(self, access: Access, resource: Resource, signer: IdentitySigner) -> str:
        told = access.delegation
        actors = () if told is None else told.actors
        subject = signer.of_exchange(access, resource)
        # A token with other scopes or another end is another access of the same user.
        key, question = store_key(access.opened.secret), (resource.audience, actors, subject)
        steady, who = self.steady(), access.opened.grant.login.identity
        of_grant = self.signed.get(key)
        kept = None if of_grant is None else of_grant.get(question)
        if kept is not None and kept.made_of == who and steady < kept.until:
            return kept.token
        token = signer.signed(who, resource.audience, int(self.clock()), actors, subject)
        if not self.vault.ended.has_ended(key):  # it may have ended meanwhile
            self.signed[key] = of_grant = of_grant or BoundedMemory(_MAX_SIGNED)
            # All last as long, so the oldest end first.
            while of_grant and steady >= next(iter(of_grant.values())).until:
                of_grant.popitem(last=False)
            of_grant[question] = _Kept(token, who, steady + _IDENTITY_SECONDS / 2)
        return token

    async def _exchange(
        self, access: Access, resource: Resource, wanted: Exchange | IdJag | None
    ) -> str:
        """A token for the backend's audience (RFC 8693), cached while it is valid."""
        if wanted is None:
            raise ValueError("there are no settings for the exchange")
        tokens = in_memory(await fresh_upstream(access.opened, self.vault))
        # The key is the whole question: two resources may differ in the scope alone.
        key = store_key(access.opened.secret), wanted
        kept = self.exchanged.get(key[0], {}).get(wanted)
        if kept is not None and kept.made_of == tokens and self.steady() < kept.until:
            return kept.token
        party = access.opened.party(resource.identifier)
        flight = key[0] + msgspec.msgpack.encode((tokens.access_token, wanted))
        secret = access.opened.secret
        return await self._flights.join(flight, lambda: self._ask(key, tokens, party, secret))

    async def _ask(
        self,
        key: tuple[bytes, Exchange | IdJag],
        tokens: UpstreamTokens,
        party: Party,
        secret: bytes,
    ) -> str:
        shown = tokens
        if isinstance(key[1], IdJag) and key[1].subject == "refresh_token":
            shown = await stored_upstream(secret, self.vault)
        try:
            given = await self.exchanger(shown, key[1])
        except UpstreamRefused as refusal:
            reason, audience = refusal.error, key[1].audience
            self.emit(TokenExchangeRefused(party=party, reason=reason, audience=audience))
            if reason == LOGIN_TOO_OLD:
                raise InvalidToken(
                    "this login is too old for what the backend needs; log in again",
                    reason="there is no valid id_token for an ID-JAG",
                    stage="upstream",
                ) from None
            raise AccessDenied(
                "the identity provider gives this user no token for the backend; ask the "
                "operator of this server",
                reason=f"token exchange refused: {refusal.error}",
                stage="upstream",
            ) from None
        left: float = _UNSTATED
        if given.expires_at is not None:
            left = given.expires_at - _MARGIN - self.clock()
        if not self.vault.ended.has_ended(key[0]):  # it may have ended meanwhile
            steady = self.steady()
            self._keep(*key, _Kept(given.access_token, tokens, steady + left, steady), steady)
        self.emit(TokenExchanged(party=party, audience=key[1].audience))
        return given.access_token

    def _keep(self, key: bytes, wanted: Exchange | IdJag, kept: _Kept, now: float) -> None:
        """Keep *kept*, in place of what has expired."""
        of_grant = self.exchanged.get(key, {})
        live = {question: one for question, one in of_grant.items() if now < one.until}
        self.exchanged[key] = live | {wanted: kept}
        while not any(now < one.until for one in next(iter(self.exchanged.values())).values()):
            self.exchanged.popitem(last=False)
            if not self.exchanged:
                return
