"""``mintage.toml`` as frozen sections. Every error names the key that it is about.

The file is read once; each part of the program gets the section that it needs, never the whole.
"""

import os
import re
import secrets
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from mintage.clients.client import Client
from mintage.clients.policy import DocumentPolicy
from mintage.clients.settings import (
    CimdSection,
    ClientSection,
    RegistrationSection,
    RegistrationSettings,
    read_clients,
    read_policy,
    read_registration,
)
from mintage.errors import ConfigError
from mintage.keyring import TokenKey
from mintage.keys import check_secret
from mintage.scopes import Rule
from mintage.secret_source import generate_once, lines, resolve
from mintage.stores.opening import check_store_url
from mintage.upstream.section import UpstreamSection, upstream_settings
from mintage.upstream.settings import UpstreamSettings
from mintage.values import Secret, check_scopes
from mintage.vault.values import Lifetimes

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OUR_PATHS: Final = frozenset(
    {
        ".well-known",
        "authorize",
        "callback",
        "consent",
        "healthz",
        "introspect",
        "jwks",
        "readyz",
        "register",
        "revoke",
        "token",
    }
)

_Seconds = Annotated[int, Meta(ge=1, le=10 * 365 * 86400)]


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


class ResourceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    backend: str
    scopes: tuple[str, ...] = ()
    optional_scopes: tuple[str, ...] = ()
    rule: tuple[RuleSection, ...] = ()
    token_claims: tuple[str, ...] = ()
    credential: Literal["none", "identity", "upstream"] = "none"
    name: str | None = None


class ScopesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """*implies*: which scopes a scope holds; *upstream*: what to ask the provider for on top."""

    implies: dict[str, tuple[str, ...]] = {}
    upstream: dict[str, tuple[str, ...]] = {}


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    allowed_origins: tuple[str, ...] = ()
    let_any_web_page_call: bool = False


class TokensSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    access_token_lifetime: _Seconds = 3600
    refresh_token_lifetime: _Seconds = 2_592_000
    refresh_grace: Annotated[int, Meta(ge=0, le=3600)] = 60
    signing_key: str | tuple[str, ...] = ()

    def lifetimes(self) -> Lifetimes:
        return Lifetimes(
            access=self.access_token_lifetime,
            refresh=self.refresh_token_lifetime,
            grace=self.refresh_grace,
        )


class GrantsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many logins may live, and how long a process may trust what it remembers of them."""

    max_per_user_and_client: Annotated[int, Meta(ge=1, le=1000)] = 20
    cache_seconds: Annotated[float, Meta(ge=0, le=300)] = 5.0
    outage_seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    issuer: str
    upstream: UpstreamSection
    resource: tuple[ResourceSection, ...]
    store: str = "sqlite://mintage.db"
    secret: str | tuple[str, ...] | None = None
    tokens: TokensSection = TokensSection()
    grants: GrantsSection = GrantsSection()
    scopes: ScopesSection = ScopesSection()
    gateway: GatewaySection = GatewaySection()
    client: tuple[ClientSection, ...] = ()
    registration: RegistrationSection = RegistrationSection()
    cimd: CimdSection = CimdSection()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A checked configuration: whatever it says, the parts can be built from it."""

    issuer: str
    store: str
    secrets: tuple[Secret, ...]
    upstream: UpstreamSettings
    resources: tuple[ResourceSection, ...]
    tokens: TokensSection
    clients: tuple[Client, ...]
    registration: RegistrationSettings
    documents: DocumentPolicy
    grants: GrantsSection
    scopes: ScopesSection = ScopesSection()
    gateway: GatewaySection = GatewaySection()
    signing_keys: tuple[TokenKey, ...] = ()
    secret_file: Path | None = None

    @property
    def secret(self) -> Secret:
        """The root secret in use: new things are made with it. The others are only read with."""
        return self.secrets[0]


SECRET_FILE: Final = "mintage.secret"  # noqa: S105


