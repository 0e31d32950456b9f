"""``[metrics]``: where Mintage serves its metrics for Prometheus."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from mintage.errors import ConfigError

_KEY: Final = "metrics.listen"


class MetricsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[metrics]``: the page for Prometheus is on if the file has this table."""

    listen: str = "127.0.0.1:9464"
    """Where Prometheus reads [the metrics](how-to/watch-an-installation.md): an address of this
    machine and a port.
    """


class MetricsAddress(msgspec.Struct, frozen=True):
    """Where the page for Prometheus listens."""

    host: str
    port: int


def read_metrics(section: MetricsSection | None) -> MetricsAddress | None:
    """The address in *section*; None without one. Raises `ConfigError`."""
    if section is None:
        return None
    try:
        parts = urlsplit(f"//{section.listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.netloc != section.listen or "@" in section.listen:
        raise ConfigError(_KEY, "write an address and a port: 127.0.0.1:9464, or [::1]:9464")
    return MetricsAddress(host, port)
