"""What a vault is built with: its settings, and the functions that reach the providers."""

from collections.abc import Callable
from typing import Final

import msgspec

from mintage.errors import UpstreamUnavailable
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.values import Clock, RandomBytes
from mintage.vault.values import Lifetimes, Renew, ReportEnded, VaultKeys

DEFAULT_MAX_GRANTS: Final = 20


def forget(_: UpstreamTokens) -> None:
    """For *ended*: upstream tokens without a grant stay valid until they expire."""


async def ask_nobody(_: UpstreamTokens, __: Identity) -> Renewed:
    """For *renew*, in a process that opens no connection to a provider."""
    raise UpstreamUnavailable("this process asks no identity provider")


class VaultSettings(msgspec.Struct, frozen=True, kw_only=True):
    """*keys*: the first encrypts, all decrypt.

    *clock* is the time of day, *steady* a clock that cannot be set, for pauses and caches.
    *max_grants*: how many grants one user may have at one client; a new one ends the oldest.
    """

    keys: tuple[VaultKeys, ...]
    clock: Clock
    steady: Clock
    random_bytes: RandomBytes
    lifetimes: Lifetimes = msgspec.field(default_factory=Lifetimes)
    max_grants: int = DEFAULT_MAX_GRANTS


class ProviderCalls(msgspec.Struct, frozen=True, kw_only=True):
    """*renew* asks the provider for new tokens; see `Renew`.

    *ended* gets the upstream tokens of each grant that ends, and those that came when their grant
    had ended; see `ReportEnded`. *knows*: whether the provider that issued upstream tokens is
    configured; no other provider gets them. *admits*: whether the rules, as they are now, let a
    user in.
    """

    renew: Renew = ask_nobody
    ended: ReportEnded = forget
    knows: Callable[[UpstreamTokens], bool] = lambda _: True
    admits: Callable[[Identity], bool] = lambda _: True

    @property
    def tells(self) -> bool:
        """Whether the provider hears which grants have ended."""
        return self.ended is not forget
