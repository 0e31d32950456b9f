"""``[opentelemetry]``: whether Mintage makes spans and metrics with OpenTelemetry."""

import msgspec


class OpenTelemetrySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[opentelemetry]``. Where they go, the environment says: the variables ``OTEL_…``."""

    traces: bool = True
    metrics: bool = False
