"""The section ``[par]``: pushed authorization requests (RFC 9126)."""

from typing import Annotated

import msgspec
from msgspec import Meta


class ParSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[par]``: pushed authorization requests (RFC 9126).

    Clients may always push: [how to](how-to/push-authorization-requests.md).
    """

    required: bool = False
    """Whether all clients must push their authorization requests."""
    lifetime: Annotated[int, Meta(ge=5, le=600)] = 90
    """For how many seconds a `request_uri` may be opened."""
