"""The section ``[limits]``: how often a user, a login or an address may do something."""

from typing import Annotated

import msgspec
from msgspec import Meta

_PerMinute = Annotated[int, Meta(ge=0, le=100_000_000)]


class LimitsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: per minute, and for each process. 0: no limit.

    *requests_per_user*: of one user at one resource, with all clients. *refreshes_per_login*: of
    one user's login with one client. *registrations_per_address*, *registrations*: of clients that
    register themselves, from one address and in all.
    """

    requests_per_user: _PerMinute = 60_000
    refreshes_per_login: _PerMinute = 300
    registrations_per_address: _PerMinute = 1_200
    registrations: _PerMinute = 12_000
