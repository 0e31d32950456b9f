"""The JWTs of one server: an issuer for each audience, and the handles inside the tokens.

An access token is for one resource. A refresh token is for the server itself. They differ in
``aud`` and in ``token_use``, so neither can be used as the other.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from mintage.crypto.base64url import decode_segment
from mintage.errors import TokenError, UnknownKey, WrongAudience, WrongTokenUse
from mintage.grants.delegation import Delegation
from mintage.grants.handles import Handle, Kind, make_jti, parse_jti
from mintage.grants.lifetimes import ends_at as ends_at_
from mintage.grants.states import Active
from mintage.grants.status import slot_for
from mintage.jwt import claims as claims_
from mintage.jwt.claims import Claims, Confirmation
from mintage.jwt.issuer import JWTIssuer
from mintage.jwt.jws import MAX_TOKEN
from mintage.jwt.keyring import KeyRing
from mintage.jwt.signing import ClaimsSigner
from mintage.values import Clock, Scopes
from mintage.vault.values import CLOCK_LEEWAY, Lifetimes, OpenGrant

ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
"""What an access token is called in a token exchange (RFC 8693 §3)."""

_Use: TypeAlias = Literal["access", "refresh"]
"""The claim ``token_use``."""

_KINDS: Final[Mapping[_Use, tuple[Kind, ...]]] = {
    "access": ("access", "exchanged"),
    "refresh": ("refresh",),
}


class TokenResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A successful response of the token endpoint (RFC 6749 §5.1), as its JSON is.

    *expires_in*: left out if that is unknown. *scope*: likewise if it is empty, which by its
    grammar is none (§3.3). *issued_token_type*: what the access token is, for a token exchange (RFC
    8693 §2.2.1).
    """

    access_token: str
    token_type: str
    expires_in: int | None = None
    scope: str = ""
    refresh_token: str | None = None
    issued_token_type: str | None = None

    def __repr__(self) -> str:
        return f"TokenResponse({self.token_type}, scope={self.scope!r})"


class AccessToken(msgspec.Struct, frozen=True):
    """A verified access token. It is refused from *ends_at* (seconds since the epoch) on.

    *delegation*: if it was exchanged, who acts for the user. *cnf*: the key that it is bound to,
    which the request must prove (RFC 9449 §7).
    """

    handle: Handle
    scopes: Scopes
    ends_at: float
    delegation: Delegation | None = None
    cnf: Confirmation | None = None


class UnknownHandle(TokenError):
    """A valid signature, but not a ``jti`` of Mintage: another program shares the key."""

    error = "unknown_jti"
    description = "The token names no grant"


