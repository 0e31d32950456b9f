"""An ID-JAG: an enterprise's provider lets a client act for a user. Pure.

draft-ietf-oauth-identity-assertion-authz-grant-04, and MCP's Enterprise-Managed Authorization.
"""

from typing import Any, Final

from msgspec.structs import replace

from mintage.errors import UpstreamMisbehaved
from mintage.grants.states import Identity
from mintage.partly_shown import PartlyShown
from mintage.trust.assertions import Assertion, BadAssertion
from mintage.trust.issuer import TrustedIssuer
from mintage.upstream.identity import from_claims
from mintage.values import ClientId, Scopes, parse_scope

PROFILE: Final = "urn:ietf:params:oauth:grant-profile:id-jag"
_MAX_RESOURCES: Final = 50


class IdJag(PartlyShown, frozen=True, kw_only=True):
    """*resources*: URLs, () if it names none. *scopes*: None if it has no ``scope``.

    *jkt*: the thumbprint of the key that it is bound to, if it is.
    """

    not_shown = ("who", "jti")

    who: Identity
    jti: str
    issued_at: int
    forget_at: int
    resources: tuple[str, ...]
    scopes: Scopes | None
    jkt: str | None = None


def read(assertion: Assertion, issuer: TrustedIssuer, client_id: ClientId) -> IdJag:
    """What *assertion* grants to the client that has authenticated. Raises `BadAssertion`."""
    claims = assertion.claims
    if claims.get("client_id") != client_id:
        raise BadAssertion("the ID-JAG is for another client: client_id must be the one that asks")
    if claims.get("tenant") != issuer.tenant:
        # Two tenants of one issuer may give one subject to two users (draft §3.1).
        raise BadAssertion("the ID-JAG is of another tenant of its issuer than the one in use here")
    if "authorization_details" in claims:
        raise BadAssertion("the ID-JAG has authorization_details, which this server does not know")
    if assertion.jti is None:
        raise BadAssertion("the ID-JAG must have a jti")
    return IdJag(
        who=_identity(assertion, issuer),
        jti=assertion.jti,
        issued_at=assertion.issued_at,
        forget_at=assertion.forget_at,
        resources=_resources(claims.get("resource")),
        scopes=_scopes(claims.get("scope")),
        jkt=_key(claims),
    )


def _key(claims: dict[str, Any]) -> str | None:
    """The thumbprint of the key that it is bound to (RFC 9449 §6.1); None if it has no ``cnf``."""
    if "cnf" not in claims:
        return None
    match claims["cnf"]:
        case {"jkt": str(jkt), **rest} if not rest:
            return jkt
        case _:
            raise BadAssertion("the ID-JAG is bound in a way (cnf) that this server can't check")


def _identity(assertion: Assertion, issuer: TrustedIssuer) -> Identity:
    """The user, under the name that a login at the same provider gives them."""
    try:
        who = from_claims(dict(assertion.claims), {}, issuer.identity)
    except (UpstreamMisbehaved, KeyError):
        raise BadAssertion("the ID-JAG does not say who the user is") from None
    return replace(who, subject=issuer.prefix + who.subject)


def _resources(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    found = value if isinstance(value, list) else [value]
    if not 0 < len(found) <= _MAX_RESOURCES:
        raise BadAssertion("resource in the ID-JAG must be a URL, or a list of some")
    urls = [one for one in found if isinstance(one, str)]
    if len(urls) != len(found):
        raise BadAssertion("resource in the ID-JAG must be a URL, or a list of some")
    return tuple(dict.fromkeys(urls))


def _scopes(value: object) -> Scopes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadAssertion("scope in the ID-JAG must be one string, with spaces between scopes")
    try:
        return parse_scope(value)
    except ValueError as error:
        raise BadAssertion(f"scope in the ID-JAG: {error}") from None