def load(path: Path, *, environ: dict[str, str] | None = None) -> Config:
    """The configuration in the TOML file *path*. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--config", f"{path} can't be read: {error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("--config", f"{path} is not valid TOML: {error}") from error
    return parse(data, base=path.parent, environ=dict(os.environ if environ is None else environ))


def parse(data: dict[str, Any], *, base: Path, environ: dict[str, str]) -> Config:
    """The configuration in *data*; relative paths are relative to *base*."""
    file = _convert(data)
    _check_issuer(file.issuer, "issuer")
    _check_store(file.store)
    _check_resources(file.resource)
    _check_origins(file.gateway.allowed_origins)
    store = _located(file.store, base)
    secret_file = _secret_file(file.secret, store, base)
    return Config(
        issuer=file.issuer,
        store=store,
        secrets=_root_secrets(file.secret, store, base=base, environ=environ),
        secret_file=secret_file,
        upstream=upstream_settings(
            file.upstream, lambda spec, key: resolve(spec, key=key, environ=environ, base=base)
        ),
        resources=file.resource,
        tokens=file.tokens,
        grants=file.grants,
        scopes=file.scopes,
        gateway=file.gateway,
        signing_keys=_signing_keys(file.tokens.signing_key, base=base, environ=environ),
        clients=read_clients(file.client, environ=environ, base=base),
        registration=read_registration(file.registration, environ=environ, base=base),
        documents=read_policy(file.cimd),
    )


def _convert(data: dict[str, Any]) -> _File:
    try:
        return msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None


def _named(message: str) -> ConfigError:
    """msgspec's sentence, with the key that it is about in front, as it stands in the file."""
    sentence, _, where = message.partition(" - at `$")
    path = where.rstrip("`").lstrip(".").replace("[...]", "")
    if (field := re.search(r"(unknown|required) field `([^`]+)`", sentence)) is not None:
        path = f"{path}.{field[2]}".lstrip(".")
        known = "there is no such setting" if field[1] == "unknown" else "this setting is missing"
        return ConfigError(path, known)
    return ConfigError(path or "the file", sentence[:1].lower() + sentence[1:])


def _located(store: str, base: Path) -> str:
    """*store* with the path of its file made absolute, wherever the server is started."""
    scheme, _, path = store.partition("://")
    return f"sqlite://{(base / path).absolute()}" if scheme == "sqlite" else store


def _signing_keys(
    specs: str | tuple[str, ...], *, base: Path, environ: dict[str, str]
) -> tuple[TokenKey, ...]:
    """The keys of access tokens that others verify too: the first signs."""
    keys = []
    for spec in (specs,) if isinstance(specs, str) else specs:
        pem = resolve(spec, key="tokens.signing_key", environ=environ, base=base)
        try:
            keys.append(TokenKey.from_pem(pem.reveal()))
        except ValueError as error:
            raise ConfigError("tokens.signing_key", str(error)) from None
    if keys and keys[0].signer is None:
        raise ConfigError("tokens.signing_key", "the first must be a private key: it signs")
    return tuple(keys)


def _secret_file(spec: str | tuple[str, ...] | None, store: str, base: Path) -> Path | None:
    """The one file that the root secrets stand in, if it is one file."""
    if isinstance(spec, tuple):
        return None
    if spec is not None:
        return base / spec.partition(":")[2] if spec.startswith("file:") else None
    scheme, _, path = store.partition("://")
    return Path(path).with_name(SECRET_FILE) if scheme == "sqlite" else None


def _root_secrets(
    spec: str | tuple[str, ...] | None, store: str, *, base: Path, environ: dict[str, str]
) -> tuple[Secret, ...]:
    """The secret in use, then those that it replaced and that are still read with."""
    if spec is None:
        found = _generated_secrets(store)
    else:
        found = tuple(
            secret
            for one in ((spec,) if isinstance(spec, str) else spec)
            for secret in lines(resolve(one, key="secret", environ=environ, base=base))
        )
    if not found:
        raise ConfigError("secret", "holds no secret")
    for secret in found:
        try:
            check_secret(secret.reveal())
        except ValueError as error:
            raise ConfigError("secret", str(error)) from None
    if len({secret.reveal() for secret in found}) < len(found):
        raise ConfigError("secret", "names one secret twice")
    return found


