"""Reads secrets from where the settings say they are, or generates them."""

import base64
import contextlib
import logging
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mintage.errors import ConfigError
from mintage.secret_command import output_of
from mintage.values import Secret

log = logging.getLogger("mintage")

Resolve = Callable[[str, str], Secret]
"""(where a secret stands, the key that says so) → the secret. Raises `ConfigError`."""


SOURCES: Final = ("env", "file", "credential", "command")
"""The kinds of places: what comes before the colon."""

_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"


class Sources:
    """Reads the secrets of one load of the settings: it is a `Resolve`.

    Each command runs once, however many settings name it. Relative paths are relative to *base*.
    """

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._environ = environ
        self._base = base
        self._printed: dict[str, Secret] = {}

    def __call__(self, spec: str, key: str) -> Secret:
        found = self._printed.get(spec)
        if found is None:
            found = resolve(spec, key=key, environ=self._environ, base=self._base)
        if spec.startswith("command:"):
            self._printed[spec] = found
        return found


def resolve(spec: str, *, key: str, environ: Mapping[str, str], base: Path) -> Secret:
    """The secret that *spec* names.

    ``env:NAME``: an environment variable. ``file:PATH``: a file, relative to *base*.
    ``credential:NAME``: what systemd has loaded for the service (``LoadCredential=``).
    ``command:PROGRAM ARGUMENTS``: what a program prints.

    Raises `ConfigError` under *key*. A secret in the settings file itself is refused: configuration
    is copied, printed and committed.
    """
    scheme, _, name = spec.partition(":")
    match scheme:
        case "env" if name:
            value = environ.get(name)
            if value is None:
                raise ConfigError(
                    key,
                    f"the environment variable {name} is not set: export {name}=…, or write "
                    "file:PATH here, the path of a file with the secret",
                )
            # A shell and a secret store leave a line's end behind, as a file does.
            if not (value := value.strip("\r\n")):
                raise ConfigError(key, f"the environment variable {name} is empty")
            return Secret(os.fsencode(value))
        case "file" if name:
            return _read(base / name, key)
        case "credential" if name:
            return _read(_credential(name, key, environ), key)
        case "command" if name:
            return Secret(output_of(name, key=key, environ=environ, base=base))
        case _:
            raise ConfigError(
                key,
                "write it as env:NAME, file:PATH, credential:NAME or command:PROGRAM ARGUMENTS, "
                "never the secret itself",
            )


def _credential(name: str, key: str, environ: Mapping[str, str]) -> Path:
    """The file of the credential *name* (systemd.exec(5), LoadCredential=)."""
    directory = environ.get(_CREDENTIALS)
    if not directory:
        raise ConfigError(
            key,
            f"credential:{name} needs {_CREDENTIALS}, which systemd sets for a unit with "
            f"LoadCredential={name}:PATH",
        )
    if "/" in name or name in (".", ".."):
        raise ConfigError(key, "names a credential, without slashes: credential:NAME")
    return Path(directory) / name


def lines(value: Secret) -> tuple[Secret, ...]:
    """The root secrets in *value*: one in each line, the first in use; ``# `` begins a comment.

    Bytes that are not text are one secret, whatever they contain.
    """
    raw = value.reveal()
    if not raw.isascii() or not raw.decode().replace("\n", "").replace("\r", "").isprintable():
        return (value,)
    found = (line.strip() for line in raw.splitlines())
    return tuple(Secret(line) for line in found if line and not line.startswith(b"# "))


def generate_once(path: Path, *, key: str) -> Secret:
    """The secret in the file *path*. If there is none, create one that only its owner can read.

    If several processes start at once, one creates it and all read the same.
    """
    if not path.exists():  # once it is there, its directory may be read-only
        with contextlib.suppress(FileExistsError):
            _create(path, key)
    return _read(path, key)


def _create(path: Path, key: str) -> None:
    """Write a new secret whole, or not at all: creating a link fails if *path* exists."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        raise
    except OSError as error:
        user = f" (uid {os.geteuid()})" if hasattr(os, "geteuid") else ""
        raise ConfigError(
            key,
            f"a new secret can't be kept in {path}: {error.strerror}. Let this process{user} "
            "write there, or make a secret yourself and name it: env:NAME or file:PATH",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # what could not be made need not be removed
            fresh.unlink()


def _read(path: Path, key: str) -> Secret:
    try:
        value = path.read_bytes().strip()
    except ValueError:
        raise ConfigError(key, "is not a path") from None
    except OSError as error:
        raise ConfigError(key, f"{path} can't be read: {error.strerror}") from error
    if not value:
        raise ConfigError(key, f"{path} is empty")
    _warn_if_shared(path, key)
    return Secret(value)


def _warn_if_shared(path: Path, key: str) -> None:
    """Warn if every user can read *path*. A group may be intended, as orchestrators do it."""
    if os.name == "posix" and path.stat().st_mode & stat.S_IROTH:
        log.warning(
            "%s: every user of this machine can read %s: chmod o-r %s", key, path, path,
            extra={"shared_secret": (key, path)},
        )  # fmt: skip
