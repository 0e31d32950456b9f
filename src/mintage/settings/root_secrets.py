"""The root secrets, and where they are stored."""

import secrets
from pathlib import Path
from typing import Final

from mintage.crypto.derivation import check_secret
from mintage.errors import ConfigError
from mintage.secret_source import Resolve, generate_once, lines
from mintage.stores.missing import no_store_at
from mintage.values import Secret

SECRET_FILE: Final = "mintage.secret"  # noqa: S105


def secret_file(spec: str | tuple[str, ...] | None, store: str, base: Path) -> Path | None:
    """The file of the root secrets, if they are all in one file."""
    if isinstance(spec, tuple):
        return None
    if spec is not None:
        return base / spec.partition(":")[2] if spec.startswith("file:") else None
    scheme, _, path = store.partition("://")
    return Path(path).with_name(SECRET_FILE) if scheme == "sqlite" else None


def root_secrets(
    spec: str | tuple[str, ...] | None,
    store: str,
    resolve: Resolve,
    *,
    existing: bool,
    writes: bool = True,
) -> tuple[Secret, ...]:
    """The secret in use, then former ones, which only read.

    *existing*: a server has started before, so a missing secret is not created. *writes*: a new
    first secret is saved in its file; otherwise it is gone when this process ends. Raises
    `ConfigError`.
    """
    if spec is None:
        found = _generated_secrets(store, existing=existing, writes=writes)
    else:
        found = tuple(
            secret
            for one in ((spec,) if isinstance(spec, str) else spec)
            for secret in lines(resolve(one, "secret"))
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


def _generated_secrets(store: str, *, existing: bool, writes: bool) -> tuple[Secret, ...]:
    """The secrets in the file next to the database. The first one was created there."""
    scheme, _, path = store.partition("://")
    if scheme == "sqlite":
        if not Path(path).parent.is_dir():
            raise ConfigError(
                "store", f"the directory {Path(path).parent} does not exist; create it first"
            )
        file = Path(path).with_name(SECRET_FILE)
        has_started = existing or Path(path).exists()  # looked at first: it is made last
        if has_started and not file.exists():
            raise _missing(Path(path), file)
        if not writes and not file.exists():
            return (Secret(secrets.token_bytes(32)),)
        return lines(generate_once(file, key="secret"))
    if scheme == "memory":
        return (Secret(secrets.token_bytes(32)),)
    raise ConfigError(
        "secret",
        "is needed with a store that several machines share: env:NAME, file:PATH, credential:NAME "
        "or command:PROGRAM ARGUMENTS",
    )


def _missing(store: Path, file: Path) -> ConfigError:
    if not store.exists():
        return ConfigError("store", no_store_at(store))
    return ConfigError(
        "secret",
        f"{file} is missing, and nothing else opens the logins in {store}: restore it. If it is "
        f"gone for good, make a new one (mintage keys new > {file}) and start once with --force, "
        "which ends these logins",
    )