def _generated_secrets(store: str) -> tuple[Secret, ...]:
    """The secrets that are kept next to the database; the first was made there once."""
    scheme, _, path = store.partition("://")
    if scheme == "sqlite":
        return lines(generate_once(Path(path).with_name(SECRET_FILE), key="secret"))
    if scheme == "memory":
        return (Secret(secrets.token_bytes(32)),)
    raise ConfigError(
        "secret", "is needed with a store that several machines share: env:NAME or file:PATH"
    )


def _check_issuer(issuer: str, key: str) -> None:
    """RFC 8414 §2: an https URL without query or fragment; http only on this machine."""
    parts = _url(issuer, key)
    _check_https(parts, key)
    if parts.path.endswith("/"):
        raise ConfigError(key, "write it without the slash at its end")


def _check_https(parts: SplitResult, key: str) -> None:
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(key, "plain http is accepted for loopback hosts only; use https")
    if parts.scheme not in ("http", "https"):
        raise ConfigError(key, "must be an https URL")


def _check_store(store: str) -> None:
    try:
        check_store_url(store)
    except ValueError as error:
        raise ConfigError("store", str(error)) from None
    if "\0" in store or (store.endswith("/") and store != "memory://"):
        raise ConfigError("store", "needs the path of a file, not of a directory")


def _check_resources(resources: tuple[ResourceSection, ...]) -> None:
    if not resources:
        raise ConfigError("resource", "at least one [[resource]] is needed")
    seen: set[str] = set()
    for number, resource in enumerate(resources):
        key = f"resource[{number}]"
        _check_path(resource.path, f"{key}.path")
        if resource.path in seen:
            raise ConfigError(f"{key}.path", "another resource has this path already")
        seen.add(resource.path)
        parts = _url(resource.backend, f"{key}.backend")
        if parts.scheme not in ("http", "https"):
            raise ConfigError(f"{key}.backend", "must be an http or https URL")
        _check_scopes(resource.scopes, f"{key}.scopes")
        _check_scopes(resource.optional_scopes, f"{key}.optional_scopes")
        known = {*resource.scopes, *resource.optional_scopes}
        for at, rule in enumerate(resource.rule):
            _check_rule(rule, known, f"{key}.rule[{at}]")


def _check_rule(rule: RuleSection, known: set[str], key: str) -> None:
    if not rule.scopes and not rule.claims:
        raise ConfigError(key, "asks for nothing: give scopes or claims")
    if not set(rule.scopes) <= known:
        raise ConfigError(
            f"{key}.scopes", "holds a scope that stands neither in scopes nor in optional_scopes"
        )
    if any(not method.isascii() or not method.isupper() for method in rule.methods):
        raise ConfigError(f"{key}.methods", "holds HTTP methods in capitals, like POST")
    if rule.path and not re.fullmatch(r"(/([A-Za-z0-9._~-]+|\*))+", rule.path):
        raise ConfigError(f"{key}.path", "must be like /admin or /users/*/keys")


def _check_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?", origin):
            raise ConfigError("gateway.allowed_origins", "holds origins like https://app.example")


def _check_path(path: str, key: str) -> None:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or re.search(r"/\.{1,2}(/|$)", path):
        raise ConfigError(key, "must be like /mcp: letters, digits, - . _ ~ and single slashes")
    if path.split("/")[1] in _OUR_PATHS:
        raise ConfigError(key, "this path is one of the authorization server's own")


def _check_scopes(scopes: tuple[str, ...], key: str) -> None:
    try:
        check_scopes(scopes)
    except ValueError as error:
        raise ConfigError(key, str(error)) from None


def _url(text: str, key: str) -> SplitResult:
    if not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(key, "holds a space or a character that no URL holds")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(key, f"is not a URL: {error}") from None
    if not parts.scheme or not parts.hostname:
        raise ConfigError(key, "must be a whole URL, like https://auth.example.com")
    if parts.query or parts.fragment or parts.username is not None or "#" in text or "?" in text:
        raise ConfigError(key, "must have no query, fragment or user name")
    return parts