class Tokens:
    """Issues and reads the tokens of *issuer* for its *resources*.

    *leeway* (seconds) is the difference that the clocks of several replicas may have.
    *status_list*: the URL of the status list, for access tokens to name; None: there is none.
    """

    def __init__(
        self,
        *,
        issuer: str,
        resources: Iterable[str],
        keys: KeyRing,
        access_keys: KeyRing | None = None,
        lifetimes: Lifetimes,
        clock: Clock,
        leeway: int = CLOCK_LEEWAY,
        status_list: str | None = None,
    ) -> None:
        if min(lifetimes.access, lifetimes.refresh) < 1:
            # The issuer would make such a token: it has ended before its client has it.
            raise ValueError("a server's tokens live for at least a second")
        self._issuer = issuer
        self._lifetimes = lifetimes
        self._clock = clock
        self._leeway = leeway
        self._status_list = status_list

        def issuer_for(audience: str, ring: KeyRing) -> JWTIssuer:
            # Only a replica of this server can have signed it. When it was issued says which
            # clock is wrong, and nothing about the token; when it ends is checked.
            return JWTIssuer(issuer, audience, ring, leeway=leeway, ahead=math.inf, clock=clock)

        self._issuer_for = issuer_for
        self._access_ring = ring = access_keys or keys
        self._refresh = issuer_for(issuer, keys)
        self._access = {resource: issuer_for(resource, ring) for resource in resources}
        self._refresh_signer = ClaimsSigner(issuer, issuer, keys)
        self._signers = {name: ClaimsSigner(issuer, name, ring) for name in self._access}

    def issue(
        self,
        opened: OpenGrant,
        *,
        resource: str | None = None,
        scopes: Scopes | None = None,
        claims: Mapping[str, Any] | None = None,
        refreshable: bool = True,
        jkt: str | None = None,
    ) -> TokenResponse:
        """The tokens of the grant's current generation.

        They depend on the grant alone, not on the clock, so a second call gives the same bytes. A
        client that lost a response thus gets the very same tokens again. *resource* is the
        audience, None for the grant's own; *claims* are the provider's claims to include. *jkt*:
        the thumbprint of the key that the access token is bound to (RFC 9449 §6.1). No access
        token outlives the login. A refresh token may: then its use ends the grant at the provider
        too (see `grants.lifetimes`).
        """
        grant, login, iat = opened.grant, opened.grant.login, opened.grant.rotated_at
        audience = resource or grant.audience
        granted = " ".join(login.scopes if scopes is None else scopes)
        lifetime = self._until_the_end(grant, self._lifetimes.access)
        signer = self._signers[audience]
        access = Claims(
            self._issuer,
            audience,
            login.client_id,
            granted,
            iat + lifetime,
            iat,
            make_jti(opened.secret, grant.generation, "access"),
            sub=login.identity.subject if signer.needs_subject else None,
            cnf=None if jkt is None else Confirmation(jkt),
        )
        refresh_token = None
        if refreshable and grant.ends_at is None:
            refresh = Claims(
                self._issuer,
                self._issuer,
                login.client_id,
                " ".join(login.scopes),
                iat + self._lifetimes.refresh,
                iat,
                make_jti(opened.secret, grant.generation, "refresh"),
                "refresh",
            )
            refresh_token = self._refresh_signer.sign(refresh)
        return TokenResponse(
            access_token=signer.sign(
                access, dict(claims) if claims else None, self._status_claim(grant, lifetime)
            ),
            token_type=token_type(jkt),
            expires_in=max(iat + lifetime - int(self._clock()), 0),
            scope=granted,
            refresh_token=refresh_token,
        )

    def _status_claim(self, grant: Active, lifetime: int) -> dict[str, Any] | None:
        """Where the status of a token is found (Token Status List §6). None without a number."""
        if self._status_list is None:
            return None
        slot = slot_for(grant.slots, grant.rotated_at + lifetime)
        if slot is None:  # its client gets one with the next refresh
            return None
        return {"status": {"status_list": {"idx": slot.idx, "uri": self._status_list}}}

    def issue_exchanged(
        self,
        opened: OpenGrant,
        delegation: Delegation,
        *,
        resource: str,
        scopes: Scopes,
        ends_at: float,
        claims: Mapping[str, Any] | None = None,
        jkt: str | None,
    ) -> TokenResponse:
        """An access token for *resource*, for a client that acts for the user (RFC 8693 §2.2).

        It is one of the grant's tokens, and ends with it; at *ends_at* (seconds since the epoch) at
        the latest. Nothing is stored. *claims* are the provider's claims to include, *jkt* as for
        `issue`. Raises ``ValueError`` if there is no second left.
        """
        grant, issued_at = opened.grant, delegation.issued_at
        end = min(ends_at, ends_at_(grant, session=self._lifetimes.session))
        lifetime = int(end - issued_at)
        if lifetime < 1:
            raise ValueError("the token would have ended before its client has it")
        exchanged = Claims(
            self._issuer,
            resource,
            delegation.actor,
            " ".join(scopes),
            issued_at + lifetime,
            issued_at,
            make_jti(opened.secret, grant.generation, "exchanged"),
            sub=grant.login.identity.subject,
            cnf=None if jkt is None else Confirmation(jkt),
        )
        status = self._status_claim(grant, issued_at + lifetime - grant.rotated_at)
        return TokenResponse(
            access_token=self._signers[resource].sign(
                exchanged, dict(claims) if claims else None, delegation.claims() | (status or {})
            ),
            token_type=token_type(jkt),
            expires_in=max(issued_at + lifetime - int(self._clock()), 0),
            scope=exchanged.scope,
            issued_token_type=ACCESS_TOKEN_TYPE,
        )

    def _until_the_end(self, grant: Active, lifetime: int) -> int:
        """*lifetime*, but not longer than the login lasts; at least a second."""
        if grant.ends_at is None and self._lifetimes.session is None:
            return lifetime  # it has no end
        left = ends_at_(grant, session=self._lifetimes.session) - grant.rotated_at
        return lifetime if left >= lifetime else max(1, int(left))

    def read_refresh(self, token: str) -> Handle:
        """The handle of a refresh token. The grant knows its user. Raises `TokenError`."""
        return _handle(self._refresh.verify(token, "refresh").jti, "refresh")

    def read_access(self, token: str, resource: str) -> AccessToken:
        """The content of an access token for *resource*. Raises `TokenError`."""
        issuer = self._access[resource]
        claims = issuer.verify(token)
        handle = _handle(claims.jti, "access", "exchanged")
        delegation = _delegation(issuer, token) if handle.kind == "exchanged" else None
        ends_at = claims.exp + self._leeway
        return AccessToken(handle, claims.scopes, ends_at, delegation, claims.cnf)

    def delegation_of(self, token: str, handle: Handle, resource: str) -> Delegation | None:
        """Who acts by *token*, which was verified and has this *handle*. Raises `TokenError`."""
        return _delegation(self._access[resource], token) if handle.kind == "exchanged" else None

    def read_any(self, token: str) -> tuple[Handle, Claims]:
        """(handle, claims) of any token of this server. Raises `TokenError`."""
        failure: TokenError = WrongAudience()
        for issuer, use in self._readers():
            try:
                claims = issuer.verify(token, use)
                return _handle(claims.jti, *_KINDS[use]), claims
            except (WrongAudience, WrongTokenUse, UnknownKey) as error:
                failure = error  # access tokens may be signed with keys of their own
        raise failure

    def read_to_revoke(self, token: str) -> tuple[Handle, Claims]:
        """`read_any`, also of a token for a resource that was removed. Raises `TokenError`."""
        try:
            return self.read_any(token)
        except WrongAudience:
            claims = _unverified(token)
            if claims is None or claims.iss != self._issuer:
                raise
            verified = self._issuer_for(claims.aud, self._access_ring).verify(token)
            return _handle(verified.jti, *_KINDS["access"]), verified

    def named_by_unknown_key(self, token: str, error: TokenError) -> Handle | None:
        """The handle in *token*, which was refused with *error* because its key is unknown here.

        None for a token that is refused for another reason, has expired, or is of another issuer.
        The handle is not verified: use it only for `Vault.check_secrets`.
        """
        if not isinstance(error, UnknownKey):
            return None
        claims = _unverified(token)
        if claims is None or claims.iss != self._issuer or self._clock() >= claims.exp:
            return None
        return parse_jti(claims.jti)

    def _readers(self) -> Iterable[tuple[JWTIssuer, _Use]]:
        yield self._refresh, "refresh"
        for issuer in self._access.values():
            yield issuer, "access"


def token_type(jkt: str | None) -> str:
    """The ``token_type`` of an access token that is bound to a key, or to none (RFC 9449 §5)."""
    return "Bearer" if jkt is None else "DPoP"


def _handle(jti: str, *kinds: Kind) -> Handle:
    handle = parse_jti(jti)
    if handle is None or handle.kind not in kinds:
        raise UnknownHandle
    return handle


def _delegation(issuer: JWTIssuer, token: str) -> Delegation:
    """Who acts by *token*, which is an exchanged one. Raises `TokenError`."""
    try:
        return Delegation.of(issuer.verify_token(token))
    except ValueError:
        raise UnknownHandle from None


def _unverified(token: str) -> Claims | None:
    """The claims of *token*, not verified. Base no decision on them."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        return claims_.parse(decode_segment(token.split(".")[1].encode()))[0]
    except (IndexError, TokenError):
        return None
