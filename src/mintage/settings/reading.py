"""Reads the settings as they are written: the file, and the environment variables above it."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.errors import ConfigError
from mintage.settings.file import File
from mintage.settings.variables import Origins, has_settings, put_in

HERE: Final = Path("mintage.toml")
"""The file that is read if nobody names one."""


class Written(msgspec.Struct, frozen=True):
    """The settings before they are checked. *origins*: which of them are from variables."""

    data: dict[str, Any]
    origins: Origins


def is_written(path: Path, environ: Mapping[str, str]) -> bool:
    """Whether there are settings: in the file *path*, or all of them in *environ*.

    A file that somebody named must be there. Without it a server could start with fewer rules.
    """
    return path.exists() or (path == HERE and has_settings(environ))


def read_settings(path: Path, environ: Mapping[str, str]) -> Written:
    """The settings of the file *path* and of *environ*. Raises `ConfigError`."""
    data = {} if is_written(path, environ) and not path.exists() else _read(path)
    return Written(data, put_in(data, environ, File))


@contextmanager
def settings_in(path: Path, environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The settings as they are written. An error in the block names the variable it is about."""
    written = read_settings(path, environ)
    try:
        yield written.data
    except ConfigError as error:
        raise written.origins.named(error) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except FileNotFoundError:
        raise ConfigError(str(path), "there is no such file; `mintage init` writes one") from None
    except OSError as error:
        raise ConfigError(str(path), f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"is not text in UTF-8: {error.reason}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not valid TOML: {error}") from error
    except RecursionError:
        raise ConfigError(str(path), "is nested too deeply") from None
