"""Which proxy the environment names for an https request to a host. Pure.

It reads the variables that httpx2 reads, so that the provider and clients' documents are reached
through the same proxy.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def names_a_proxy(environ: Mapping[str, str]) -> bool:
    """Whether *environ* names a proxy for any http or https request."""
    return any(environ.get(name) for name in (*_VARIABLES, "http_proxy", "HTTP_PROXY"))


class Proxies(msgspec.Struct, frozen=True):
    """*variable* holds the URL *https* of the proxy. Hosts of *direct* are contacted directly."""

    variable: str | None = None
    https: str | None = None
    direct: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Proxies":
        direct = tuple(
            entry.strip().lower() for entry in _of_both(environ, "no_proxy").split(",") if entry
        )
        variable = next((name for name in _VARIABLES if _counts(environ, name)), None)
        if variable is None or "*" in direct:
            return cls()
        url = environ[variable]
        return cls(variable, url if "://" in url else f"http://{url}", direct)

    def towards(self, host: str, port: int | None = None) -> str | None:
        """The URL of the proxy for *host*, a name; None: connect directly.

        *port* as it is in the URL: None if the URL has none.
        """
        if any(_names(entry, host, port) for entry in self.direct):
            return None
        return self.https


def _counts(environ: Mapping[str, str], name: str) -> bool:
    """The value of a variable. Lower case comes first; empty, it disables the other."""
    return bool(environ.get(name)) and (name.islower() or environ.get(name.lower()) != "")


def _of_both(environ: Mapping[str, str], name: str) -> str:
    return environ[name] if name in environ else environ.get(name.upper(), "")


def _names(entry: str, host: str, port: int | None) -> bool:
    """Whether *entry* of ``NO_PROXY`` names *host*: a name includes all names below it."""
    scheme, separator, rest = entry.rpartition("://")
    name, _, number = rest.partition(":")
    if scheme not in ("", "https", "all") or (number and number != str(port)) or not name:
        return False
    if separator or name == "localhost":
        return host == name
    if name.startswith(("*.", ".")):
        return host.endswith(name.removeprefix("*"))
    return host == name or host.endswith(f".{name}")
