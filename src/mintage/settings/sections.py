"""Sections that name each other: resources, providers, trusted issuers, scopes and rules."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from mintage.errors import ConfigError
from mintage.grants.admission import AllowRule, check_rules
from mintage.secret_source import Resolve
from mintage.settings.file import File, check_idle_lifetime
from mintage.settings.gateway import check_gateway
from mintage.settings.issuer import check_issuer
from mintage.settings.logins import check_logins
from mintage.settings.resources import read_resources
from mintage.settings.trusted_issuers import read_trusted_issuers
from mintage.settings.upstreams import read_upstreams
from mintage.settings.words import none_of
from mintage.site.resource import Resource
from mintage.trust.issuer import TrustedIssuer
from mintage.upstream.upstream import Upstream


def resources_of(file: File, base: Path, resolve: Resolve | None) -> tuple[Resource, ...]:
    """The resources of *file*, and the sections around them checked. Raises `ConfigError`.

    *resolve*: None if no secret may be read.
    """
    check_issuer(file.issuer, "issuer")
    resources = read_resources(
        file.resource,
        issuer=file.issuer,
        base=base,
        drop_headers=file.gateway.drop_headers,
        resolve=resolve,
    )
    check_gateway(file.gateway, resources)
    check_logins(file)
    check_idle_lifetime(file)
    _check_texts(file.scopes.texts, resources)
    check_rules(rules_of(file))
    return resources


def _check_texts(texts: Mapping[str, str], resources: Sequence[Resource]) -> None:
    scopes = sorted({scope for resource in resources for scope in resource.all_scopes})
    for scope in texts:
        if scope not in scopes:
            raise ConfigError(f"scopes.texts.{scope}", none_of(scope, scopes))


def rules_of(file: File) -> tuple[AllowRule, ...]:
    """``[[allow]]``; none for ``allow = "everybody"``."""
    return () if isinstance(file.allow, str) else file.allow


def upstreams_of(file: File, resolve: Resolve) -> tuple[Upstream, ...]:
    """The providers of *file*, as its other sections need them. Raises `ConfigError`."""
    found = read_upstreams(file.upstream, resolve)
    names = {upstream.name for upstream in found}
    for number, resource in enumerate(file.resource):
        if not set(resource.upstreams) <= names:
            raise ConfigError(
                f"resource[{number}].upstreams", "may hold: " + ", ".join(sorted(names))
            )
    wanted = [resource.id_jag for resource in file.resource if resource.id_jag is not None]
    if any(one.subject_token == "id_token" for one in wanted):  # noqa: S105
        found = tuple(replace(one, keeps_id_token=one.id_token) for one in found)
    if not file.scopes.upstream:
        return found
    return tuple(replace(u, more_scopes=u.more_scopes or file.scopes.upstream) for u in found)


def trusted_issuers_of(
    file: File, resources: Sequence[Resource], upstreams: Sequence[Upstream]
) -> tuple[TrustedIssuer, ...]:
    """The trusted issuers of *file*, which has these *resources* and providers.

    Raises `ConfigError`.
    """
    return read_trusted_issuers(
        file.trusted_issuer,
        on=file.grant_types.jwt_bearer is not None,
        own=file.issuer,
        resources=resources,
        upstreams=upstreams,
    )
