"""The ``[upstream]`` section of ``mintage.toml``: one identity provider, as it is written."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.errors import ConfigError
from mintage.settings.words import none_of
from mintage.upstream.authentication import SigningKey
from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import AuthMethod, Endpoints
from mintage.upstream.presets import PRESETS, find_preset
from mintage.upstream.provider import resolve_upstream
from mintage.upstream.settings import RECHECK_SECONDS, UpstreamSettings
from mintage.urls import check_https, whole_url
from mintage.values import Secret, check_scopes

_MAX_RECHECK: Final = 30 * 86400

Resolve = Callable[[str, str], Secret]
"""(where a secret stands, the key that says so) → the secret. Raises `ConfigError`."""


class UpstreamSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Its keys. What a preset knows need not be said."""

    client_id: str
    preset: str = "oidc"
    issuer: str | None = None
    client_secret: str | None = None
    client_key: str | None = None
    auth_method: AuthMethod | None = None
    scopes: tuple[str, ...] | None = None
    tenant: str | None = None
    domain: str | None = None
    api: str | None = None
    realm: str | None = None
    region: str | None = None
    user_pool: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    jwks_uri: str | None = None
    resource: str | None = None
    parameters: Mapping[str, str] = {}
    claims: Mapping[str, str] = {}
    discovery_url: str | None = None
    http_to_the_provider_stays_in_a_trusted_network: bool = False
    userinfo: bool | None = None
    emails_are_verified: bool | None = None
    without_refresh_token: Literal["ask", "end"] = "ask"  # noqa: S105
    former_issuers: tuple[str, ...] = ()
    pkce: bool | None = None
    recheck_seconds: Annotated[int, Meta(ge=0, le=_MAX_RECHECK)] = RECHECK_SECONDS
    name: str | None = None
    title: str | None = None
    domains: tuple[str, ...] = ()
    more_scopes: dict[str, tuple[str, ...]] = {}
    legacy_default: bool = False


_PARAMETERS: Final = ("tenant", "domain", "api", "realm", "region", "user_pool")
_ENDPOINTS: Final = {
    "authorization": "authorization_endpoint",
    "tokens": "token_endpoint",
    "userinfo": "userinfo_endpoint",
    "revocation": "revocation_endpoint",
    "introspection": "introspection_endpoint",
    "jwks": "jwks_uri",
}  # fmt: skip


def upstream_settings(section: UpstreamSection, resolve: Resolve) -> UpstreamSettings:
    """What *section* says, checked whole: a provider can be made of it.

    Raises `ConfigError`, which names the key.
    """
    try:
        preset = find_preset(section.preset)
    except ValueError:
        why = none_of(section.preset, list(PRESETS))
        raise ConfigError("upstream.preset", why) from None
    if not section.client_id:
        raise ConfigError("upstream.client_id", "is empty")
    _check_urls(section)
    settings = UpstreamSettings(
        preset=section.preset,
        client_id=section.client_id,
        scopes=preset.scopes if section.scopes is None else _scopes(section.scopes),
        issuer=section.issuer,
        client_secret=_secret(section.client_secret, "upstream.client_secret", resolve),
        client_key=_secret(section.client_key, "upstream.client_key", resolve),
        auth_method=section.auth_method,
        pkce=section.pkce,
        parameters=_given(section, {name: name for name in _PARAMETERS}),
        endpoints=Endpoints(**_given(section, _ENDPOINTS)),
        resource=section.resource,
        extra=section.parameters,
        claims=_claims(section.claims),
        recheck_seconds=section.recheck_seconds,
        name=section.preset if section.name is None else section.name,
        title=section.title,
        domains=frozenset(domain.lower().lstrip("@") for domain in section.domains),
        more_scopes=section.more_scopes,
        legacy_default=section.legacy_default,
        discovery_url=section.discovery_url,
        plain=section.http_to_the_provider_stays_in_a_trusted_network,
        userinfo=section.userinfo,
        emails_are_verified=section.emails_are_verified,
        asks_without_refresh_token=section.without_refresh_token == "ask",  # noqa: S105
        former_issuers=section.former_issuers,
    )
    _check_key(settings.client_key)
    _check_resource(section.resource)
    resolve_upstream(preset, settings)
    return settings


