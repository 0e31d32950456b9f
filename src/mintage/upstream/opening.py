"""From settings to an upstream."""

from mintage.upstream.client import ProviderClient
from mintage.upstream.presets import find_preset
from mintage.upstream.protocol import Transport, Upstream
from mintage.upstream.provider import resolve_upstream
from mintage.upstream.settings import UpstreamSettings
from mintage.values import Clock


def open_upstream(
    settings: UpstreamSettings, transport: Transport, clock: Clock, steady: Clock | None = None
) -> Upstream:
    """The upstream that *settings* describe. Nothing is asked of it yet: it may be down.

    *clock* is the time of day, *steady* a clock that is never set (None: *clock*).
    """
    provider = resolve_upstream(find_preset(settings.preset), settings)
    return ProviderClient(settings, provider, transport, clock, steady or clock)
