"""The extras of this package, and the error of a program that lacks one.

The base install has what the issuer needs. Each other part names its extra with `needs` or `extra`,
before it imports a package of it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final, Never

from mintage.errors import ConfigError

_SERVER: Final = (
    "cyclopts", "httptools", "httpx2", "jinja2", "rich", "starlette", "uvicorn", "websockets",
)  # fmt: skip

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "verifier": ("httpx2",),
        "server": _SERVER,
        "mcp": (*_SERVER, "mcp"),
        "commands": (*_SERVER, "mcp"),
        "fastmcp": (*_SERVER, "fastmcp"),
        "postgres": (*_SERVER, "asyncpg"),
        "redis": (*_SERVER, "redis"),
        "metrics": (*_SERVER, "prometheus_client"),
        "otel": (
            *_SERVER,
            "opentelemetry",
            "opentelemetry.sdk",
            "opentelemetry.exporter.otlp.proto.http",
        ),
        "demo": (*_SERVER, "mcp", "nanoidp"),
    }
)
"""extra → the packages to import that it brings (without uvloop, which is optional everywhere)."""


class MissingExtra(ConfigError, ImportError):
    """A part of Mintage was used whose packages are not installed.

    *key* is the name of the extra, *name* the first package that was not found.
    """

    def __init__(self, extra: str, package: str) -> None:
        advice = f"this needs the package {package}: pip install 'mintage[{extra}]'"
        super(ConfigError, self).__init__(advice)
        self.key = extra
        self.advice = advice
        self.name: str = package


def needs(extra: str) -> None:
    """Return if the packages of *extra* are installed, else raise `MissingExtra`."""
    for package in PACKAGES[extra]:
        if not _is_installed(package):
            raise MissingExtra(extra, package)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it is part of
        return False


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import packages of the extra *name* in this block. A missing one raises `MissingExtra`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, MissingExtra) or (error.name or "mintage").startswith("mintage"):
            raise
        raise MissingExtra(name, str(error.name)) from None


def stand_in(name: str, missing: MissingExtra) -> type:
    """A class to export as `mintage.` *name*, whose packages are not installed.

    `dir`, `hasattr`, `help` and ``from mintage import *`` must work in every install, so the name
    is there. Calling it raises a `MissingExtra` like *missing*.
    """

    def refuse(_cls: type, *_positional: object, **_named: object) -> Never:
        raise MissingExtra(missing.key, missing.name)

    members = {"__new__": refuse, "__module__": "mintage", "__doc__": f"Not here: {missing.advice}"}
    return type(name, (), members)
