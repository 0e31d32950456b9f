"""``[client.token_exchange]``: what a backend may exchange (RFC 8693)."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from mintage.clients.client import Client
from mintage.clients.exchanging import ExchangeTarget, Exchanging
from mintage.errors import ConfigError
from mintage.server.grant_types.token_exchange import TokenExchange
from mintage.site.resource import Resource
from mintage.site.targets import Command, External
from mintage.values import ClientId, check_scopes

_TABLE: Final = "grant_types.token_exchange"


class ExchangeTargetSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[client.token_exchange.target]]``: a resource for which the client gets tokens."""

    path: str
    """The path of the `[[resource]]`."""
    scopes: tuple[str, ...] = ()
    """The scopes that such a token has at most. It has only those that the user's token has too."""
    may_act: str | None = None
    """The `client_id` of the only client that may exchange such a token further.

    Default: each client that is configured to
    """


class ClientExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[client.token_exchange]``: what a backend may exchange (RFC 8693).

    It needs the table `[grant_types.token_exchange]`, and a client that authenticates.
    """

    resource: str
    """The path of the `[[resource]]` that this client serves. It can exchange what it gets with
    requests for that resource.
    """
    target: tuple[ExchangeTargetSection, ...] = ()
    """The resources for which it gets tokens."""
    gets_the_users_access_token_at_the_identity_provider: bool = False
    """Whether the client may get the user's own access token at the identity provider, with all
    that this token may do there. Each such response is recorded in the audit trail.
    """


def read_exchanging(section: ClientExchangeSection, key: str) -> Exchanging:
    """What *section* lets a client do. Raises `ConfigError` under *key*."""
    upstream_token = section.gets_the_users_access_token_at_the_identity_provider
    if not section.target and not upstream_token:
        raise ConfigError(
            f"{key}.target", "is missing: give a [[client.token_exchange.target]] for each resource"
        )
    targets: dict[str, ExchangeTarget] = {}
    for number, target in enumerate(section.target):
        if target.path in targets:
            raise ConfigError(f"{key}.target[{number}].path", "another target has this path")
        may_act = None if target.may_act is None else ClientId(target.may_act)
        scopes = check_scopes(target.scopes)
        targets[target.path] = ExchangeTarget(scopes=scopes, may_act=may_act)
    return Exchanging(resource=section.resource, targets=targets, upstream_token=upstream_token)


def check_exchanging(
    clients: Sequence[Client], resources: Sequence[Resource], *, on: bool, signs: bool
) -> None:
    """Raise `ConfigError` if a client is to exchange what it can't get, or can't be given.

    *on*: whether the grant type is on. *signs*: whether the gateway signs identities.
    """
    by_path = {resource.path: resource for resource in resources}
    exchanging = {number: one for number, one in enumerate(clients) if one.exchanging is not None}
    for number, client in exchanging.items():
        key, rules = f"client[{number}].token_exchange", client.exchanging
        assert rules is not None  # noqa: S101
        if not on:
            raise ConfigError(key, f"needs the table [{_TABLE}], which turns the grant type on")
        if client.auth_method == "none":
            raise ConfigError(
                f"client[{number}].client_secret",
                "is missing: a client that exchanges tokens authenticates, with a secret or keys",
            )
        _check_backend(by_path, rules.resource, f"{key}.resource", signs=signs)
        known = {each.client_id for each in exchanging.values()}
        for at, (path, target) in enumerate(rules.targets.items()):
            _check_target(by_path, path, target, known, f"{key}.target[{at}]")


def with_grant_type(client: Client, rules: Exchanging) -> Client:
    """*client* with the right to exchange tokens by *rules*."""
    grant_types = (*client.grant_types, TokenExchange.name)
    return replace(client, exchanging=rules, grant_types=grant_types)


def _check_backend(by_path: dict[str, Resource], path: str, key: str, *, signs: bool) -> None:
    """Whether the backend of the resource at *path* has something that it could exchange."""
    resource = by_path.get(path)
    if resource is None:
        raise ConfigError(key, "must be the path of a [[resource]]")
    if isinstance(resource.target, Command):
        raise ConfigError(key, "is served by a command, which gets no token of the user's requests")
    if isinstance(resource.target, External):
        return  # it may have the user's own token
    if resource.credential == "none" or not signs:
        raise ConfigError(
            key,
            "its backend gets nothing that it could exchange: set tokens.signing_key, and "
            'credential = "identity" or another one on the resource',
        )


def _check_target(
    by_path: dict[str, Resource],
    path: str,
    target: ExchangeTarget,
    clients: set[ClientId],
    key: str,
) -> None:
    resource = by_path.get(path)
    if resource is None:
        raise ConfigError(f"{key}.path", "must be the path of a [[resource]]")
    if not set(target.scopes) <= set(resource.all_scopes):
        known = ", ".join(resource.all_scopes) or "it has none"
        raise ConfigError(f"{key}.scopes", f"may hold the scopes of that resource: {known}")
    if resource.scopes and not target.scopes:
        raise ConfigError(f"{key}.scopes", "is empty, and the resource asks for scopes")
    if target.may_act is not None and target.may_act not in clients:
        raise ConfigError(f"{key}.may_act", "must be the client_id of a client that may exchange")
