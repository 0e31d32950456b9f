"""The sections ``[[resource]]`` and ``[gateway]``: what is protected, and by which way."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.access.scopes import Rule
from mintage.errors import ConfigError
from mintage.gateway.credentials import BackendCredentialPolicy
from mintage.gateway.header_names import Passing, claims_something
from mintage.gateway.headers import MAX_GROUP_BYTES
from mintage.gateway.http1.pool import Limits, Pool
from mintage.gateway.paths import Ambiguity, begins_like_ours
from mintage.gateway.peers import read_networks
from mintage.gateway.target import Command, Target
from mintage.gateway.trust import trust
from mintage.secret_source import resolve
from mintage.site import MESSAGE_BYTES
from mintage.upstream.protocol import Exchange
from mintage.urls import check_https, whole_url
from mintage.values import check_scopes

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
    """A server that speaks over its standard input. *env*: each ``env:NAME`` or ``file:PATH``."""

    run: tuple[str, ...]
    env: dict[str, str] = {}
    max_sessions: Annotated[int, Meta(ge=1, le=10_000)] = 32
    max_sessions_per_user: Annotated[int, Meta(ge=1, le=10_000)] = 4
    idle_seconds: Annotated[float, Meta(gt=0, le=7 * 86400)] = 900.0


class ExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom the provider is asked for another token (RFC 8693)."""

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
    """*backend*: where the gateway sends requests; *command*: what it runs instead.

    Without either the application itself answers, or another proxy asks.

    *upstreams*: where its users may log in, by name; empty: anywhere.

    *connect_seconds*, *answer_seconds*, *silence_seconds*, *max_requests*: see `Limits`.
    *max_requests_per_user*: None for a quarter of *max_requests*.
    *backend_ca*, *backend_certificate*: see `trust`. *pass_headers*: the only headers of a client
    that the backend gets. *filter_lists*, *max_message_bytes*,
    *backend_compares_mcp_headers_with_the_body*: see `Resource`.
    """

    path: str
    backend: str | None = None
    command: CommandSection | None = None
    scopes: tuple[str, ...] = ()
    optional_scopes: tuple[str, ...] = ()
    rule: tuple[RuleSection, ...] = ()
    token_claims: tuple[str, ...] = ()
    credential: Literal["none", "identity", "upstream", "exchange"] = "none"
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

    @property
    def reads_mcp(self) -> bool:
        """Whether a rule asks for what stands in the body of a request."""
        return any(rule.mcp_methods or rule.mcp_names for rule in self.rule)

    def passing(self, dropped: tuple[str, ...]) -> Passing:
        """Which of a client's headers its backend gets; *dropped*: those that none gets."""
        return Passing(dropped, self.pass_headers)

    def credential_policy(self, identifier: str) -> BackendCredentialPolicy:
        """What its backend gets; *identifier* is what the resource is called."""
        return BackendCredentialPolicy(
            credential=self.credential,
            audience=self.backend_audience or identifier,
            exchange=None if self.exchange is None else self.exchange.exchange(),
        )

    def below(self, base: str) -> str:
        """Its place below *base*, the issuer or the issuer's path. ``/`` is *base* itself."""
        return base + self.path.rstrip("/")

    def pool(self) -> Pool:
        """The way to its backend, which it must have. Raises `ConfigError`."""
        target = Target.parse(self.backend or "", "resource.backend")
        limits = Limits(
            connect=self.connect_seconds,
            answer=self.answer_seconds,
            silence=self.silence_seconds,
            requests=self.max_requests,
            requests_per_user=self.max_requests_per_user or -(-self.max_requests // 4),
        )
        ca, certificate = self.backend_ca, self.backend_certificate
        return Pool(target, limits, trust(target, ca=ca, certificate=certificate, key="resource"))


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """*trusted_proxies*: addresses and networks whose word on the client's address counts.

    *forward_auth*: which proxy asks at ``/verify`` whether a request may pass; None: nobody may.

    *drop_headers*: further headers that no client may send to a backend. *max_group_bytes*: how
    long the header with a user's groups may be.
    """

    allowed_origins: tuple[str, ...] = ()
    let_any_web_page_call: bool = False
    trusted_proxies: tuple[str, ...] = ()
    forward_auth: Literal["nginx", "traefik", "caddy", "haproxy", "envoy"] | None = None
    drop_headers: tuple[str, ...] = ()
    max_group_bytes: Annotated[int, Meta(ge=256, le=32 * 1024)] = MAX_GROUP_BYTES


def check_resources(resources: tuple[ResourceSection, ...]) -> None:
    if not resources:
        raise ConfigError("resource", "at least one [[resource]] is needed")
    seen: set[str] = set()
    for number, resource in enumerate(resources):
        key = f"resource[{number}]"
        _check_path(resource.path, f"{key}.path")
        if resource.path in seen:
            raise ConfigError(f"{key}.path", "another resource has this path already")
        seen.add(resource.path)
        _check_exchange(resource, key)
        if resource.command is not None:
            _check_command(resource.command, resource, f"{key}.command")
        if resource.backend is not None:
            _check_backend(resource, resource.backend, key)
        elif resource.backend_ca is not None or resource.backend_certificate is not None:
            raise ConfigError(
                f"{key}.backend", "is missing, but backend_ca or backend_certificate is set"
            )
        _check_scopes(resource.scopes, f"{key}.scopes")
        _check_scopes(resource.optional_scopes, f"{key}.optional_scopes")
        if resource.filter_lists and not resource.reads_mcp:
            raise ConfigError(f"{key}.filter_lists", "needs a rule with mcp_methods or mcp_names")
        check_header_names(resource.pass_headers or (), f"{key}.pass_headers")
        known = {*resource.scopes, *resource.optional_scopes}
        for at, rule in enumerate(resource.rule):
            _check_rule(rule, known, f"{key}.rule[{at}]")


def _check_exchange(resource: ResourceSection, key: str) -> None:
    section = resource.exchange
    if section is None and resource.credential == "exchange":
        raise ConfigError(
            f"{key}.exchange",
            'is missing: credential = "exchange" takes the table [resource.exchange], which says '
            "for whom: audience or resource",
        )
    if section is not None and resource.credential != "exchange":
        raise ConfigError(f"{key}.exchange", 'goes with credential = "exchange"')
    if section is None:
        return
    if section.audience is None and section.resource is None:
        raise ConfigError(f"{key}.exchange", "needs an audience or a resource")
    if section.token_endpoint is not None:
        where = f"{key}.exchange.token_endpoint"
        example = "https://login.example.com/token"
        check_https(whole_url(section.token_endpoint, where, example=example), where)


def _check_backend(resource: ResourceSection, backend: str, key: str) -> None:
    target = Target.parse(backend, f"{key}.backend")
    trust(target, ca=resource.backend_ca, certificate=resource.backend_certificate, key=key)


def with_files_below(
    resources: tuple[ResourceSection, ...], base: Path
) -> tuple[ResourceSection, ...]:
    """*resources* with the paths of their files relative to *base* made absolute."""

    def located(path: str | None) -> str | None:
        return None if path is None else str(base.absolute() / path)

    return tuple(
        msgspec.structs.replace(
            resource,
            backend_ca=located(resource.backend_ca),
            backend_certificate=located(resource.backend_certificate),
        )
        for resource in resources
    )


def _check_command(section: CommandSection, resource: ResourceSection, key: str) -> None:
    if resource.backend is not None:
        raise ConfigError(key, "there is a backend already: give one of them")
    if not section.run or not section.run[0]:
        raise ConfigError(f"{key}.run", "is empty: give a program and its arguments")
    if resource.credential not in ("none", "identity"):
        raise ConfigError(
            key.replace("command", "credential"),
            "must be none or identity: a process keeps the credential that it started with",
        )


def read_commands(
    resources: tuple[ResourceSection, ...], *, environ: Mapping[str, str], base: Path
) -> dict[str, Command]:
    """The commands of those resources that have one, by path. Raises `ConfigError`."""
    return {
        resource.path: Command(
            run=resource.command.run,
            environ={
                name: resolve(spec, key=f"resource.command.env.{name}", environ=environ, base=base)
                for name, spec in resource.command.env.items()
            },
            max_sessions=resource.command.max_sessions,
            max_sessions_per_user=resource.command.max_sessions_per_user,
            idle_seconds=resource.command.idle_seconds,
        )
        for resource in resources
        if resource.command is not None
    }


def check_program(command: Command, key: str) -> None:
    """Raise `ConfigError` under *key* unless the program of *command* is on this machine."""
    path = command.environ.get("PATH")
    places = os.environ.get("PATH") if path is None else os.fsdecode(path.reveal())
    program = command.run[0]
    if shutil.which(program, path=places) is None:
        raise ConfigError(key, f"there is no program {program!r} here, or it may not be run")


def _check_rule(rule: RuleSection, known: set[str], key: str) -> None:
    if not rule.scopes and not rule.claims:
        raise ConfigError(key, "asks for nothing: give scopes or claims")
    if not set(rule.scopes) <= known:
        raise ConfigError(
            f"{key}.scopes", "holds a scope that is neither in scopes nor in optional_scopes"
        )
    if any(not method.isascii() or not method.isupper() for method in rule.methods):
        raise ConfigError(f"{key}.methods", "holds HTTP methods in capitals, like POST")
    if rule.path and not re.fullmatch(r"(/([A-Za-z0-9._~-]+|\*))+", rule.path):
        raise ConfigError(f"{key}.path", "must be like /admin or /users/*/keys")


def check_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?", origin):
            raise ConfigError("gateway.allowed_origins", "holds origins like https://app.example")


def check_proxies(proxies: tuple[str, ...]) -> None:
    try:
        read_networks(proxies)
    except ValueError as error:
        raise ConfigError("gateway.trusted_proxies", str(error)) from None


def check_header_names(names: tuple[str, ...], key: str) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9-]+\*?", name):
            raise ConfigError(key, "holds names like X-Tenant-Id, or X-Tenant-* for all of a kind")
        if key.endswith("pass_headers") and claims_something(name.rstrip("*").lower().encode()):
            raise ConfigError(key, f"{name} never passes: backends take it for a proxy's word")


