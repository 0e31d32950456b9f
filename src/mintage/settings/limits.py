"""The section ``[limits]``: how often a user, a login or an address may do something."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

DEFAULT_REQUESTS_PER_USER: Final = 60_000

_PerMinute = Annotated[int, Meta(ge=0, le=100_000_000)]


class LimitsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: how often a user, a login or an address may do something.

    They hold for each process: [limits](how-to/limit-requests.md).
    """

    requests_per_user: _PerMinute = DEFAULT_REQUESTS_PER_USER
    """Requests of one user at one resource in a minute, with all clients; 0: no limit."""
    refreshes_per_login: _PerMinute = 300
    """Refreshes of one login (a user with a client) in a minute; 0: no limit."""
    tokens_per_machine: _PerMinute = 6_000
    """Tokens that one client or workload gets for itself in a minute; 0: no limit."""
    registrations_per_address: _PerMinute = 1_200
    """Registrations from one address in a minute; 0: no limit."""
    registrations: _PerMinute = 12_000
    """Registrations in a minute, from all addresses; 0: no limit."""
    pushed_requests_per_address: _PerMinute = 1_200
    """Pushed authorization requests from one address in a minute; 0: no limit."""
    device_requests_per_address: _PerMinute = 30
    """Requests of devices for a code, from one address in a minute; 0: no limit."""
    device_requests: _PerMinute = 600
    """Requests of devices for a code in a minute, from all addresses; 0: no limit. Each stores a
    small record until the code expires.
    """
    user_codes_per_address: _PerMinute = 30
    """Codes that people type at `/device`, from one address in a minute; 0: no limit."""
    user_codes: _PerMinute = 600
    """Codes that people type at `/device` in a minute, from all addresses; 0: no limit."""
