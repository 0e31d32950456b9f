"""The settings of one provider among several."""

from typing import Any

from mintage.testing.fake_upstream import FakeUpstream


def section(upstream: FakeUpstream, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "issuer": upstream.issuer,
        "client_id": upstream.client_id,
        "client_secret": "env:UPSTREAM_SECRET",
    } | more
