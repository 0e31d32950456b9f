"""The section ``[server]``: what one client, and all of them together, may use of the server."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

_Seconds = Annotated[int, Meta(ge=1, le=86400)]

# Descriptors that are left for the store, the log and the provider when all others are taken.
_SPARE_FILES: Final = 256


class ServerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: limits for what clients may use of the server. Each holds for one process."""

    max_head_bytes: Annotated[int, Meta(ge=1024, le=65536)] = 65536
    """How large request line, headers and trailers may be together."""
    max_header_bytes: Annotated[int, Meta(ge=1024, le=65536)] = 32768
    """How large one header may be."""
    max_headers: Annotated[int, Meta(ge=10, le=200)] = 200
    """How many headers a request may have."""
    head_seconds: _Seconds = 20
    """How long a client may take to send a request's head. Then it gets 408."""
    body_seconds: _Seconds = 60
    """How long a request's body may pause. Then the client gets 408."""
    body_min_rate: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """Bytes a second that a body must reach on average, once `body_seconds` have passed; 0 turns
    the check off.
    """
    keep_alive_seconds: _Seconds = 75
    """How long a connection stays open between two requests. Keep it above your load balancer's
    time (most have 60).
    """
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192
    """Open client connections for each process. At the limit, Mintage closes the connection that
    has been idle longest (at least a second, no request in progress) to accept a new one. If none
    is idle, the new one gets 503. Each connection may need two files (`ulimit -n`).
    """
    max_connections_per_address: Annotated[int, Meta(ge=1, le=1_000_000)] = 1024
    """How many of these one address may have (IPv6: one /64). Mintage does not count addresses in
    `gateway.trusted_proxies` and Unix sockets.
    """
    max_pipelined: Annotated[int, Meta(ge=0, le=1000)] = 16
    """Requests that may wait behind another one on the same connection."""
    client_gone_seconds: Annotated[int, Meta(ge=4, le=7200)] = 60
    """Mintage closes the connection of a client that disappeared, or does not read its response,
    after so many seconds.
    """


def affordable(max_connections: int, files: int) -> int:
    """How many connections *files* descriptors are enough for, at most *max_connections*.

    Each may need a second descriptor, for a backend.
    """
    return max(1, min(max_connections, (files - _SPARE_FILES) // 2))
