"""Selects the identity providers at which a user may log in."""

from collections.abc import Iterable, Sequence

from mintage.errors import InvalidTarget
from mintage.server.requests import AuthorizationRequest
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Scopes


def choices(
    upstreams: Iterable[RegisteredUpstream], wanted: AuthorizationRequest, site: Site
) -> Sequence[RegisteredUpstream]:
    """The providers that all of the requested resources accept, the likeliest first.

    If the request names one (``acr_values=idp:NAME``), it is the only one; a ``login_hint`` puts
    the one with its e-mail domain first. Raises `InvalidTarget` if the resources have none in
    common.
    """
    found = offered_for(upstreams, (wanted.resource, *wanted.more_resources), site)
    named = [one for one in found if one.name == wanted.upstream]
    return named or sorted(found, key=lambda one: not one.expects(wanted.parameters.login_hint))


def offered_for(
    upstreams: Iterable[RegisteredUpstream], resources: Iterable[str], site: Site
) -> list[RegisteredUpstream]:
    """The providers that all of *resources* accept. Raises `InvalidTarget` if there is none."""
    found = list(upstreams)
    for name in resources:
        resource = site.resource(name)
        if resource is not None and resource.upstreams:
            found = [one for one in found if one.name in resource.upstreams]
    if not found:
        raise InvalidTarget(
            "these resources have no identity provider in common: ask for them one at a time"
        )
    return found


def asked_of(one: RegisteredUpstream, granted: Scopes, site: Site) -> Scopes:
    """All scopes to request from *one* at a login with these scopes of Mintage."""
    more = site.upstream_scopes_for(granted, one.upstream.more_scopes)
    return tuple(dict.fromkeys((*one.upstream.scopes, *more)))
