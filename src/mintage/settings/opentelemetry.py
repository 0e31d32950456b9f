"""``[opentelemetry]``: whether Mintage makes spans and metrics with OpenTelemetry."""

import msgspec


class OpenTelemetrySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[opentelemetry]``: it is on if the file has this table.

    The variables ``OTEL_…`` of the environment say where it goes.
    """

    traces: bool = True
    """[Spans with
    OpenTelemetry](how-to/watch-an-installation.md#follow-a-request-with-opentelemetry).
    """
    metrics: bool = False
    """The metrics with OpenTelemetry."""
