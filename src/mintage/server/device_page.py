"""What the page at ``/device`` says about a device's request. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from mintage.server.choosing import asked_of
from mintage.server.client_address import network_of
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream
from mintage.vault.device_requests import DeviceRequest


def device_values(
    wanted: DeviceRequest,
    offered: Sequence[RegisteredUpstream],
    site: Site,
    scope_texts: Mapping[str, str],
    *,
    now: int,
    address: str | None,
) -> dict[str, Any]:
    """The values of the template. *address*: of the browser that shows the page."""
    named = (wanted.resource, *wanted.more_resources)
    standing = "vouched" if wanted.vouched else "published" if wanted.host else "claimed"
    asked_at = dt.datetime.fromtimestamp(wanted.created_at, tz=dt.UTC)
    return {
        "app": wanted.client_name,
        "standing": standing,
        "client_host": wanted.host,
        "from_address": wanted.address,
        "elsewhere": wanted.address is not None
        and network_of(wanted.address) != network_of(address),
        "asked_at": {"shown": asked_at.strftime("%H:%M UTC"), "exact": asked_at.isoformat()},
        "minutes": max(0, now - wanted.created_at) // 60,
        "resources": [found for name in named if (found := site.resource(name)) is not None],
        "scopes": [{"name": scope, "text": scope_texts.get(scope)} for scope in wanted.scopes],
        "upstreams": [
            {"name": u.name, "title": u.title, "scopes": asked_of(u, wanted.scopes, site)}
            for u in offered
        ],
    }
