"""The limits of one server, as its settings say."""

from typing import Final

from mintage.concurrency.rate_limits import RateLimit
from mintage.settings.limits import LimitsSection
from mintage.values import Clock

_LATER: Final = "try again when Retry-After says"
_TOKENS_STAY: Final = f"{_LATER}: your tokens stay valid"


class Limits:
    """*clock* cannot be set. Each limit raises `TooManyRequests`."""

    def __init__(self, section: LimitsSection, clock: Clock) -> None:
        self.requests = RateLimit(
            section.requests_per_user,
            f"this user sends too many requests; {_TOKENS_STAY}",
            clock=clock,
        )
        self.refreshes = RateLimit(
            section.refreshes_per_login,
            f"this login is refreshed too often; {_TOKENS_STAY}",
            clock=clock,
        )
        self.machines = RateLimit(
            section.tokens_per_machine,
            f"this client gets too many tokens: use each until it ends, and {_LATER}",
            clock=clock,
        )
        self.registrations_by_address = RateLimit(
            section.registrations_per_address,
            f"too many clients register from this address; {_LATER}",
            clock=clock,
        )
        self.pushed_requests_by_address = RateLimit(
            section.pushed_requests_per_address,
            f"too many requests are pushed from this address; {_LATER}",
            clock=clock,
        )
        self.device_requests_by_address = RateLimit(
            section.device_requests_per_address,
            f"too many devices ask from this address; {_LATER}",
            clock=clock,
        )
        self.device_requests = RateLimit(
            section.device_requests,
            f"too many devices ask here; {_LATER}",
            clock=clock,
        )
        self.user_codes_by_address = RateLimit(
            section.user_codes_per_address,
            f"too many codes were typed from this address; {_LATER}",
            clock=clock,
        )
        self.user_codes = RateLimit(
            section.user_codes,
            f"too many codes were typed here; {_LATER}",
            clock=clock,
        )
        self.registrations = RateLimit(
            section.registrations,
            f"too many clients register here; {_LATER}",
            clock=clock,
        )
