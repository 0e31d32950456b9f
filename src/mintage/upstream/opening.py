"""From settings to an upstream."""

from mintage.upstream.oidc import OIDCUpstream
from mintage.upstream.presets import find_preset
from mintage.upstream.protocol import Transport, Upstream
from mintage.upstream.settings import UpstreamSettings
from mintage.values import Clock


def open_upstream(settings: UpstreamSettings, transport: Transport, clock: Clock) -> Upstream:
    """The upstream that *settings* describe. Nothing is asked of it yet: it may be down."""
    return OIDCUpstream(settings, find_preset(settings.preset), transport, clock)
