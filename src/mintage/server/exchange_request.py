"""A token exchange request as a frozen value (RFC 8693 §2.1). Pure."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from mintage.errors import InvalidRequest, InvalidScope, InvalidTarget
from mintage.grant_tokens import ACCESS_TOKEN_TYPE
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.values import Scopes, parse_scope
from mintage.web.forms import Form, one, optional

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
IDENTITY_PROVIDER: Final = "identity-provider"
"""The ``audience`` of a request for the user's access token at the identity provider."""

SubjectKind: TypeAlias = Literal["access_token", "identity"]

_KINDS: Final[dict[str, SubjectKind]] = {ACCESS_TOKEN_TYPE: "access_token", JWT: "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """What a backend asks for.

    *kind*: an access token of Mintage, or the signed identity that the gateway gave the backend.
    *target*: the resource; None for the user's token at the identity provider. *scopes*: None for
    all that are possible.
    """

    subject_token: str = field(repr=False)
    kind: SubjectKind
    target: Resource | None
    scopes: Scopes | None

    @classmethod
    def parse(cls, form: Form, site: Site) -> "ExchangeRequest":
        """The request in *form*.

        Raises `InvalidRequest`, `InvalidScope`, or `InvalidTarget` (RFC 8693 §2.2.2).
        """
        subject_token = one(form, "subject_token")
        kind = _KINDS.get(one(form, "subject_token_type"))
        if kind is None:
            raise InvalidRequest(
                f"subject_token_type must be {ACCESS_TOKEN_TYPE}, or {JWT} for a signed identity"
            )
        _check_actor(form)
        if optional(form, "requested_token_type") not in (None, ACCESS_TOKEN_TYPE):
            raise InvalidRequest(
                f"requested_token_type must be {ACCESS_TOKEN_TYPE}, or be left out"
            )
        return cls(
            subject_token=subject_token,
            kind=kind,
            target=_target(form, site),
            scopes=_scopes(form),
        )


def _check_actor(form: Form) -> None:
    """The actor is the client that authenticates. It needs no token to say so."""
    actor, kind = optional(form, "actor_token"), optional(form, "actor_token_type")
    if (actor is None) != (kind is None):
        raise InvalidRequest("send actor_token and actor_token_type together, or neither")
    if actor is not None:
        raise InvalidRequest(
            "leave actor_token out: the client that authenticates is the one that acts"
        )


def _target(form: Form, site: Site) -> Resource | None:
    named = [value for name in ("resource", "audience") for value in form.get(name, ()) if value]
    if not named:
        raise InvalidTarget("name the resource that the token is for, in resource or audience")
    if IDENTITY_PROVIDER in named:
        if set(named) != {IDENTITY_PROVIDER} or any(form.get("resource", ())):
            raise InvalidTarget(f"audience={IDENTITY_PROVIDER} goes alone, without resource")
        return None
    found = {id(one): one for one in map(site.resource, named) if one is not None}
    if len(found) != 1 or any(site.resource(name) is None for name in named):
        known = ", ".join(resource.identifier for resource in site.resources)
        raise InvalidTarget(f"a token is for one resource: name one of {known}")
    return next(iter(found.values()))


def _scopes(form: Form) -> Scopes | None:
    text = optional(form, "scope")
    if text is None:
        return None
    try:
        return parse_scope(text)
    except ValueError as error:
        raise InvalidScope(f"correct scope: {error}") from None
