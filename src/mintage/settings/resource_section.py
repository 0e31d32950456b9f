"""The keys of ``[[resource]]`` in ``mintage.toml``."""

from typing import Annotated

import msgspec
from msgspec import Meta

from mintage.access.scopes import Rule
from mintage.gateway.paths import Ambiguity
from mintage.site.resource import MESSAGE_BYTES, Credential
from mintage.upstream.protocol import Exchange

_Seconds = Annotated[float, Meta(gt=0, le=86400)]


class RuleSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    methods: tuple[str, ...] = ()
    path: str = ""
    mcp_methods: tuple[str, ...] = ()
    mcp_names: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    claims: dict[str, str | tuple[str, ...]] = {}

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
    """``[resource.command]``: a server that speaks over stdio.

    *env*: its environment variables, each a source of a secret: ``env:NAME``.
    """

    run: tuple[str, ...]
    env: dict[str, str] = {}
    max_sessions: Annotated[int, Meta(ge=1, le=10_000)] = 32
    max_sessions_per_user: Annotated[int, Meta(ge=1, le=10_000)] = 4
    idle_seconds: Annotated[float, Meta(gt=0, le=7 * 86400)] = 900.0


class ExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[resource.exchange]``: which other token to request from the provider (RFC 8693)."""

    audience: str | None = None
    resource: str | None = None
    scope: str | None = None
    token_endpoint: str | None = None

    def exchange(self) -> Exchange:
        return Exchange(
            audience=self.audience,
            resource=self.resource,
            scope=self.scope,
            token_endpoint=self.token_endpoint,
        )


class ResourceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[resource]]``: a protected resource.

    *backend*: where the gateway sends requests; *command*: what it runs instead. Without either,
    the application itself serves the resource, or another proxy asks.

    *upstreams*: where its users may log in, by name; empty: anywhere. *connect_seconds*,
    *answer_seconds*, *silence_seconds*, *max_requests*: see `Limits`. *max_requests_per_user*: None
    for a quarter of *max_requests*. *backend_ca*, *backend_certificate*: see `trust`.
    *pass_headers*: the only headers of a client that the backend gets. *filter_lists*,
    *max_message_bytes*, *backend_compares_mcp_headers_with_the_body*, *browser…*: see `Resource`.
    """

    path: str
    backend: str | None = None
    command: CommandSection | None = None
    scopes: tuple[str, ...] = ()
    optional_scopes: tuple[str, ...] = ()
    rule: tuple[RuleSection, ...] = ()
    token_claims: tuple[str, ...] = ()
    credential: Credential = "none"
    backend_audience: str | None = None
    exchange: ExchangeSection | None = None
    name: str | None = None
    upstreams: tuple[str, ...] = ()
    backend_ca: str | None = None
    backend_certificate: str | None = None
    connect_seconds: _Seconds = 5.0
    answer_seconds: _Seconds = 300.0
    silence_seconds: _Seconds | None = None
    max_requests: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    max_requests_per_user: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    allow_ambiguous_paths_below: tuple[Ambiguity, ...] = ()
    filter_lists: bool = False
    max_message_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = MESSAGE_BYTES
    pass_headers: tuple[str, ...] | None = None
    backend_compares_mcp_headers_with_the_body: bool = False
    browser: bool = False
    browser_scopes: tuple[str, ...] = ()
    browser_origins: tuple[str, ...] = ()
