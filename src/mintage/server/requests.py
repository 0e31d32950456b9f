"""OAuth requests as frozen values: one that exists is well-formed.

Parsing is pure. Checks that need the client or the vault are made there. A token request is parsed
in the file of its grant type.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mintage.clients.advice import check_grant_type
from mintage.clients.client import Client
from mintage.clients.redirects import matches
from mintage.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    LoginRequired,
    UnsupportedResponseType,
)
from mintage.partly_shown import PartlyShown
from mintage.server.login_errors import UnregisteredRedirectUri
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.upstream.protocol import LoginParameters
from mintage.values import ClientId, Scopes, parse_scope
from mintage.web.forms import Form, one, optional

_S256: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 §4.2
_MAX_STATE: Final = 1024
_MAX_HINT: Final = 320
_MAX_NAME: Final = 40
_MAX_LOCALES: Final = 60
_LOCALES: Final = re.compile(r"[A-Za-z0-9-]+(?: [A-Za-z0-9-]+)*")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_PROMPTS: Final = frozenset({"none", "login", "consent", "select_account", "create"})


class Pushed(msgspec.Struct, frozen=True, array_like=True):
    """The mark of a pushed request (RFC 9126): its *id*, which is claimed once, and its end."""

    id: bytes
    expires_at: int


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A validated authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2.1)."""

    client_id: ClientId
    client_name: str
    redirect_uri: str
    state: str | None
    code_challenge: str
    scopes: Scopes
    resource: str
    more_resources: tuple[str, ...] = ()
    left_out: Scopes = ()  # asked for, and no scopes of these resources
    parameters: LoginParameters = LoginParameters()
    upstream: str | None = None  # which identity provider, where there are several
    ui_locales: str | None = None  # the languages for Mintage's pages
    pushed: Pushed | None = None  # None: it came in the address
    dpop_jkt: str | None = None  # the key that must redeem the code (RFC 9449 §10)


def redirect_uri_of(form: Form, client: Client) -> str:
    """Where the response may go: an address that *client* registered (RFC 6749 §3.1.2.3)."""
    requested = optional(form, "redirect_uri")
    if requested is None:
        if len(client.redirect_uris) != 1:
            raise InvalidRequest(
                "redirect_uri is missing, and the client registered several: send one of them"
            )
        return client.redirect_uris[0].text
    if not any(matches(registered, requested) for registered in client.redirect_uris):
        raise UnregisteredRedirectUri(
            "redirect_uri must be one that this client registered; register it, or correct it"
        )
    return requested


def state_of(form: Form) -> str | None:
    """The client's state, to be returned as it came; None if it can't be used."""
    try:
        return optional(form, "state")
    except InvalidRequest:
        return None


def parse_authorization(
    form: Form, client: Client, redirect_uri: str, site: Site, pushed: Pushed | None = None
) -> AuthorizationRequest:
    """The rest of the request, after client and redirect URI have been checked."""
    state = optional(form, "state")
    if state is not None and len(state) > _MAX_STATE:
        raise InvalidRequest(f"state must be at most {_MAX_STATE} characters")
    response_type = one(form, "response_type")
    if response_type != "code":
        raise UnsupportedResponseType("response_type must be code")
    check_grant_type(client, "authorization_code")
    challenge = one(form, "code_challenge")
    # Left out, the method means "plain" (RFC 7636 §4.3), which shows the verifier to all.
    if optional(form, "code_challenge_method") != "S256":
        raise InvalidRequest("code_challenge_method must be S256")
    if not _S256.fullmatch(challenge):
        raise InvalidRequest("code_challenge must be 43 characters of base64url (S256)")
    first, *more = resources_of(form, site)
    scopes, left_out = scopes_of(form, (first, *more), client.scopes)
    return AuthorizationRequest(
        client_id=client.client_id,
        client_name=client.name,
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=challenge,
        scopes=scopes,
        left_out=left_out,
        resource=first.identifier,
        more_resources=tuple(resource.identifier for resource in more),
        parameters=_login_parameters(form),
        upstream=_upstream_named_by(optional(form, "acr_values") or ""),
        ui_locales=_languages(optional(form, "ui_locales") or ""),
        dpop_jkt=_thumbprint(optional(form, "dpop_jkt")),
        pushed=pushed,
    )


def parameters_of(wanted: AuthorizationRequest) -> Form:
    """The parameters that `parse_authorization` reads as *wanted*, but for ``client_id``."""
    fields: dict[str, tuple[str, ...]] = {
        "response_type": ("code",),
        "redirect_uri": (wanted.redirect_uri,),
        "scope": (" ".join((*wanted.scopes, *wanted.left_out)),),
        "resource": (wanted.resource, *wanted.more_resources),
        "code_challenge": (wanted.code_challenge,),
        "code_challenge_method": ("S256",),
    }
    if wanted.upstream is not None:
        fields["acr_values"] = (f"idp:{wanted.upstream}",)
    sent = {
        "state": wanted.state,
        "ui_locales": wanted.ui_locales,
        "dpop_jkt": wanted.dpop_jkt,
    }
    sent |= msgspec.structs.asdict(wanted.parameters)
    fields |= {name: (str(value),) for name, value in sent.items() if value is not None}
    return fields


