"""A protected resource as one value: what it is called, who may call it, and what answers."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from mintage.access.scopes import Rule
from mintage.site.targets import Command, External, HttpTarget
from mintage.upstream.protocol import Exchange
from mintage.values import Scopes

MESSAGE_BYTES: Final = 1024 * 1024

Credential: TypeAlias = Literal["none", "identity", "upstream", "exchange"]

Target: TypeAlias = HttpTarget | Command | External


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A protected resource (RFC 9728): *identifier* is the audience, *scopes* it requires.

    *path*: where it is below the issuer; ``/`` is the issuer itself. *target*: what answers.
    *optional_scopes* may be asked for on top, where *rules* want more. *token_claims*: what of
    the identity provider's claims stands in its access tokens. *upstreams*: the providers whose
    users it is for, by name; empty: all. *ambiguities*: what of a path below it may be read in
    two ways (see `mintage.gateway.paths`). *message_bytes*: how long a body may be that rules
    about MCP read. *filter_lists*: whether lists of tools show only what the token may call.
    *trusts_mcp_headers*: where another proxy asks, the MCP headers of a request decide, because
    the backend compares them with the body.

    *credential*: what its backend gets of the user. *backend_audience*: what the backend is called
    in signed identities; None: as the resource is. *exchange*: for whom the provider is asked for
    another token, where *credential* is that.
    """

    path: str
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
    credential: Credential = "none"
    backend_audience: str | None = None
    exchange: Exchange | None = None
    target: Target = field(default_factory=External)

    @property
    def audience(self) -> str:
        """What its backend is called in signed identities."""
        return self.backend_audience or self.identifier

    @property
    def all_scopes(self) -> Scopes:
        return self.scopes + self.optional_scopes

    @property
    def reads_mcp(self) -> bool:
        """Whether a rule asks for what stands in the body of a request."""
        return any(rule.operations or rule.tools for rule in self.rules)

    @property
    def is_whole_site(self) -> bool:
        """Whether it is everything that is not the server's own."""
        return self.path == "/"

    @property
    def request_path(self) -> str:
        """Where requests for it go: with the issuer's path in front, without a slash at its end."""
        return urlsplit(self.identifier).path
