"""Reads the settings again while a server runs: what applies at once, and what needs a restart."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from mintage.errors import ConfigError
from mintage.secret_source import Sources
from mintage.settings.command_line import put_behind
from mintage.settings.file import File, convert
from mintage.settings.issuer import check_issuer
from mintage.settings.load import Config, digest_of, parse
from mintage.settings.reading import read_settings
from mintage.settings.store import store_url
from mintage.values import Secret

AT_A_RESTART: Final = (
    "issuer", "store", "server", "gateway.trusted_proxies", "admin", "audit", "metrics",
    "opentelemetry",
)  # fmt: skip
"""The settings that a running server keeps: they are in tokens, in sockets and in open files."""

_WITH_SECRETS: Final = ("admin", "audit")
"""Those among them whose secrets may be others, although the settings name the same sources."""

AT_ONCE: Final = (
    "account", "allow", "branding", "browser", "cimd", "client", "consent", "dpop", "gateway",
    "grant_types", "grants", "limits", "par", "registration", "resource", "scopes", "secret",
    "status_list", "trusted_issuer", "tokens", "upstream",
)  # fmt: skip
"""The settings that a reload applies."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """*written*: the settings in use, as they are written. *changed*: those that are others now.

    *waiting*: those that were changed too and need a restart. The digest of *config* is of all that
    is written, also of those.
    """

    config: Config
    written: File
    changed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def read_again(
    path: Path,
    before: Loaded | None,
    *,
    command: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """The settings of *path*, with those of *before* that can't change while a server runs.

    *before*: None for a server that starts. *command*: see `load`. The whole file is checked,
    secrets are read again from their sources, and a missing one is created only at the start.
    Raises `ConfigError`.
    """
    environ = dict(os.environ if environ is None else environ)
    found = read_settings(path, environ)
    data = found.data
    try:
        if command:
            put_behind(data, command)
        digest = digest_of(data)
        waiting = () if before is None else _keep(data, before.written, path.parent, environ)
        config = parse(data, base=path.parent, environ=environ, existing=before is not None)
        config = msgspec.structs.replace(config, digest=digest)
    except ConfigError as error:
        raise found.origins.named(error) from None
    written = convert(data)
    if before is not None:
        waiting = (*waiting, *_changed_secrets(config, before.config, waiting))
        written = msgspec.structs.replace(
            written, **{name: getattr(before.written, name) for name in _WITH_SECRETS}
        )
        config = _with_former_secrets(config, before.config)
    if before is not None and config.store != before.config.store:  # its file has another URL
        waiting = (*waiting, "store")
        config = msgspec.structs.replace(config, store=before.config.store)
    changed = () if before is None else _changed(written, config, before)
    return Loaded(config=config, written=written, changed=changed, waiting=waiting)


def _keep(
    data: dict[str, Any], before: File, base: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Put what can't change from *before* into *data*. Returns the names of what was another.

    Tables with secrets stay as they are wanted, so that their new sources are read and checked.
    """
    wanted = convert(data)
    check_issuer(wanted.issuer, "issuer")
    if wanted.store != before.store:
        store_url(wanted.store, base, Sources(environ, base))
    waiting = []
    for name in AT_A_RESTART:
        old, new = _at(before, name), _at(wanted, name)
        if old != new:
            waiting.append(name)
        if old != new and name not in _WITH_SECRETS:
            *above, leaf = name.split(".")
            table = data
            for step in above:
                table = table.setdefault(step, {})
            table[leaf] = msgspec.to_builtins(old)
    return tuple(waiting)


def _changed_secrets(config: Config, former: Config, named: Collection[str]) -> list[str]:
    """Those of `_WITH_SECRETS` that are not *named* yet and whose sources give another secret."""
    found = {
        "admin": _token(config) != _token(former),
        "audit": _of_the_webhook(config) != _of_the_webhook(former),
    }
    return [name for name in _WITH_SECRETS if found[name] and name not in named]


def _token(config: Config) -> Secret | None:
    return None if config.admin is None else config.admin.token


def _of_the_webhook(config: Config) -> tuple[Secret | None, ...]:
    found = config.audit
    return () if found is None else (found.authorization, found.signing_secret)


def _with_former_secrets(config: Config, former: Config) -> Config:
    """*config* with the admin API and the audit trail of *former*, as they run."""
    admin = former.admin
    if admin is not None and (used := admin.resource) is not None:
        resource = next((one for one in config.resources if one.path == used.path), used)
        admin = msgspec.structs.replace(admin, resource=resource)
    return msgspec.structs.replace(config, admin=admin, audit=former.audit)


def _at(file: File, name: str) -> Any:
    found: Any = file
    for step in name.split("."):
        found = getattr(found, step)
    return found


def _changed(written: File, config: Config, before: Loaded) -> tuple[str, ...]:
    """The settings whose text or whose value differs: a secret's file may hold another one."""
    names = {name for name in AT_ONCE if getattr(written, name) != getattr(before.written, name)}
    if config.secrets != before.config.secrets:
        names.add("secret")
    if _key_ids(config) != _key_ids(before.config):
        names.add("tokens")
    if _comparable(config) != _comparable(before.config):
        names.add("upstream")
    for name, value in (("client", "clients"), ("registration",) * 2, ("branding",) * 2):
        if getattr(config, value) != getattr(before.config, value):
            names.add(name)
    return tuple(sorted(names))


def _key_ids(config: Config) -> list[str]:
    return [key.kid for key in config.signing_keys]


def _comparable(config: Config) -> list[object]:
    """The providers, without private keys, which can't be compared; their headers name them."""
    return [
        (replace(each, client_key=None), each.client_key and each.client_key.header)
        for each in config.upstreams
    ]
