"""The ``[upstream]`` sections of ``mintage.toml``: each becomes one `Upstream`."""

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from mintage.errors import ConfigError
from mintage.grants.machines import RESERVED
from mintage.secret_source import Resolve
from mintage.settings.upstream_presets import upstream_of
from mintage.settings.upstream_section import ENDPOINTS, UpstreamSection
from mintage.settings.words import none_of
from mintage.upstream.authentication import SigningKey
from mintage.upstream.json_paths import Pick
from mintage.upstream.presets import PRESETS, find_preset
from mintage.upstream.upstream import Upstream, callback_of
from mintage.urls import check_https, whole_url
from mintage.values import Scopes, Secret, check_scopes

Sections = UpstreamSection | tuple[UpstreamSection, ...]
"""One ``[upstream]``, or several ``[[upstream]]``."""


def read_upstream(section: UpstreamSection, resolve: Resolve) -> Upstream:
    """The provider of *section*. Raises `ConfigError`, which names the key."""
    try:
        preset = find_preset(section.preset)
    except ValueError:
        why = none_of(section.preset, list(PRESETS))
        raise ConfigError("upstream.preset", why) from None
    if not section.client_id:
        raise ConfigError("upstream.client_id", "is empty")
    _check_urls(section)
    scopes = preset.scopes if section.scopes is None else _scopes(section.scopes)
    secret = _secret(section.client_secret, "upstream.client_secret", resolve)
    key = _secret(section.client_key, "upstream.client_key", resolve)
    claims = _claims(section.claims)
    client_key = _signing_key(key)
    _check_resource(section.resource)
    return upstream_of(
        preset, section, scopes=scopes, client_secret=secret, client_key=client_key, claims=claims
    )


def read_upstreams(sections: Sections, resolve: Resolve) -> tuple[Upstream, ...]:
    """Each of *sections*, in their order. Raises `ConfigError`."""
    if isinstance(sections, UpstreamSection) or len(sections) == 1:
        (only,) = (sections,) if isinstance(sections, UpstreamSection) else sections
        return (replace(read_upstream(only, resolve), legacy_default=True),)
    found: list[Upstream] = []
    for number, section in enumerate(sections):
        key = f"upstream[{number}]"
        try:
            upstream = read_upstream(section, resolve)
        except ConfigError as error:
            raise ConfigError(error.key.replace("upstream", key, 1), error.advice) from None
        _check_beside(upstream, found, key)
        found.append(upstream)
    return tuple(found)


def callbacks(sections: Sections) -> dict[str, str]:
    """Each provider's callback, by name. No secret is read, and little is checked."""
    each = (sections,) if isinstance(sections, UpstreamSection) else sections
    return {
        section.short_name: callback_of(
            section.short_name, legacy_default=section.legacy_default or len(each) == 1
        )
        for section in each
    }


def _check_beside(upstream: Upstream, others: Sequence[Upstream], key: str) -> None:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", upstream.name):
        raise ConfigError(f"{key}.name", "must be 1 to 32 of a-z 0-9 -")
    if upstream.name in RESERVED:
        raise ConfigError(f"{key}.name", f"{upstream.name} is for clients: choose another")
    if any(upstream.name == other.name for other in others):
        raise ConfigError(f"{key}.name", "another one has this name already")
    if upstream.legacy_default and any(other.legacy_default for other in others):
        raise ConfigError(
            f"{key}.legacy_default",
            "is set on several providers: keep it on the one that you used before the others",
        )


def _scopes(scopes: Scopes) -> Scopes:
    try:
        return check_scopes(scopes)
    except ValueError as error:
        raise ConfigError("upstream.scopes", str(error)) from None


def _secret(spec: str | None, key: str, resolve: Resolve) -> Secret | None:
    return None if spec is None else resolve(spec, key)


def _signing_key(key: Secret | None) -> SigningKey | None:
    try:
        return None if key is None else SigningKey.read(key)
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
    for key in ("issuer", "discovery_url", *ENDPOINTS.values()):
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
