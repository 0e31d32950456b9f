"""A protected resource as one value: its identifier, who may call it, and what serves it."""

from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from mintage.access.scopes import Rule
from mintage.site.targets import Command, External, HttpTarget
from mintage.upstream.protocol import Exchange, IdJag
from mintage.values import Scopes

MESSAGE_BYTES: Final = 1024 * 1024

Credential: TypeAlias = Literal["none", "identity", "upstream", "exchange", "id_jag"]

Target: TypeAlias = HttpTarget | Command | External


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A protected resource (RFC 9728): *identifier* is the audience, *scopes* it requires.

    *path*: where it is below the issuer; ``/`` is the issuer itself. *target*: what serves it.
    *optional_scopes* can be requested too, if *rules* need more. *token_claims*: the identity
    provider's claims that its access tokens contain. *upstreams*: the providers whose users may use
    it, by name; empty: all. *ambiguities*: what may have two readings in a path below it (see
    `mintage.gateway.paths`). *message_bytes*: the longest body that rules about MCP read.
    *filter_lists*: whether lists of tools show only what the token may call. *trusts_mcp_headers*:
    if another proxy asks, the MCP headers of a request decide, because the backend compares them
    with the body. *proxy_keeps_tokens*: a proxy that asks may keep answers with a token of the
    provider in them.

    *browser*: whether people use it with a browser, with a session in a cookie. *browser_scopes*:
    the optional scopes that such a session has. *browser_origins*: other sites whose pages may send
    requests with it.

    *dpop_required*: whether it accepts only tokens that are bound to a key (RFC 9449).

    *credential*: what its backend gets about the user. *backend_audience*: the backend's name in
    signed identities; None: the resource's identifier. *exchange*: which other token to request
    from the provider, if *credential* says so; *id_jag*: likewise, which to request from another
    authorization server.
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
    proxy_keeps_tokens: bool = False
    credential: Credential = "none"
    browser: bool = False
    browser_scopes: Scopes = ()
    browser_origins: tuple[str, ...] = ()
    dpop_required: bool = False
    backend_audience: str | None = None
    exchange: Exchange | None = None
    id_jag: IdJag | None = None
    target: Target = msgspec.field(default_factory=External)

    @property
    def audience(self) -> str:
        """Its backend's name in signed identities."""
        return self.backend_audience or self.identifier

    @property
    def all_scopes(self) -> Scopes:
        return self.scopes + self.optional_scopes

    @property
    def session_scopes(self) -> Scopes:
        """What a browser's session is good for: nobody asks the user, who came by themselves."""
        return self.scopes + self.browser_scopes

    @property
    def reads_mcp(self) -> bool:
        """Whether a rule needs the body of a request."""
        return any(rule.operations or rule.tools for rule in self.rules)

    @property
    def is_whole_site(self) -> bool:
        """Whether it is everything that is not an endpoint of the server itself."""
        return self.path == "/"

    @property
    def request_path(self) -> str:
        """The path of requests for it, with the issuer's path, without a slash at the end."""
        return urlsplit(self.identifier).path