def all_upstreams(
    sections: UpstreamSection | tuple[UpstreamSection, ...], resolve: Resolve
) -> tuple[UpstreamSettings, ...]:
    """One ``[upstream]``, or several ``[[upstream]]``. Raises `ConfigError`."""
    if isinstance(sections, UpstreamSection) or len(sections) == 1:
        (only,) = (sections,) if isinstance(sections, UpstreamSection) else sections
        return (replace(upstream_settings(only, resolve), legacy_default=True),)
    if not sections:
        raise ConfigError("upstream", "at least one is needed")
    found: list[UpstreamSettings] = []
    for number, section in enumerate(sections):
        key = f"upstream[{number}]"
        try:
            settings = upstream_settings(section, resolve)
        except ConfigError as error:
            raise ConfigError(error.key.replace("upstream", key, 1), error.advice) from None
        _check_beside(settings, found, key)
        found.append(settings)
    return tuple(found)


def bare_upstreams(
    sections: UpstreamSection | tuple[UpstreamSection, ...],
) -> tuple[UpstreamSettings, ...]:
    """What *sections* show: names and addresses. No secret is read, and little is checked."""
    each = (sections,) if isinstance(sections, UpstreamSection) else sections
    return tuple(
        UpstreamSettings(
            preset=section.preset,
            client_id=section.client_id,
            scopes=section.scopes or (),
            name=section.preset if section.name is None else section.name,
            legacy_default=section.legacy_default or len(each) == 1,
        )
        for section in each
    )


def _check_beside(settings: UpstreamSettings, others: list[UpstreamSettings], key: str) -> None:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", settings.name):
        raise ConfigError(f"{key}.name", "must be 1 to 32 of a-z 0-9 -")
    if any(settings.name == other.name for other in others):
        raise ConfigError(f"{key}.name", "another one has this name already")
    if settings.legacy_default and any(other.legacy_default for other in others):
        raise ConfigError(
            f"{key}.legacy_default",
            "is set on several providers: keep it on the one that you used before the others",
        )


def _given(section: UpstreamSection, names: Mapping[str, str]) -> dict[str, str]:
    values = {name: getattr(section, key) for name, key in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def _scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return check_scopes(scopes)
    except ValueError as error:
        raise ConfigError("upstream.scopes", str(error)) from None


def _secret(spec: str | None, key: str, resolve: Resolve) -> Secret | None:
    return None if spec is None else resolve(spec, key)


def _check_key(key: Secret | None) -> None:
    try:
        if key is not None:
            SigningKey.read(key)
    except ValueError as error:
        raise ConfigError("upstream.client_key", str(error)) from None


def _check_resource(resource: str | None) -> None:
    """RFC 8707 §2: an absolute URI without a fragment."""
    if resource is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-\"$-~]+", resource):
        raise ConfigError("upstream.resource", "must be an absolute URI without a fragment")


def _claims(claims: Mapping[str, str]) -> dict[str, Pick]:
    found = {}
    for name, pointer in claims.items():
        try:
            found[name] = Pick.pointer(pointer)
        except ValueError as error:
            raise ConfigError(f"upstream.claims.{name}", str(error)) from None
    return found


def _check_urls(section: UpstreamSection) -> None:
    for key in ("issuer", "discovery_url", *_ENDPOINTS.values()):
        url = getattr(section, key)
        if url is not None:
            where = f"upstream.{key}"
            parts = whole_url(
                url,
                where,
                example="https://login.example.com",
                query=key == "authorization_endpoint",
            )
            # Only the browser goes to these two; what Mintage sends itself may stay inside.
            inside = key not in ("issuer", "authorization_endpoint")
            plain = inside and section.http_to_the_provider_stays_in_a_trusted_network
            if not (plain and parts.scheme == "http"):
                check_https(parts, where)
