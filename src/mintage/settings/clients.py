"""The sections ``[[client]]``, ``[registration]`` and ``[cimd]`` of the configuration."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from mintage.clients import metadata
from mintage.clients.client import (
    CLIENT_CREDENTIALS,
    GRANT_TYPES,
    JWT_BEARER,
    AuthMethod,
    Client,
)
from mintage.clients.policy import DocumentPolicy
from mintage.clients.redirects import RedirectUri
from mintage.errors import ConfigError, OAuthError
from mintage.grants.browser_sessions import CLIENT_PREFIX
from mintage.grants.machines import WORKLOAD_PREFIX
from mintage.network.proxies import Proxies
from mintage.secret_source import Resolve
from mintage.server.capabilities import GrantTypes
from mintage.settings.exchanging import (
    ClientExchangeSection,
    read_exchanging,
    with_grant_type,
)
from mintage.settings.grant_types import TABLES
from mintage.settings.words import none_of
from mintage.values import ClientId, Secret, check_scopes

_OF_LOGINS: Final = ("authorization_code", "refresh_token")
_CLIENT_ID: Final = re.compile(r"[!-~]{1,255}")
_GLOB: Final = re.compile(r"[a-z0-9.*?-]+")


class ClientSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[client]]``: a client that you configure.

    [Choose how clients register](how-to/choose-how-clients-register.md) has more.
    """

    client_id: str
    """1 to 255 printable ASCII characters, no spaces."""
    redirect_uris: tuple[str, ...] = ()
    """1 to 10 of them, for `authorization_code`. A client that only introspects tokens needs none.

    Default: needed
    """
    name: str | None = None
    """Its name on the consent page.

    Default: its id
    """
    client_secret: str | None = None
    """Where it is, as for `secret`; at least 16 characters."""
    token_endpoint_auth_method: AuthMethod | None = None
    """How it authenticates at `/token`.

    Default: `client_secret_basic` with a secret, `private_key_jwt` with keys, else `none`
    """
    jwks: dict[str, Any] | None = None
    """Its public keys, as a table (RFC 7517)."""
    jwks_uri: str | None = None
    """The https URL of its public keys."""
    scopes: tuple[str, ...] | None = None
    """Scopes that it may ask for.

    Default: all
    """
    grant_types: tuple[str, ...] = _OF_LOGINS
    """The grant types that it may use. Others than the default must be on, in the tables of
    `grant_types`.
    """
    resources: tuple[str, ...] = ()
    """Paths of the resources for which it may [get tokens for
    itself](how-to/let-a-headless-agent-in.md), with `client_credentials`. The tokens have at most
    its `scopes`.
    """
    dpop_bound_access_tokens: bool = False
    """Whether it gets only tokens that are [bound to a key](how-to/bind-tokens-to-a-key.md)."""
    introspects: tuple[str, ...] = ()
    """Paths of the resources whose tokens it may introspect, as their server. It then needs no
    `redirect_uris`.
    """
    require_pushed_authorization_requests: bool = False
    """Whether it must [push its authorization requests](how-to/push-authorization-requests.md)
    (RFC 9126 §6).
    """
    token_exchange: ClientExchangeSection | None = None
    """What it may exchange, as a backend that acts for users. See
    [Call another service for a user](how-to/call-another-service-for-a-user.md).
    """


class RegistrationSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[registration]``: whether clients may register themselves (RFC 7591)."""

    mode: Literal["open", "token", "off"] = "open"
    """Which clients may register: all, those with the registration token, or none. Without
    `[upstream]` none may: only clients whose users log in register.
    """
    token: str | None = None
    """Where the registration token is, as for `secret`; at least 16 characters. It goes with `mode
    = "token"`.
    """


class CimdSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cimd]``: which hosts' client id metadata documents are accepted."""

    enabled: bool = True
    """Whether a `client_id` may be the URL of a metadata document."""
    allow: tuple[str, ...] = ()
    """The only host names from which Mintage fetches documents and keys; `*` matches any
    characters.

    Default: all
    """
    deny: tuple[str, ...] = ()
    """Host names from which Mintage fetches no documents and keys; `*` matches any characters."""
    the_environments_proxy_refuses_inner_addresses: bool = False
    """Set it if the proxy in `HTTPS_PROXY` or `ALL_PROXY` refuses to connect to addresses of your
    own network. Behind a proxy, documents are off unless you set this: the proxy resolves the
    names, so Mintage can't check where a URL leads.
    """


class RegistrationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """*token*: what a client must send to register; None: nothing."""

    enabled: bool = True
    token: Secret | None = None


def read_clients(sections: Sequence[ClientSection], resolve: Resolve) -> tuple[Client, ...]:
    """The configured clients. Raises `ConfigError`."""
    clients: dict[str, Client] = {}
    for number, section in enumerate(sections):
        key = f"client[{number}]"
        if section.client_id in clients:
            raise ConfigError(f"{key}.client_id", "another client has this id already")
        clients[section.client_id] = _client(section, key, resolve)
    return tuple(clients.values())


def read_registration(
    section: RegistrationSection, resolve: Resolve, *, logins: bool
) -> RegistrationSettings:
    """Without *logins* no client registers: it could get no token. Raises `ConfigError`."""
    key = "registration.token"
    if (section.mode == "token") != (section.token is not None):
        raise ConfigError(key, 'is needed with mode = "token", and with no other')
    token = None
    if section.token is not None:
        token = resolve(section.token, key)
        _check_length(token, key)
    return RegistrationSettings(enabled=logins and section.mode != "off", token=token)


def read_policy(
    section: CimdSection, *, environ: Mapping[str, str], useful: bool
) -> DocumentPolicy:
    """If there is a proxy, documents are disabled unless the operator confirms that it is safe.

    The proxy resolves the host's name, so no address can be checked here. *useful*: whether a
    client with a document could get a token; documents are disabled too if not.
    """
    for name, globs in (("allow", section.allow), ("deny", section.deny)):
        if not all(map(_GLOB.fullmatch, globs)):
            raise ConfigError(
                f"cimd.{name}", "holds host names in lower case, with * for any characters"
            )
    why_off = "" if section.the_environments_proxy_refuses_inner_addresses else _a_proxy(environ)
    return DocumentPolicy(
        enabled=useful and section.enabled and not why_off,
        allow=section.allow,
        deny=section.deny,
        why_off=why_off if useful and section.enabled else "",
    )


def _a_proxy(environ: Mapping[str, str]) -> str:
    variable = Proxies.of(environ).variable
    if variable is None:
        return ""
    return (
        f"{variable} names a proxy, and behind a proxy this server can't check to which address "
        "a document's URL leads. If that proxy refuses addresses of your own network, set "
        "cimd.the_environments_proxy_refuses_inner_addresses = true"
    )


def _client(section: ClientSection, key: str, resolve: Resolve) -> Client:
    if not _CLIENT_ID.fullmatch(section.client_id):
        raise ConfigError(f"{key}.client_id", "is 1 to 255 printable ASCII characters, no spaces")
    if section.client_id.startswith(CLIENT_PREFIX):
        raise ConfigError(
            f"{key}.client_id", f"may not begin with {CLIENT_PREFIX!r}: sessions of browsers do"
        )
    if section.client_id.startswith(WORKLOAD_PREFIX):
        raise ConfigError(
            f"{key}.client_id", f"may not begin with {WORKLOAD_PREFIX!r}: rules of workloads do"
        )
    _check_use(section, key)
    method = section.token_endpoint_auth_method or _usual_method(section)
    try:
        keys = metadata.keys_of(method, section.jwks, section.jwks_uri)
        client = Client(
            client_id=ClientId(section.client_id),
            name=metadata.client_name(section.name or section.client_id),
            redirect_uris=_redirect_uris(section),
            auth_method=method,
            grant_types=_grant_types(section, method),
            secret=_secret(section, method, key, resolve),
            jwks=keys.jwks,
            jwks_uri=keys.jwks_uri,
            scopes=None if section.scopes is None else check_scopes(section.scopes),
            vouched=True,
            introspects=section.introspects,
            pushes=section.require_pushed_authorization_requests,
            resources=tuple(dict.fromkeys(section.resources)),
            dpop_bound=section.dpop_bound_access_tokens,
        )
        if section.token_exchange is None:
            return client
        rules = read_exchanging(section.token_exchange, f"{key}.token_exchange")
        return with_grant_type(client, rules)
    except (OAuthError, ValueError) as error:
        raise ConfigError(key, str(error)) from None


