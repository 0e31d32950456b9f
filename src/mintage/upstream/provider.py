"""A preset and what the operator says of it, settled into one value. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final
from urllib.parse import urlsplit

from mintage.errors import ConfigError
from mintage.upstream.id_token import is_issuer
from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import Endpoints, IdentityMap, Lookup, Preset, Quirks
from mintage.upstream.settings import UpstreamSettings

# What a parameter may look like: it becomes part of a URL.
_FORMS: Final = {
    "tenant": (
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|common|organizations",
        "must be the tenant's id (a GUID), organizations or common",
    ),
    "domain": (
        r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?",
        "must be a host alone, like login.example.com",
    ),
    "api": (
        r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9-]+)*",
        "must be a host and a path, like github.example.com/api/v3",
    ),
    "realm": (r"[A-Za-z0-9_.-]+", "must be the realm's name"),
    "region": (r"[a-z]{2}(-[a-z]+)+-[0-9]", "must be like eu-west-1"),
    "user_pool": (r"[a-z0-9-]+_[A-Za-z0-9]+", "must be the pool's id, like eu-west-1_a1B2c3D4e"),
}  # fmt: skip
_RESERVED: Final = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
     "code_challenge_method", "request", "request_uri", "response_mode", "client_secret",
     "resource", "max_age"}  # a max_age that nobody checks is a promise that nobody keeps
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One identity provider as it is used here: nothing left to be looked up or filled in.

    *id_token*: whether it says who the user is with one; otherwise *lookups* do. *discovery_url*:
    where its document is, if not below *issuer*. *plain*: http endpoints will do.
    """

    name: str
    issuer: str
    discovery: bool
    id_token: bool
    endpoints: Endpoints
    scopes: tuple[str, ...]
    lookups: tuple[Lookup, ...]
    identity: IdentityMap
    quirks: Quirks
    resource: str | None
    discovery_url: str | None = None
    plain: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


def resolve_upstream(preset: Preset, settings: UpstreamSettings) -> Provider:
    """The provider that *settings* describe. Raises `ConfigError`, which names the key."""
    parameters = _parameters(preset, settings)
    endpoints = _merged(_filled(preset.endpoints, parameters), settings.endpoints)
    discovery = preset.discovery and not (endpoints.authorization and endpoints.tokens)
    if not discovery:
        _check_endpoints(endpoints)
    scopes = settings.scopes
    id_token = "openid" in scopes and (discovery or endpoints.jwks is not None)
    lookups = tuple(_lookup(lookup, parameters) for lookup in preset.lookups)
    if not id_token and not lookups and settings.userinfo is False:
        raise ConfigError(
            "upstream.userinfo", "is needed: without an id_token userinfo alone says who logged in"
        )
    if not id_token and not lookups:
        lookups = (_userinfo(preset, endpoints, discovery=discovery),)
    issuer = _issuer(preset, settings, parameters, endpoints)
    return Provider(
        name=_name(preset, settings, issuer),
        issuer=issuer,
        discovery=discovery,
        id_token=id_token,
        endpoints=endpoints,
        scopes=scopes,
        lookups=lookups,
        identity=_identity(preset, settings.claims),
        quirks=_quirks(preset.quirks, settings, parameters),
        resource=settings.resource,
        discovery_url=settings.discovery_url,
        plain=settings.plain,
        extra=_extra(settings.extra),
    )


def _name(preset: Preset, settings: UpstreamSettings, issuer: str) -> str:
    """How people call it: a brand where there is one of it, otherwise whose it is."""
    own = settings.issuer is not None or "domain" in settings.parameters or preset.issuer is None
    return urlsplit(issuer).netloc if own else preset.title


def _parameters(preset: Preset, settings: UpstreamSettings) -> dict[str, str]:
    for name in settings.parameters:
        if name not in preset.parameters:
            raise ConfigError(f"upstream.{name}", f"the preset {preset.name} does not know it")
    found = {}
    for name, default in preset.parameters.items():
        value = settings.parameters.get(name, default)
        if value is None:
            if settings.issuer is not None:
                continue
            raise ConfigError(f"upstream.{name}", f"the preset {preset.name} needs it")
        pattern, advice = _FORMS[name]
        if not re.fullmatch(pattern, value):
            raise ConfigError(f"upstream.{name}", advice)
        found[name] = value
    return found


