"""What the endpoints of one server share: its name, its resources, and their URLs."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from mintage.access.scopes import FLAT, Hierarchy
from mintage.site.resource import Resource
from mintage.values import Scopes


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """*issuer*: the server's public base URL, as in tokens and metadata.

    *callbacks*: the redirect URIs at the identity providers; none if nobody logs in. *upstreams*:
    the names of the providers, if there are several. *account*: whether users see their connected
    apps.
    """

    issuer: str
    resources: tuple[Resource, ...]
    hierarchy: Hierarchy = FLAT
    callbacks: tuple[str, ...] = ("/callback",)
    upstreams: tuple[str, ...] = ()
    account: bool = True

    @property
    def logins(self) -> bool:
        """Whether people log in. Without an identity provider there are tokens for machines."""
        return bool(self.callbacks)

    @property
    def base_path(self) -> str:
        """The issuer's path: "" for most, "/auth" for ``https://example.com/auth``."""
        return urlsplit(self.issuer).path

    @property
    def host(self) -> str:
        """The issuer's host, and its port if it has one."""
        return urlsplit(self.issuer).netloc

    @property
    def secure(self) -> bool:
        """Whether the issuer is on https. Plain http is only for loopback."""
        return self.issuer.startswith("https://")

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope of every resource."""
        return frozenset(scope for resource in self.resources for scope in resource.all_scopes)

    def upstream_scopes_for(self, granted: Scopes, more: Mapping[str, Scopes]) -> Scopes:
        """What to request from a provider in addition, for what its tokens are used for here.

        *more*: the provider's scopes, by scope of Mintage.
        """
        held = sorted(self.hierarchy.reach(granted))
        return tuple(dict.fromkeys(wanted for scope in held for wanted in more.get(scope, ())))

    def resource(self, identifier: str) -> Resource | None:
        """The resource with that identifier.

        Scheme and host compare without case, the path with or without a slash at its end, because
        clients differ in both. A query belongs to the request, not to the identifier.
        """
        for resource in self.resources:
            if resource.identifier == identifier:  # as nearly all clients write it
                return resource
        wanted = _comparable(identifier)
        for resource in self.resources:
            if _comparable(resource.identifier) == wanted:
                return resource
        return None

    def metadata_url(self, resource: Resource) -> str:
        """The URL of the resource's metadata (RFC 9728 §3.1: the path is inserted)."""
        parts = urlsplit(resource.identifier)
        path = parts.path.rstrip("/")
        return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{path}"


def _comparable(identifier: str) -> str | None:
    try:
        parts = urlsplit(identifier)
    except ValueError:
        return None
    if parts.fragment or "#" in identifier or not parts.netloc:
        return None
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