def _grant_types(section: ClientSection, method: AuthMethod) -> tuple[str, ...]:
    """Those that it may use. `check_grant_types` says whether they are on."""
    known = {*GRANT_TYPES, *(grant_type.name for grant_type in TABLES.values())}
    for name in section.grant_types:
        if name not in known:
            raise ValueError(f"grant_types: {none_of(name, sorted(known))}")
    if not section.grant_types:
        raise ValueError("grant_types is empty")
    for name in (CLIENT_CREDENTIALS, JWT_BEARER):
        if name in section.grant_types and method == "none":
            raise ValueError(
                f"{name} is for a client that authenticates: give it a client_secret, jwks or "
                "jwks_uri"
            )
    return tuple(dict.fromkeys(section.grant_types))


def _check_use(section: ClientSection, key: str) -> None:
    """Check that *section* has what its grant types need. Raises `ConfigError`."""
    for_itself = CLIENT_CREDENTIALS in section.grant_types
    if section.resources and not for_itself:
        raise ConfigError(
            f"{key}.grant_types",
            f"{_said(section)}; resources is for a client that gets tokens for itself: write "
            f'grant_types = ["{CLIENT_CREDENTIALS}"], or remove resources',
        )
    if for_itself and not section.resources:
        raise ConfigError(
            f"{key}.resources", "is missing: the paths for which it gets tokens for itself"
        )
    if for_itself and section.scopes is None:
        raise ConfigError(
            f"{key}.scopes",
            "is missing: what the tokens that it gets for itself may do, [] for nothing",
        )
    if _logs_users_in(section) and not section.redirect_uris:
        raise ConfigError(
            f"{key}.redirect_uris",
            f"is missing, and grant_types {_said(section)}: give the addresses to which its users "
            f'return, or write what it uses, such as grant_types = ["{CLIENT_CREDENTIALS}"]',
        )


def _said(section: ClientSection) -> str:
    """The grant types of *section*, and that they are the default if they are."""
    names = ", ".join(section.grant_types) or "empty"
    return f"is {names}{' (the default)' if section.grant_types == _OF_LOGINS else ''}"


def _logs_users_in(section: ClientSection) -> bool:
    serves = section.introspects or section.token_exchange is not None
    return not serves and "authorization_code" in section.grant_types


def check_grants_of(clients: Sequence[Client], enabled: GrantTypes, paths: Collection[str]) -> None:
    """Check what the clients may use against the grant types that are *enabled*.

    *paths*: those of the resources. Raises `ConfigError`.
    """
    off = {each.name: table for table, each in TABLES.items() if each not in enabled}
    for number, client in enumerate(clients):
        for name in client.grant_types:
            if name in off:
                raise ConfigError(
                    f"client[{number}].grant_types", f"{name} is off: add [grant_types.{off[name]}]"
                )
        for path in client.resources:
            if path not in paths:
                raise ConfigError(f"client[{number}].resources", none_of(path, sorted(paths)))


def _redirect_uris(section: ClientSection) -> tuple[RedirectUri, ...]:
    """The redirect URIs. A client that no user logs in with needs none."""
    if not section.redirect_uris:
        return ()
    return tuple(map(RedirectUri, metadata.redirect_uris(section.redirect_uris)))


def _usual_method(section: ClientSection) -> AuthMethod:
    """The method that fits the credentials, if none is given."""
    if section.jwks is not None or section.jwks_uri is not None:
        return "private_key_jwt"
    return "none" if section.client_secret is None else "client_secret_basic"


def _secret(section: ClientSection, method: AuthMethod, key: str, resolve: Resolve) -> str | None:
    key = f"{key}.client_secret"
    if (section.client_secret is not None) != method.startswith("client_secret"):
        raise ConfigError(key, f"does not go with {method}")
    if section.client_secret is None:
        return None
    secret = resolve(section.client_secret, key)
    _check_length(secret, key)
    try:
        return secret.reveal().decode()
    except UnicodeDecodeError:
        raise ConfigError(key, "is not text") from None


def _check_length(secret: Secret, key: str) -> None:
    if len(secret.reveal()) < 16:  # noqa: PLR2004
        raise ConfigError(key, "needs at least 16 characters, better 32 random ones")
