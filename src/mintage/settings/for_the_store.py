"""The settings as commands on the store need them: without the secrets of others."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from mintage.clients.policy import DocumentPolicy
from mintage.errors import ConfigError
from mintage.secret_source import Sources
from mintage.settings.audit import read_audit
from mintage.settings.clients import RegistrationSettings, read_clients
from mintage.settings.file import File, convert
from mintage.settings.load import Config
from mintage.settings.reading import settings_in
from mintage.settings.root_secrets import root_secrets, secret_file
from mintage.settings.sections import resources_of, trusted_issuers_of, upstreams_of
from mintage.settings.signing_keys import read_signing_keys
from mintage.settings.store import store_url
from mintage.values import Secret


def load_for_the_store(
    path: Path,
    *,
    existing: bool = True,
    unrecorded: Callable[[ConfigError], None] | None = None,
    verifies: bool = False,
) -> Config:
    """What the TOML file *path* says about the store and its grants, for commands on the store.

    *existing*: see `load`. No secret but the root secret is read, because an administrator may have
    no other. *unrecorded*: for a command that is audited. The secrets of the audit trail are then
    read too; if they or its other settings can't be used, *unrecorded* gets the reason, and the
    result has no audit trail. *verifies*: for a command that verifies tokens. The signing keys are
    then read too. The result has no credentials of a client or a provider. Raises `ConfigError`.
    """
    with settings_in(path, os.environ) as data:
        file, base = convert(data), path.parent
        config = _for_the_store(file, base, existing=existing, unrecorded=unrecorded)
        if not verifies:
            return config
        keys = read_signing_keys(file.tokens.signing_key, Sources(os.environ, base))
        return msgspec.structs.replace(config, signing_keys=keys)


def _for_the_store(
    file: File, base: Path, *, existing: bool, unrecorded: Callable[[ConfigError], None] | None
) -> Config:
    resolve = Sources(os.environ, base)
    audit = None
    if unrecorded is not None:
        try:
            audit = read_audit(file.audit, base=base, resolve=resolve)
        except ConfigError as error:
            unrecorded(error)
    store = store_url(file.store, base, resolve)
    upstreams = upstreams_of(_without_credentials(file), lambda *_: Secret(b"not read"))
    resources = resources_of(file, base, None)
    return Config(
        issuer=file.issuer,
        store=store,
        secret_file=secret_file(file.secret, store, base),
        upstreams=upstreams,
        resources=resources,
        trusted_issuers=trusted_issuers_of(file, resources, upstreams),
        tokens=file.tokens,
        grants=file.grants,
        browser=file.browser,
        status_list=file.status_list,
        scopes=file.scopes,
        audit=audit,
        clients=read_clients(file.client, lambda *_: Secret(b"a secret that is not read")),
        registration=RegistrationSettings(),
        documents=DocumentPolicy(),
        secrets=root_secrets(file.secret, store, resolve, existing=existing),
    )


def _without_credentials(file: File) -> File:
    """*file* with an invented client secret for each provider, and without keys."""
    each = file.upstream if isinstance(file.upstream, tuple) else (file.upstream,)
    bare = tuple(
        msgspec.structs.replace(one, client_secret="env:ANY", client_key=None)  # noqa: S106
        for one in each
    )
    return msgspec.structs.replace(file, upstream=bare)