def check_forward_auth(section: GatewaySection, resources: tuple[ResourceSection, ...]) -> None:
    """Refuse rules that can't be checked where another proxy asks and keeps the body."""
    if section.forward_auth is None:
        return
    for number, resource in enumerate(resources):
        elsewhere = resource.backend is None and resource.command is None
        if elsewhere and resource.filter_lists:
            raise ConfigError(
                f"resource[{number}].filter_lists",
                "the answers pass another proxy: give the resource a backend",
            )
        trusts = resource.backend_compares_mcp_headers_with_the_body
        if elsewhere and resource.reads_mcp and section.forward_auth != "envoy" and not trusts:
            raise ConfigError(
                f"resource[{number}].rule",
                f"asks for MCP, and {section.forward_auth} does not send the body: give the "
                "resource a backend, or set backend_compares_mcp_headers_with_the_body = true if "
                "it does",
            )


def _check_path(path: str, key: str) -> None:
    if path == "/":  # a whole site
        return
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or re.search(r"/\.{1,2}(/|$)", path):
        raise ConfigError(key, "must be like /mcp: letters, digits, - . _ ~ and single slashes")
    if begins_like_ours(path):
        raise ConfigError(key, "this path is one of the authorization server's own")


def _check_scopes(scopes: tuple[str, ...], key: str) -> None:
    try:
        check_scopes(scopes)
    except ValueError as error:
        raise ConfigError(key, str(error)) from None
    if "offline_access" in scopes:
        raise ConfigError(
            key, "holds offline_access: that asks for a refresh token and is no scope of a resource"
        )
