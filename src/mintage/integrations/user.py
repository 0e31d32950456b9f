"""What every integration needs: settings from keyword arguments, and the user of a request."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar

import msgspec

from mintage.access.emails import without_unverified_email
from mintage.access.scopes import Hierarchy
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import InsufficientScope
from mintage.grants.states import Active
from mintage.resource.bearer import Access
from mintage.resource.upstream_token import upstream_token
from mintage.settings.load import Config, parse
from mintage.site.resource import Resource
from mintage.values import ClientId, Scopes
from mintage.vault.values import OpenGrant
from mintage.vault.vault import Vault

Table: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

_MAX_KNOWN: Final = 2000


def config_of(
    *,
    issuer: str,
    upstream: Table | Sequence[Table] | None,
    resource: Table | Sequence[Table],
    **more: Any,
) -> Config:
    """The configuration from keyword arguments: the settings of ``mintage.toml``, tables as dicts.

    Relative paths are relative to the working directory. Raises `ConfigError`.
    """
    data = {"issuer": issuer, "resource": _listed(resource), **more}
    if upstream is not None:
        data["upstream"] = upstream
    return parse(data, base=Path.cwd(), environ=dict(os.environ))


def _listed(tables: Table | Sequence[Table]) -> list[Table]:
    return [tables] if isinstance(tables, Mapping) else list(tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The user of a request, and what the client that calls for them may do.

    Args:
        client_id: The client that calls (RFC 6749 §2.2).
        issuer: The identity provider.
        subject: The user's identifier at the identity provider (OpenID Connect Core §2).
        scopes: The scopes of the token.
        resource: The audience of the token: the URL of this resource (RFC 8707).
        expires_at: When the token ends, in seconds since the epoch.
    """

    client_id: ClientId
    issuer: str
    subject: str
    scopes: Scopes
    resource: str
    expires_at: int
    _resource: Resource = field(repr=False, compare=False)
    _opened: OpenGrant = field(repr=False, compare=False)
    _hierarchy: Hierarchy = field(repr=False, compare=False)
    _vault: Vault = field(repr=False, compare=False)

    @classmethod
    def of(cls, access: Access, resource: Resource, hierarchy: Hierarchy, vault: Vault) -> Self:
        """The user of a token. Code of this package calls it.

        Args:
            access: What the check of the token returned.
            resource: The resource that the request is for.
            hierarchy: Which scopes a scope includes.
            vault: The grants.

        Returns:
            The user.
        """
        login = access.opened.grant.login
        return cls(
            client_id=access.client_id,
            issuer=login.identity.issuer,
            subject=login.identity.subject,
            scopes=access.scopes,
            resource=resource.identifier,
            expires_at=int(access.ends_at),
            _resource=resource,
            _opened=access.opened,
            _hierarchy=hierarchy,
            _vault=vault,
        )

    @property
    def grant(self) -> Active:
        """The grant as it was when the request came. Code of this package uses it."""
        return self._opened.grant

    @property
    def claims(self) -> dict[str, Any]:
        """What the identity provider says about the user: e-mail, name, groups and so on. A copy.

        ``email`` is in it only if the provider says that it verified the address.
        """
        claims = without_unverified_email(self._opened.grant.login.identity.claims)
        copied: dict[str, Any] = msgspec.to_builtins(claims)
        return copied

    @property
    def all_scopes(self) -> frozenset[str]:
        """The token's scopes, and the scopes that they include (``[scopes] implies``)."""
        return self._hierarchy.reach(self.scopes)

    def may(self, *scopes: str) -> bool:
        """Whether the token has all of some scopes.

        Args:
            scopes: The scopes.

        Returns:
            True if the token has each of them, or one that includes it.
        """
        return self._hierarchy.covers(self.scopes, scopes)

    def require(self, *scopes: str) -> None:
        """Refuse the request unless the token has all of some scopes.

        Args:
            scopes: The scopes.

        Raises:
            InsufficientScope: One is missing (RFC 6750 §3.1). It names all that the request takes.
            RuntimeError: No token can have one of them, because the resource does not list it.
        """
        if self.may(*scopes):
            return
        if unknown := set(scopes).difference(self._resource.all_scopes):
            raise RuntimeError(
                f"no token can have the scope {min(unknown)}: add it to the optional_scopes of "
                f"{self.resource}"
            )
        raise InsufficientScope(tuple(dict.fromkeys((*self._resource.scopes, *scopes))))

    def as_token(self) -> dict[str, Any]:
        """The user as the MCP SDK and FastMCP describe a token.

        Returns:
            ``client_id``, ``scopes``, ``expires_at``, ``resource``, ``subject`` and ``claims``.
        """
        return {
            "client_id": self.client_id,
            "scopes": sorted(self.all_scopes),  # they know of none that hold others
            "expires_at": self.expires_at,
            "resource": self.resource,
            "subject": self.subject,
            "claims": self.claims | {"iss": self.issuer, "sub": self.subject},
        }

    async def upstream_token(self) -> str:
        """The user's access token at the identity provider. It is renewed if it is about to end.

        Returns:
            The token.

        Raises:
            AccessDenied: Nobody logged in at the provider for this token: a client or a workload
                acts for itself, or another provider asserted who the user is.
            InvalidToken: The login has ended at the provider: the user must log in again.
            UpstreamError: The provider can't be asked just now.
            StoreError: The store can't be read just now.
        """
        return await upstream_token(self._opened, self._vault)


class PerGrant(Generic[T]):
    """What is made of a token and its grant, for as long as neither changes.

    Only one whose token was checked for this very request can be asked for: nothing in here says
    that a token or a grant is still good.
    """

    def __init__(self) -> None:
        self._made: BoundedMemory[int, tuple[OpenGrant, T]] = BoundedMemory(_MAX_KNOWN)

    def of(self, access: Access) -> T | None:
        """What was kept for the same token with the same grant, or None."""
        opened = access.opened  # made for this token alone, and anew when its grant has changed
        known = self._made.get(id(opened))
        return known[1] if known is not None and known[0] is opened else None

    def keep(self, access: Access, made: T) -> T:
        """Keep *made*, and return it. A browser's session is a new one each time, and not kept."""
        if not access.by_cookie:
            self._made[id(access.opened)] = (access.opened, made)
        return made
