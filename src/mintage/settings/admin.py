"""``[admin]``: the API and the page for operators, on a listener of its own."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mintage.access.scopes import Rule
from mintage.errors import ConfigError
from mintage.secret_source import Resolve
from mintage.site.resource import Resource
from mintage.values import Secret

_LISTEN: Final = "admin.listen"
_UNIX: Final = "unix:"
_LEAST: Final = 32  # characters of a token


class AdminSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[admin]``: the admin API is on if the file has this table.

    [Its page](how-to/administer-a-server.md#the-admin-api) has more.
    """

    listen: str = "127.0.0.1:8081"
    """Where the admin API listens: an address of this machine and a port, or `unix:PATH`."""
    token: str | None = None
    """Where the token is that its callers send: `env:NAME`, `file:PATH`, …; at least 32 characters.
    """
    resource: str | None = None
    """The path of the resource through which operators use it: [behind a
    group](how-to/administer-a-server.md#behind-a-group). Give this, a token, or both.
    """
    unencrypted_and_reachable_from_other_machines: bool = False
    """Whether `admin.listen` may be an address that other machines reach."""


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the admin API listens, and whom it answers.

    *host* and *port*, or the *path* of a Unix socket. *token*: the secret of its callers.
    *resource*: the resource of this server through which callers may come too.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: Path | None = None
    token: Secret | None = None
    resource: Resource | None = None


def read_admin(
    section: AdminSection | None,
    *,
    base: Path,
    resolve: Resolve,
    resources: Sequence[Resource],
    signs: bool,
) -> AdminSettings | None:
    """*section* checked; None without one. *signs*: whether there is a signing key.

    Raises `ConfigError`.
    """
    if section is None:
        return None
    if section.token is None and section.resource is None:
        raise ConfigError("admin.token", "give a token, or the resource that operators use")
    token = None if section.token is None else _token(resolve(section.token, "admin.token"))
    resource = None if section.resource is None else _resource(section.resource, resources, signs)
    if section.listen.startswith(_UNIX):
        path = (base / section.listen.removeprefix(_UNIX)).absolute()
        return AdminSettings(path=path, token=token, resource=resource)
    host, port = _address(section.listen)
    if not (section.unencrypted_and_reachable_from_other_machines or _is_this_machine(host)):
        raise ConfigError(
            _LISTEN,
            f"other machines reach {host}, and the admin API has no TLS: listen on 127.0.0.1 or "
            "unix:PATH, and put the gateway or another proxy before it",
        )
    return AdminSettings(host=host, port=port, token=token, resource=resource)


def _token(secret: Secret) -> Secret:
    if len(secret.reveal()) < _LEAST:
        raise ConfigError("admin.token", f"needs at least {_LEAST} random characters")
    return secret


def _address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.netloc != text or "@" in text:
        raise ConfigError(_LISTEN, "write an address and a port: 127.0.0.1:8081, or unix:PATH")
    return host, port


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # a name: who knows where a resolver leads


def _resource(path: str, resources: Sequence[Resource], signs: bool) -> Resource:  # noqa: FBT001
    key = "admin.resource"
    found = next((one for one in resources if one.path.rstrip("/") == path.rstrip("/")), None)
    if found is None:
        raise ConfigError(key, "is the path of a [[resource]] whose backend is the admin API")
    if found.credential != "identity":
        raise ConfigError(key, 'this resource needs credential = "identity"')
    if not signs:
        raise ConfigError(key, "needs tokens.signing_key: the gateway signs who the operator is")
    if sum(one.audience == found.audience for one in resources) > 1:
        raise ConfigError(key, "no other resource may have the same backend_audience")
    if not any(_is_for_all(rule) and rule.claims for rule in found.rules):
        raise ConfigError(
            key,
            "this resource needs a rule with claims and without methods, path or names, so that "
            "not everybody who may log in is an operator",
        )
    return found


def _is_for_all(rule: Rule) -> bool:
    """Whether *rule* matches each request at its resource."""
    return not (rule.methods or rule.path or rule.reads_mcp)
