"""What many grants have in common is in memory once: client, resource, scopes and issuer."""

from collections.abc import Hashable
from typing import Final, TypeVar

from msgspec.structs import force_setattr

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.grants.states import Active

T = TypeVar("T", bound=Hashable)

_MOST: Final = 4096  # parts; one more forgets the one that was seen first


class SharedParts:
    """Replaces parts of a grant by equal ones that an earlier grant has."""

    def __init__(self, most: int = _MOST) -> None:
        self._known: BoundedMemory[Hashable, Hashable] = BoundedMemory(most)

    def share(self, grant: Active) -> None:
        """Let *grant* have its parts in common with others. It is the same value afterwards."""
        login, identity, upstream = grant.login, grant.login.identity, grant.upstream
        force_setattr(login, "client_id", self._one(login.client_id))
        force_setattr(login, "resource", self._one(login.resource))
        force_setattr(login, "scopes", self._one(login.scopes))
        force_setattr(identity, "issuer", self._one(identity.issuer))
        if upstream is not None and upstream.issuer is not None:
            force_setattr(upstream, "issuer", self._one(upstream.issuer))

    def _one(self, part: T) -> T:
        known = self._known.get(part)
        if known is None:
            self._known[part] = part
            return part
        return known  # type: ignore[return-value]  # it is equal to *part*, and of its type
