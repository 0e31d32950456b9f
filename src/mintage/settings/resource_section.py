"""The keys of ``[[resource]]`` in ``mintage.toml``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.access.scopes import Rule
from mintage.gateway.paths import Ambiguity
from mintage.settings.id_jag import IdJagSection
from mintage.site.resource import MESSAGE_BYTES, Credential
from mintage.upstream.protocol import Exchange

_Seconds = Annotated[float, Meta(gt=0, le=86400)]


class RuleSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[resource.rule]]``: what some requests need besides the scopes of the resource.

    It applies to requests that `methods`, `path`, `mcp_methods` and `mcp_names` all match: [scopes
    and rules](how-to/say-what-a-token-may-do.md).
    """

    methods: tuple[str, ...] = ()
    """HTTP methods of the requests.

    Default: all
    """
    path: str = ""
    """Their path, relative to the path of the resource, with everything below it; `*` matches one
    segment.

    Default: all
    """
    mcp_methods: tuple[str, ...] = ()
    """The `method` of the JSON-RPC message, as `tools/call`; `*` and `?` match any characters.

    Default: all
    """
    mcp_names: tuple[str, ...] = ()
    """What the message names: the tool, the prompt, the resource's URI; `*` matches any characters.

    Default: all
    """
    scopes: tuple[str, ...] = ()
    """Scopes that these requests need."""
    claims: dict[str, str | tuple[str, ...]] = {}
    """What the provider must say about the user: a claim, and one or several words, of which one is
    enough.
    """

    def rule(self) -> Rule:
        return Rule(
            methods=frozenset(self.methods),
            path=self.path,
            operations=self.mcp_methods,
            tools=self.mcp_names,
            scopes=self.scopes,
            claims={
                name: (wanted,) if isinstance(wanted, str) else wanted
                for name, wanted in self.claims.items()
            },
        )


class CommandSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[resource.command]``: a server that speaks MCP over stdio, in place of a backend.

    [Put login before a stdio server](how-to/put-login-before-a-stdio-server.md) has more.
    """

    run: tuple[str, ...]
    """The program and its arguments."""
    env: dict[str, str] = {}
    """Its environment variables, each [the source of a secret](how-to/give-it-its-secrets.md), as
    `env:NAME`.
    """
    max_sessions: Annotated[int, Meta(ge=1, le=10_000)] = 32
    """How many of its processes may run at once."""
    max_sessions_per_user: Annotated[int, Meta(ge=1, le=10_000)] = 4
    """How many of these one user may have. A further session ends the oldest."""
    idle_seconds: Annotated[float, Meta(gt=0, le=7 * 86400)] = 900.0
    """A session ends after so many seconds without a request."""


class ExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[resource.exchange]``: which other token to request from the provider (RFC 8693).

    It goes with `credential = "exchange"`.
    """

    audience: str | None = None
    """The logical name of the backend at the provider."""
    resource: str | None = None
    """The backend's URL, for providers that want `resource`."""
    scope: str | None = None
    """The scopes of the token, with blanks between."""
    token_endpoint: str | None = None
    """Where to exchange.

    Default: the provider's token endpoint
    """

    def exchange(self) -> Exchange:
        return Exchange(
            audience=self.audience,
            resource=self.resource,
            scope=self.scope,
            token_endpoint=self.token_endpoint,
        )


class ResourceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[resource]]``: a protected resource.

    Without `backend` and `command`, your own application serves it, or another proxy asks Mintage.
    """

    path: str
    """Its path. Its audience is issuer + path. `/` is a whole site: every path that belongs neither
    to Mintage nor to another resource.
    """
    backend: str | None = None
    """URL or Unix socket of [the backend](how-to/reach-a-backend.md)."""
    command: CommandSection | None = None
    scopes: tuple[str, ...] = ()
    """Scopes that every request needs; `offline_access` is not allowed here."""
    optional_scopes: tuple[str, ...] = ()
    """Further scopes that a client may ask for."""
    rule: tuple[RuleSection, ...] = ()
    token_claims: tuple[str, ...] = ()
    """Claims of the provider to copy into its access tokens. Mintage leaves out a claim that does
    not fit into 8 KiB together with those before it, and logs its name.
    """
    credential: Credential = "none"
    """[What the backend gets](how-to/tell-the-backend-who-it-is.md) about the user."""
    backend_audience: str | None = None
    """The audience of signed identities.

    Default: the resource's URL
    """
    exchange: ExchangeSection | None = None
    id_jag: IdJagSection | None = None
    """The other authorization server, for `credential = "id_jag"`."""
    name: str | None = None
    """Its name on the consent page."""
    upstreams: tuple[str, ...] = ()
    """Names of the [providers](how-to/log-in-at-several-providers.md) whose users may use it.

    Default: all
    """
    backend_ca: str | None = None
    """A PEM file with the CA bundle to verify the backend with.

    Default: the system's
    """
    backend_certificate: str | None = None
    """A PEM file with Mintage's own client certificate and its key."""
    connect_seconds: _Seconds = 5.0
    """How long to wait for a connection."""
    answer_seconds: _Seconds = 300.0
    """How long to wait for the head of a response."""
    silence_seconds: _Seconds | None = None
    """How long a body may pause.

    Default: as long as it likes
    """
    max_requests: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    """How many requests may be at the backend at once, including streams and WebSockets."""
    max_requests_per_user: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """How many of these one user may have; more get 503.

    Default: a quarter of `max_requests`
    """
    allow_ambiguous_paths_below: tuple[Ambiguity, ...] = ()
    """What a [path](how-to/reach-a-backend.md#paths) below the resource may contain although two
    servers may read it differently: `%2F`, `%25`, `//`, or one of `[]{}`, `^` and the vertical bar.
    """
    filter_lists: bool = False
    """Lists of tools, prompts and resources show only what the token may call: [rules about
    MCP](how-to/say-what-a-token-may-do.md#rules-about-mcp).
    """
    max_message_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = MESSAGE_BYTES
    """The largest body, in bytes, that Mintage reads for rules about MCP."""
    pass_headers: tuple[str, ...] | None = None
    """The only headers of a client that the backend gets:
    [headers](how-to/tell-the-backend-who-it-is.md#headers-from-the-client).

    Default: all
    """
    backend_compares_mcp_headers_with_the_body: bool = False
    """If another proxy asks Mintage, decide rules about MCP by the headers."""
    let_the_proxy_keep_tokens_of_the_provider: bool = False
    """Let nginx [keep answers](how-to/keep-answers-in-nginx.md) of `/verify` that hold a token of
    the identity provider.
    """
    browser: bool = False
    """Whether people use it with a browser: [login by redirect, session in a
    cookie](how-to/put-login-before-a-web-site.md).
    """
    browser_scopes: tuple[str, ...] = ()
    """The `optional_scopes` that a browser's session has, besides `scopes`."""
    browser_origins: tuple[str, ...] = ()
    """Other origins whose pages may send requests with a browser's session."""
    dpop: Literal["accepted", "required"] = "accepted"
    """Whether each token must be [bound to a key](how-to/bind-tokens-to-a-key.md), or may be.
    Sessions of browsers are no tokens: they need no key.
    """
