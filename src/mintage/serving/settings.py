"""The section ``[server]``: what one client, and all of them together, may use of the server."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

_Seconds = Annotated[int, Meta(ge=1, le=86400)]

# Descriptors that are left for the store, the log and the provider when all others are taken.
_SPARE_FILES: Final = 256


class ServerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: limits for what clients may use. Each holds for one process.

    *max_head_bytes*: request line, headers and trailers together; *max_header_bytes*: one of them.
    *head_seconds*: from the first byte of a request to the end of its headers. *body_seconds*:
    without a byte of a body that was announced. *body_min_rate*: bytes a second that a body must
    reach on average once *body_seconds* have passed; 0: no limit. *keep_alive_seconds*: between two
    requests of one connection. *max_pipelined*: requests that may wait behind one that has no
    response yet. *client_gone_seconds*: a client that does not respond for so long counts as
    disconnected.
    """

    max_head_bytes: Annotated[int, Meta(ge=1024, le=65536)] = 65536
    max_header_bytes: Annotated[int, Meta(ge=1024, le=65536)] = 32768
    max_headers: Annotated[int, Meta(ge=10, le=200)] = 200
    head_seconds: _Seconds = 20
    body_seconds: _Seconds = 60
    body_min_rate: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    keep_alive_seconds: _Seconds = 75
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192
    max_connections_per_address: Annotated[int, Meta(ge=1, le=1_000_000)] = 1024
    max_pipelined: Annotated[int, Meta(ge=0, le=1000)] = 16
    client_gone_seconds: Annotated[int, Meta(ge=4, le=7200)] = 60


def affordable(max_connections: int, files: int) -> int:
    """How many connections *files* descriptors are enough for, at most *max_connections*.

    Each may need a second descriptor, for a backend.
    """
    return max(1, min(max_connections, (files - _SPARE_FILES) // 2))