def _thumbprint(jkt: str | None) -> str | None:
    """A SHA-256 thumbprint, as ``dpop_jkt`` has it (RFC 9449 §10)."""
    if jkt is not None and not _S256.fullmatch(jkt):
        raise InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key: 43 characters")
    return jkt


def _login_parameters(form: Form) -> LoginParameters:
    """How the user is to log in, for the identity provider (OpenID Connect Core §3.1.2.1)."""
    prompt, hint = optional(form, "prompt"), optional(form, "login_hint")
    if prompt is not None and not set(prompt.split(" ")) <= _PROMPTS:
        raise InvalidRequest("prompt may hold: " + " ".join(sorted(_PROMPTS)))
    if prompt == "none":
        raise LoginRequired("the user must agree each time: ask again without prompt=none")
    if hint is not None and len(hint) > _MAX_HINT:
        raise InvalidRequest(f"login_hint must be at most {_MAX_HINT} characters")
    age = optional(form, "max_age")
    if age is not None and not _SECONDS.fullmatch(age):
        raise InvalidRequest("max_age must be a number of seconds")
    return LoginParameters(
        prompt=prompt, max_age=None if age is None else int(age), login_hint=hint
    )


def _languages(ui_locales: str) -> str | None:
    """The languages that the pages should have, as far as they are a short list of tags.

    It is a preference, so anything else is no error.
    """
    short = len(ui_locales) <= _MAX_LOCALES
    return ui_locales if short and _LOCALES.fullmatch(ui_locales) else None


def _upstream_named_by(acr_values: str) -> str | None:
    """The provider that ``acr_values`` names as ``idp:NAME``. Other values are ignored."""
    for value in acr_values.split(" "):
        if value.startswith("idp:") and len(value) <= _MAX_NAME:
            return value.removeprefix("idp:")
    return None


def resources_of(form: Form, site: Site) -> Sequence[Resource]:
    """The resources requested (RFC 8707 §2); the site's first one if none is named."""
    found: list[Resource] = []
    for value in form.get("resource", ()):
        if not value:
            continue
        if (resource := site.resource(value)) is None:
            raise InvalidTarget(
                "resource must be one of: " + ", ".join(r.identifier for r in site.resources)
            )
        if resource not in found:
            found.append(resource)
    return found or site.resources[:1]


def scopes_of(
    form: Form, resources: Sequence[Resource], allowed: Scopes | None = None
) -> tuple[Scopes, Scopes]:
    """(what is granted, what was requested and left out) of the ``scope`` parameter.

    Clients ask for ``openid email profile`` by habit, or for all of ``scopes_supported`` in the
    server's metadata, which lists the scopes of every resource. Scopes that *resources* do not have
    are left out, and the token response says what was granted (RFC 6749 §3.3). If nothing is left,
    all scopes that *resources* require are granted. ``offline_access`` asks for a refresh token.
    The client's registration decides about that, so the scope is accepted and never granted.
    *allowed* is all that this client may have; None: everything.
    """
    usual = _distinct(scope for resource in resources for scope in resource.scopes)
    here = _distinct(scope for resource in resources for scope in resource.all_scopes)
    asked = asked_scopes(form) or ()
    wanted = tuple(scope for scope in asked if scope in here)
    left_out = tuple(s for s in asked if s not in here and s != "offline_access")
    if allowed is not None:
        usual = tuple(scope for scope in usual if scope in allowed)
        if not set(wanted) <= set(allowed):
            possible = " ".join(scope for scope in here if scope in allowed) or "none"
            raise InvalidScope(f"this client may ask for no more than these scopes: {possible}")
    return wanted or usual, left_out


def asked_scopes(form: Form) -> Scopes | None:
    """The ``scope`` parameter (RFC 6749 §3.3); None if there is none. Raises `InvalidScope`."""
    text = optional(form, "scope")
    try:
        return None if text is None else parse_scope(text)
    except ValueError as error:
        raise InvalidScope(f"correct scope: {error}") from None


def _distinct(scopes: Iterable[str]) -> Scopes:
    return tuple(dict.fromkeys(scopes))


class Revocation(PartlyShown, frozen=True, kw_only=True):
    """A revocation request (RFC 7009 §2.1). The hint is ignored: finding a token needs none."""

    not_shown = ("token",)

    token: str

    @classmethod
    def parse(cls, form: Form) -> "Revocation":
        optional(form, "token_type_hint")
        return cls(token=one(form, "token"))


class Introspection(PartlyShown, frozen=True, kw_only=True):
    """An introspection request (RFC 7662 §2.1)."""

    not_shown = ("token",)

    token: str

    @classmethod
    def parse(cls, form: Form) -> "Introspection":
        optional(form, "token_type_hint")
        return cls(token=one(form, "token"))


def named_resource(form: Form, site: Site) -> str | None:
    """The resource that a token request names, if it names one."""
    if not any(form.get("resource", ())):
        return None
    resource, *more = resources_of(form, site)
    if more:
        raise InvalidTarget("a token is for one resource: name one, and ask again for the others")
    return resource.identifier
