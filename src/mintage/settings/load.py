"""Reads ``mintage.toml`` into a `Config`. Every error names the key that it is about.

The file is read once. Each part of the program gets the section that it needs, never the whole.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.access.scopes import Hierarchy
from mintage.audit.auditor import AuditSettings
from mintage.clients.client import Client
from mintage.clients.policy import DocumentPolicy
from mintage.grants.admission import AllowRule
from mintage.jwt.keyring import TokenKey
from mintage.secret_source import Sources
from mintage.server.capabilities import Capabilities
from mintage.serving.settings import ServerSection
from mintage.settings.admin import AdminSettings, read_admin
from mintage.settings.audit import read_audit
from mintage.settings.branding import read_branding
from mintage.settings.browser import BrowserSection
from mintage.settings.clients import (
    RegistrationSettings,
    check_grants_of,
    read_clients,
    read_policy,
    read_registration,
)
from mintage.settings.command_line import put_behind
from mintage.settings.dpop import DpopSection
from mintage.settings.exchanging import check_exchanging
from mintage.settings.file import (
    AccountSection,
    ConsentSection,
    File,
    GrantsSection,
    ScopesSection,
    TokensSection,
    convert,
)
from mintage.settings.gateway import GatewaySection
from mintage.settings.grant_types import GrantTypesSection
from mintage.settings.id_jag import read_others
from mintage.settings.limits import LimitsSection
from mintage.settings.logins import has_use_for_documents
from mintage.settings.metrics import MetricsAddress, read_metrics
from mintage.settings.opentelemetry import OpenTelemetrySection
from mintage.settings.pushed_requests import ParSection
from mintage.settings.reading import settings_in
from mintage.settings.root_secrets import root_secrets, secret_file
from mintage.settings.sections import resources_of, rules_of, trusted_issuers_of, upstreams_of
from mintage.settings.signing_keys import read_signing_keys
from mintage.settings.status_list import StatusListSection, check_status_list
from mintage.settings.store import store_url
from mintage.settings.upstreams import callbacks
from mintage.site.branding import Branding
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.trust.issuer import TrustedIssuer
from mintage.upstream.upstream import Upstream
from mintage.values import Secret
from mintage.vault.values import Lifetimes

_EVERYBODY: Final = "everybody"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A checked configuration: Mintage can be built from it. `load_config` makes one.

    Args:
        issuer: The server's URL (RFC 8414 §2).
        store: The URL of the store.
        secrets: The root secrets. The first is in use, the others only read old data.
        upstreams: The identity providers. None of them: there are tokens for machines only.
        resources: The protected resources, in the order of the file.
        others: The authorization servers whose tokens backends demand (``[resource.id_jag]``).
        tokens: ``[tokens]``.
        clients: The clients of ``[[client]]``.
        registration: ``[registration]`` (RFC 7591).
        documents: ``[cimd]``: which client id metadata documents are accepted.
        grants: ``[grants]``.
        trusted_issuers: ``[[trusted_issuer]]``: whose assertions take the place of a login.
        grant_types: ``[grant_types]``: the grant types that are on, beside those of a login.
        scopes: ``[scopes]``.
        gateway: ``[gateway]``.
        server: ``[server]``.
        signing_keys: The keys of ``tokens.signing_key``. The first signs.
        allow: The rules of ``[[allow]]``.
        allow_everybody: Whether the file says ``allow = "everybody"``.
        branding: ``[branding]``: how the pages look.
        account: ``[account]``: the page of the connected apps.
        consent: ``[consent]``: whether consents may be remembered.
        audit: ``[audit]``: the audit trail. None: there is none.
        browser: ``[browser]``: how long browsers stay signed in.
        dpop: ``[dpop]``: proofs of clients that bind their tokens to a key (RFC 9449).
        limits: ``[limits]``: how often a user, a login or an address may do something.
        par: ``[par]``: pushed authorization requests (RFC 9126).
        admin: ``[admin]``: the API for operators. None: there is none.
        metrics: ``[metrics]``: where `mintage serve` shows its metrics. None: nowhere.
        status_list: ``[status_list]``: the ended grants, for verifiers elsewhere. None: no list.
        opentelemetry: ``[opentelemetry]``: spans and metrics. None: there are none.
        secret_file: The file with the root secret, if it is in one.
        digest: 12 hexadecimal digits of a hash of the settings as they are written.
    """

    issuer: str
    store: str
    secrets: tuple[Secret, ...]
    upstreams: tuple[Upstream, ...]
    resources: tuple[Resource, ...]
    tokens: TokensSection
    clients: tuple[Client, ...]
    registration: RegistrationSettings
    documents: DocumentPolicy
    grants: GrantsSection
    grant_types: GrantTypesSection = GrantTypesSection()
    trusted_issuers: tuple[TrustedIssuer, ...] = ()
    scopes: ScopesSection = ScopesSection()
    gateway: GatewaySection = GatewaySection()
    server: ServerSection = ServerSection()
    signing_keys: tuple[TokenKey, ...] = ()
    allow: tuple[AllowRule, ...] = ()
    allow_everybody: bool = False
    branding: Branding = Branding()
    account: AccountSection = AccountSection()
    consent: ConsentSection = ConsentSection()
    audit: AuditSettings | None = None
    browser: BrowserSection = BrowserSection()
    metrics: MetricsAddress | None = None
    status_list: StatusListSection | None = None
    opentelemetry: OpenTelemetrySection | None = None
    admin: AdminSettings | None = None
    limits: LimitsSection = LimitsSection()
    others: tuple[Upstream, ...] = ()
    par: ParSection = ParSection()
    dpop: DpopSection = DpopSection()
    secret_file: Path | None = None
    digest: str | None = None

    @property
    def site(self) -> Site:
        """The server's name, resources and URLs."""
        callbacks = {upstream.name: upstream.callback for upstream in self.upstreams}
        return _site(self.issuer, self.resources, self.scopes, callbacks, self.account)

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do, for its metadata."""
        return Capabilities(
            registration=self.registration.enabled,
            documents=self.documents.enabled,
            keys=bool(self.signing_keys),
            signing_alg=self.signing_keys[0].alg if self.signing_keys else None,
            status_list=self.status_list is not None,
            grant_types=self.grant_types.enabled(logins=bool(self.upstreams)),
            assertions=frozenset(one.purpose for one in self.trusted_issuers),
            must_push=self.par.required,
        )

    @property
    def lifetimes(self) -> Lifetimes:
        """How long codes, tokens and logins last, in seconds."""
        grants, lifetimes = self.grants, self.tokens.lifetimes()
        return msgspec.structs.replace(
            lifetimes,
            session=grants.session_lifetime,
            idle=min(lifetimes.refresh, grants.idle_lifetime or lifetimes.refresh),
            unanswered=grants.unanswered_seconds,
            browser_idle=self.browser.idle,
            browser_lifetime=min(self.browser.lifetime, grants.session_lifetime),
        )

    @property
    def secret(self) -> Secret:
        """The root secret in use."""
        return self.secrets[0]


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """The public part of a configuration. To make it no secret is read, and none is created."""

    site: Site
    capabilities: Capabilities
    logo: bool


def load(
    path: Path,
    *,
    environ: dict[str, str] | None = None,
    command: Sequence[str] = (),
    existing: bool = False,
    writes: bool = True,
) -> Config:
    """Read a configuration.

    Args:
        path: The TOML file. There may be no ``mintage.toml`` if the environment has settings.
        environ: The environment variables: those that are settings, and those that ``env:`` values
            name. None: the process's own.
        command: A program and its arguments. Mintage runs it for the one resource without a
            ``backend``, or for ``/mcp`` if the file names no resource.
        existing: Whether the server must have started before. If so, a missing secret is an error;
            otherwise one is created.
        writes: Whether a secret that is created is kept in its file.

    Returns:
        The checked configuration. Relative paths in the file are relative to its directory.

    Raises:
        ConfigError: A setting is missing or wrong. It names the key, and what to write.
    """
    environ = dict(os.environ if environ is None else environ)
    with settings_in(path, environ) as data:
        if command:
            put_behind(data, command)
        return parse(data, base=path.parent, environ=environ, existing=existing, writes=writes)


def load_outline(path: Path) -> Outline:
    """What the TOML file *path* says, without reading any secret. Raises `ConfigError`."""
    with settings_in(path, os.environ) as data:
        return _outline(convert(data), path.parent)


def _outline(file: File, base: Path) -> Outline:
    return Outline(
        site=_site(
            file.issuer,
            resources_of(file, base, None),
            file.scopes,
            callbacks(file.upstream),
            file.account,
        ),
        capabilities=Capabilities(
            registration=file.registration.mode != "off" and bool(file.upstream),
            documents=read_policy(
                file.cimd, environ=os.environ, useful=has_use_for_documents(file)
            ).enabled,
            keys=bool(file.tokens.signing_key),
            status_list=file.status_list is not None,
            grant_types=file.grant_types.enabled(logins=bool(file.upstream)),
            assertions=frozenset(one.purpose for one in file.trusted_issuer),
            must_push=file.par.required,
        ),
        logo=file.branding.logo is not None,
    )


def parse(
    data: dict[str, Any],
    *,
    base: Path,
    environ: dict[str, str],
    existing: bool = False,
    writes: bool = True,
) -> Config:
    """The configuration in *data*; relative paths are relative to *base*. See `load`."""
    file = convert(data)

    resolve = Sources(environ, base)
    resources = resources_of(file, base, resolve)
    store = store_url(file.store, base, resolve)
    clients = read_clients(file.client, resolve)
    check_exchanging(
        clients,
        resources,
        on=file.grant_types.token_exchange is not None,
        signs=bool(file.tokens.signing_key),
    )
    upstreams = upstreams_of(file, resolve)
    check_grants_of(
        clients,
        file.grant_types.enabled(logins=bool(upstreams)),
        [resource.path for resource in resources],
    )
    return Config(
        issuer=file.issuer,
        store=store,
        secret_file=secret_file(file.secret, store, base),
        upstreams=upstreams,
        others=read_others(file.resource, resolve),
        resources=resources,
        trusted_issuers=trusted_issuers_of(file, resources, upstreams),
        allow=rules_of(file),
        allow_everybody=file.allow == _EVERYBODY,
        branding=read_branding(file.branding, base),
        account=file.account,
        consent=file.consent,
        browser=file.browser,
        metrics=read_metrics(file.metrics),
        status_list=check_status_list(file.status_list, signs=bool(file.tokens.signing_key)),
        opentelemetry=file.opentelemetry,
        limits=file.limits,
        par=file.par,
        dpop=file.dpop,
        admin=read_admin(
            file.admin,
            base=base,
            resolve=resolve,
            resources=resources,
            signs=bool(file.tokens.signing_key),
        ),
        tokens=file.tokens,
        grants=file.grants,
        grant_types=file.grant_types,
        scopes=file.scopes,
        gateway=file.gateway,
        server=file.server,
        signing_keys=read_signing_keys(file.tokens.signing_key, resolve),
        clients=clients,
        registration=read_registration(file.registration, resolve, logins=bool(upstreams)),
        documents=read_policy(file.cimd, environ=environ, useful=has_use_for_documents(file)),
        audit=read_audit(file.audit, base=base, resolve=resolve),
        # Last: what is wrong elsewhere leaves no new secret behind.
        secrets=root_secrets(file.secret, store, resolve, existing=existing, writes=writes),
        digest=digest_of(data),
    )


def digest_of(data: dict[str, Any]) -> str:
    """12 hexadecimal digits of a hash of *data*, settings as they are written."""
    # In ASCII: a variable of the environment may hold what is no UTF-8.
    written = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:12]


def _site(
    issuer: str,
    resources: tuple[Resource, ...],
    scopes: ScopesSection,
    callbacks: Mapping[str, str],
    account: AccountSection,
) -> Site:
    """*callbacks*: the redirect URI at each provider, by its name."""
    return Site(
        issuer=issuer,
        resources=resources,
        hierarchy=Hierarchy(scopes.implies),
        callbacks=tuple(callbacks.values()),
        upstreams=tuple(callbacks) if len(callbacks) > 1 else (),
        account=account.enabled and bool(callbacks),
    )
