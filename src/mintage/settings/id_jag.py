"""``[resource.id_jag]``: backends whose tokens another authorization server issues."""

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from mintage.errors import ConfigError
from mintage.secret_source import Resolve
from mintage.upstream.authentication import SigningKey
from mintage.upstream.preset import AuthMethod, Endpoints
from mintage.upstream.protocol import IdJag
from mintage.upstream.upstream import Upstream
from mintage.urls import check_https, whole_url

_CREDENTIAL = "id_jag"


class IdJagSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[resource.id_jag]``: the authorization server whose tokens the backend demands.

    Mintage asks the user's provider for an ID-JAG, and redeems it there. See
    [Reach a server with tokens of its own](how-to/reach-a-server-with-tokens-of-its-own.md).
    """

    issuer: str
    """The issuer of that authorization server, exactly as in its metadata. The ID-JAG is for it."""
    client_id: str
    """Mintage's client id at that server."""
    client_secret: str | None = None
    """Where Mintage's secret at that server is, as for `upstream.client_secret`."""
    client_key: str | None = None
    """Where a private key for `private_key_jwt` at that server is, as for `upstream.client_key`."""
    auth_method: AuthMethod | None = None
    """How Mintage authenticates at that server.

    Default: as its metadata says
    """
    token_endpoint: str | None = None
    """Its token endpoint, if it publishes no metadata (RFC 8414)."""
    resource: str | None = None
    """The identifier of the backend at that server (RFC 8707), if it asks for one."""
    scope: str | None = None
    """The scopes to ask for at that server, with spaces between."""
    subject_token: Literal["id_token", "refresh_token"] = "id_token"  # noqa: S105
    """Which of the user's tokens shows the provider who it is. With `id_token` Mintage keeps it,
    encrypted, and renews it with the other tokens. Choose `refresh_token` only if the provider
    does not replace refresh tokens when they are used.
    """

    def wanted(self) -> IdJag:
        """What to ask the provider for."""
        return IdJag(
            audience=self.issuer,
            client_id=self.client_id,
            resource=self.resource,
            scope=self.scope,
            subject=self.subject_token,
        )


def check_id_jag(section: IdJagSection | None, credential: str, key: str) -> None:
    """Raise `ConfigError` unless *section* is there exactly if *credential* needs it."""
    if (section is None) == (credential == _CREDENTIAL):
        said = "is missing" if section is None else "is there without need"
        raise ConfigError(f"{key}.id_jag", f'{said}: it goes with credential = "{_CREDENTIAL}"')
    if section is None:
        return
    for name, url in (("issuer", section.issuer), ("token_endpoint", section.token_endpoint)):
        if url is not None:
            where = f"{key}.id_jag.{name}"
            check_https(whole_url(url, where, example="https://auth.example.com"), where)
    if section.client_secret is None and section.client_key is None:
        raise ConfigError(
            f"{key}.id_jag.client_secret", "is missing: give a client_secret or a client_key"
        )


def read_others(sections: Sequence[Any], resolve: Resolve) -> tuple[Upstream, ...]:
    """The authorization servers that `[[resource]]` *sections* name, each once.

    Raises `ConfigError`, also for two sections with one client at one server and two secrets.
    """
    found: dict[tuple[str, str], Upstream] = {}
    for number, resource in enumerate(sections):
        section = resource.id_jag
        if section is None:
            continue
        key = f"resource[{number}].id_jag"
        other = _other(section, key, resolve)
        if found.setdefault((section.issuer, section.client_id), other) != other:
            raise ConfigError(key, "another resource names this server and client differently")
    return tuple(found.values())


def _other(section: IdJagSection, key: str, resolve: Resolve) -> Upstream:
    secret = client_key = None
    if section.client_secret is not None:
        secret = resolve(section.client_secret, f"{key}.client_secret")
    if section.client_key is not None:
        try:
            client_key = SigningKey.read(resolve(section.client_key, f"{key}.client_key"))
        except ValueError as error:
            raise ConfigError(f"{key}.client_key", str(error)) from None
    parts = urlsplit(section.issuer)
    path = parts.path.rstrip("/")
    return Upstream(
        name=parts.netloc,
        title=parts.netloc,
        client_id=section.client_id,
        issuer=section.issuer,
        scopes=(),
        client_secret=secret,
        client_key=client_key,
        auth_method=section.auth_method,
        discovery=section.token_endpoint is None,
        discovery_url=f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
        # Nobody logs in there, so its metadata need not say where (RFC 8414 §2).
        endpoints=Endpoints(tokens=section.token_endpoint, authorization=section.issuer),
        id_token=False,
    )
