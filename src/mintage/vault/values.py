"""What goes into the vault's calls and what comes out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from mintage.grant import Active, Grant, Keep, Reason, Refuse, Revoke, UpstreamTokens, Write

Renew: TypeAlias = Callable[[UpstreamTokens], Awaitable[UpstreamTokens]]
Decision: TypeAlias = Keep | Write | Refuse | Revoke
Decide: TypeAlias = Callable[[Grant], Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """All in seconds. *upstream_margin*: how long before its end an upstream token is renewed."""

    code: int = 60
    access: int = 3600
    refresh: int = 2_592_000
    grace: int = 60
    upstream_margin: int = 60
    lease: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultKeys:
    """Purpose keys of 32 bytes each: *seal* for records, *index* for the names of lists."""

    seal: bytes = field(repr=False)
    index: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A live grant, and the secret that opened it."""

    secret: bytes = field(repr=False)
    grant: Active = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not. *ended*: upstream tokens that just lost their grant, for the upstream to revoke."""

    reason: Reason
    ended: UpstreamTokens | None = None
