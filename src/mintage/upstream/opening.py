"""Makes the client of an identity provider."""

from mintage.upstream.client import HttpUpstreamClient
from mintage.upstream.protocol import Transport
from mintage.upstream.upstream import Upstream
from mintage.values import Clock


def open_upstream(
    upstream: Upstream, transport: Transport, clock: Clock, steady: Clock | None = None
) -> HttpUpstreamClient:
    """A client of *upstream*. It sends nothing yet, so the provider may be down.

    *clock* is the time of day, *steady* a clock that cannot be set (None: *clock*).
    """
    return HttpUpstreamClient(upstream, transport, clock, steady or clock)