def _fill(template: str, parameters: Mapping[str, str]) -> str:
    for name, value in parameters.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _filled(endpoints: Endpoints, parameters: Mapping[str, str]) -> Endpoints:
    given = {name: _fill(url, parameters) for name, url in _given(endpoints).items()}
    return Endpoints(**given)


def _merged(known: Endpoints, said: Endpoints) -> Endpoints:
    return replace(known, **_given(said))


def _given(endpoints: Endpoints) -> dict[str, str]:
    values = ((each.name, getattr(endpoints, each.name)) for each in fields(endpoints))
    return {name: url for name, url in values if url is not None}


def _check_endpoints(endpoints: Endpoints) -> None:
    for name, url in (("authorization", endpoints.authorization), ("token", endpoints.tokens)):
        if url is None:
            raise ConfigError(
                f"upstream.{name}_endpoint", "is needed with a provider without discovery"
            )


def _lookup(lookup: Lookup, parameters: Mapping[str, str]) -> Lookup:
    return replace(lookup, url=_fill(lookup.url, parameters))


def _userinfo(preset: Preset, endpoints: Endpoints, *, discovery: bool) -> Lookup:
    """Who the user is, asked at the one endpoint that is left to ask. Its answer is it all."""
    if endpoints.userinfo is None and not discovery:
        raise ConfigError(
            "upstream.userinfo_endpoint",
            f"the preset {preset.name} needs it: without it (or an id_token) nobody knows who "
            "logged in",
        )
    return Lookup(into="", url=endpoints.userinfo or "")


def _issuer(
    preset: Preset,
    settings: UpstreamSettings,
    parameters: Mapping[str, str],
    endpoints: Endpoints,
) -> str:
    if settings.issuer is not None:
        return settings.issuer
    if preset.issuer is not None:
        return _fill(preset.issuer, parameters)
    if endpoints.tokens is None or endpoints.jwks is not None:
        raise ConfigError("upstream.issuer", f"the preset {preset.name} needs it")
    parts = urlsplit(endpoints.tokens)
    return f"{parts.scheme}://{parts.netloc}"


def _identity(preset: Preset, claims: Mapping[str, Pick]) -> IdentityMap:
    known = {each.name for each in fields(IdentityMap)}
    for name in claims:
        if name not in known:
            raise ConfigError(f"upstream.claims.{name}", "must be one of: " + ", ".join(known))
    return replace(preset.identity, **dict(claims))


def _quirks(quirks: Quirks, settings: UpstreamSettings, parameters: Mapping[str, str]) -> Quirks:
    if quirks.issuer_template is not None:
        quirks = replace(quirks, issuer_template=_fill(quirks.issuer_template, parameters))
    if settings.userinfo is not None:
        quirks = replace(quirks, userinfo="always" if settings.userinfo else "never")
    if settings.emails_are_verified is not None:
        quirks = replace(quirks, emails_are_verified=settings.emails_are_verified)
    if settings.pkce is not None:
        quirks = replace(quirks, pkce=settings.pkce)
    if settings.auth_method is not None:
        quirks = replace(quirks, auth_method=settings.auth_method)
    match quirks.auth_method:
        case "client_secret_basic" | "client_secret_post" if settings.client_secret is None:
            if settings.auth_method is not None:
                raise ConfigError("upstream.client_secret", f"{quirks.auth_method} needs it")
        case "private_key_jwt" if settings.client_key is None:
            raise ConfigError("upstream.client_key", "private_key_jwt needs it")
        case _:
            pass
    public = settings.client_secret is None and settings.client_key is None
    if not quirks.pkce and (public or quirks.auth_method == "none"):
        raise ConfigError(
            "upstream.client_secret", "is needed: without it and without PKCE a login is not safe"
        )
    return quirks


def _extra(extra: Mapping[str, str]) -> dict[str, str]:
    for name in extra:
        if name in _RESERVED:
            raise ConfigError(f"upstream.parameters.{name}", "this one is not yours to set")
    return dict(extra)


def issued_by(provider: Provider, issuer: str | None) -> bool:
    """Whether tokens of *issuer* came from *provider*, one of its tenants included."""
    quirks, template = provider.quirks, provider.quirks.issuer_template
    if issuer is None or issuer in (provider.issuer, *quirks.issuer_aliases):
        return True
    if template is None or is_issuer(provider.issuer, template, ()):
        return False  # one tenant, which has another issuer
    return is_issuer(issuer, template, ())
