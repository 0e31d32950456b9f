"""What the endpoints of one server share: its name, its resources, and where things are."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mintage.access.scopes import FLAT, Hierarchy, Rule
from mintage.values import Scopes

MESSAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A protected resource (RFC 9728): *identifier* is the audience, *scopes* it requires.

    *optional_scopes* may be asked for on top, where *rules* want more. *token_claims*: what of
    the identity provider's claims stands in its access tokens. *upstreams*: the providers whose
    users it is for, by name; empty: all. *ambiguities*: what of a path below it may be read in
    two ways (see `mintage.gateway.paths`). *message_bytes*: how long a body may be that rules
    about MCP read. *filter_lists*: whether lists of tools show only what the token may call.
    *trusts_mcp_headers*: where another proxy asks, the MCP headers of a request decide, because
    the backend compares them with the body.
    """

    identifier: str
    scopes: Scopes
    optional_scopes: Scopes = ()
    name: str | None = None
    rules: tuple[Rule, ...] = ()
    token_claims: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    ambiguities: frozenset[str] = frozenset()
    message_bytes: int = MESSAGE_BYTES
    filter_lists: bool = False
    trusts_mcp_headers: bool = False

    @property
    def all_scopes(self) -> Scopes:
        return self.scopes + self.optional_scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """*issuer*: the server's public base URL, as it stands in tokens and metadata.

    *callbacks*: where identity providers send the browser back to. *upstreams*: the names of the
    providers, where there is a choice.
    """

    issuer: str
    resources: tuple[Resource, ...]
    hierarchy: Hierarchy = FLAT
    callbacks: tuple[str, ...] = ("/callback",)
    upstreams: tuple[str, ...] = ()

    @property
    def base_path(self) -> str:
        """The issuer's path: "" for most, "/auth" for ``https://example.com/auth``."""
        return urlsplit(self.issuer).path

    @property
    def secure(self) -> bool:
        """Whether the issuer is on https; plain http is for loopback only."""
        return self.issuer.startswith("https://")

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope of every resource."""
        return frozenset(scope for resource in self.resources for scope in resource.all_scopes)

    def upstream_scopes_for(self, granted: Scopes, more: Mapping[str, Scopes]) -> Scopes:
        """What a provider is asked for on top, for what its tokens will be used for here.

        *more*: what it is asked for, by scope of ours.
        """
        held = sorted(self.hierarchy.reach(granted))
        return tuple(dict.fromkeys(wanted for scope in held for wanted in more.get(scope, ())))

    def resource(self, identifier: str) -> Resource | None:
        """The resource of that name.

        Scheme and host compare without case, the path with or without a slash at its end:
        clients differ in both. A query is part of the request, not of the resource's name.
        """
        wanted = _comparable(identifier)
        for resource in self.resources:
            if _comparable(resource.identifier) == wanted:
                return resource
        return None

    def metadata_url(self, resource: Resource) -> str:
        """Where the resource's metadata is (RFC 9728 §3.1: the path is inserted)."""
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
