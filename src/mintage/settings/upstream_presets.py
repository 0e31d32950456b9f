"""Combines a preset with the settings of ``[upstream]``. Pure."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import asdict, replace

from mintage.errors import ConfigError
from mintage.settings.upstream_section import UpstreamSection
from mintage.upstream.authentication import SigningKey
from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import Endpoints, IdentityMap, Lookup, Preset, Quirks
from mintage.upstream.upstream import Upstream
from mintage.values import Scopes, Secret

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
     "resource", "max_age"}  # without auth_time a max_age can't be checked
)  # fmt: skip


def upstream_of(
    preset: Preset,
    section: UpstreamSection,
    *,
    scopes: Scopes,
    client_secret: Secret | None,
    client_key: SigningKey | None,
    claims: Mapping[str, Pick],
) -> Upstream:
    """The provider of *section*. Secrets are given as values."""
    parameters = _parameters(preset, section)
    endpoints = _merged(_filled(preset.endpoints, parameters), section.given_endpoints)
    discovery = preset.discovery and not (endpoints.authorization and endpoints.tokens)
    if not discovery:
        _check_endpoints(endpoints)
    id_token = "openid" in scopes and (discovery or endpoints.jwks is not None)
    lookups = tuple(_lookup(lookup, parameters) for lookup in preset.lookups)
    if not id_token and not lookups and section.userinfo is False:
        raise ConfigError(
            "upstream.userinfo", "is needed: without an id_token userinfo alone says who logged in"
        )
    if not id_token and not lookups:
        lookups = (_userinfo(preset, endpoints, discovery=discovery),)
    issuer = _issuer(preset, section, parameters, endpoints)
    return Upstream(
        name=section.short_name,
        title=section.title or _title(preset, section, issuer),
        client_id=section.client_id,
        issuer=issuer,
        names_issuer=discovery or section.issuer is not None,
        scopes=scopes,
        client_secret=client_secret,
        client_key=client_key,
        auth_method=section.auth_method,
        more_scopes=section.more_scopes,
        identity=_identity(preset, claims),
        quirks=_quirks(preset.quirks, section, parameters),
        resource=section.resource,
        extra=_extra(section.parameters),
        discovery=discovery,
        discovery_url=section.discovery_url,
        endpoints=endpoints,
        plain=section.http_to_the_provider_stays_in_a_trusted_network,
        id_token=id_token,
        lookups=lookups,
        recheck_seconds=section.recheck_seconds,
        asks_without_refresh_token=section.without_refresh_token == "ask",  # noqa: S105
        former_issuers=section.former_issuers,
        returns_after_logout=section.returns_after_logout,
        public=preset.is_public(parameters),
        domains=frozenset(domain.lower().lstrip("@") for domain in section.domains),
        legacy_default=section.legacy_default,
    )


def _title(preset: Preset, section: UpstreamSection, issuer: str) -> str:
    """The name for users: the brand, or the host if there are many such providers."""
    own = section.issuer is not None or section.domain is not None or preset.issuer is None
    return urlsplit(issuer).netloc if own else preset.title


def _parameters(preset: Preset, section: UpstreamSection) -> dict[str, str]:
    given = section.given_parameters
    for name in given:
        if name not in preset.parameters:
            raise ConfigError(f"upstream.{name}", f"the preset {preset.name} does not know it")
    found = {}
    for name, default in preset.parameters.items():
        value = given.get(name, default)
        if value is None:
            if section.issuer is not None:
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
    return {name: url for name, url in asdict(endpoints).items() if url is not None}


def _check_endpoints(endpoints: Endpoints) -> None:
    for name, url in (("authorization", endpoints.authorization), ("token", endpoints.tokens)):
        if url is None:
            raise ConfigError(
                f"upstream.{name}_endpoint", "is needed with a provider without discovery"
            )


def _lookup(lookup: Lookup, parameters: Mapping[str, str]) -> Lookup:
    return replace(lookup, url=_fill(lookup.url, parameters))


def _userinfo(preset: Preset, endpoints: Endpoints, *, discovery: bool) -> Lookup:
    """The lookup at the userinfo endpoint, if there is no other. It is the whole answer."""
    if endpoints.userinfo is None and not discovery:
        raise ConfigError(
            "upstream.userinfo_endpoint",
            f"the preset {preset.name} needs it: without it (or an id_token) nobody knows who "
            "logged in",
        )
    return Lookup(into="", url=endpoints.userinfo or "")


def _issuer(
    preset: Preset,
    section: UpstreamSection,
    parameters: Mapping[str, str],
    endpoints: Endpoints,
) -> str:
    if section.issuer is not None:
        return section.issuer
    if preset.issuer is not None:
        return _fill(preset.issuer, parameters)
    if endpoints.tokens is None or endpoints.jwks is not None:
        raise ConfigError("upstream.issuer", f"the preset {preset.name} needs it")
    parts = urlsplit(endpoints.tokens)
    return f"{parts.scheme}://{parts.netloc}"


def _identity(preset: Preset, claims: Mapping[str, Pick]) -> IdentityMap:
    known = IdentityMap.__struct_fields__
    for name in claims:
        if name not in known:
            raise ConfigError(f"upstream.claims.{name}", "must be one of: " + ", ".join(known))
    return replace(preset.identity, **dict(claims))


def _quirks(quirks: Quirks, section: UpstreamSection, parameters: Mapping[str, str]) -> Quirks:
    if quirks.issuer_template is not None:
        quirks = replace(quirks, issuer_template=_fill(quirks.issuer_template, parameters))
    if section.userinfo is not None:
        quirks = replace(quirks, userinfo="always" if section.userinfo else "never")
    if section.emails_are_verified is not None:
        quirks = replace(quirks, emails_are_verified=section.emails_are_verified)
    if section.pkce is not None:
        quirks = replace(quirks, pkce=section.pkce)
    if section.auth_method is not None:
        quirks = replace(quirks, auth_method=section.auth_method)
    match quirks.auth_method:
        case "client_secret_basic" | "client_secret_post" if section.client_secret is None:
            if section.auth_method is not None:
                raise ConfigError("upstream.client_secret", f"{quirks.auth_method} needs it")
        case "private_key_jwt" if section.client_key is None:
            raise ConfigError("upstream.client_key", "private_key_jwt needs it")
        case _:
            pass
    public = section.client_secret is None and section.client_key is None
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
