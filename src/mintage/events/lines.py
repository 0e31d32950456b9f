"""A line in the log for each security event. It names no user: the audit trail does."""

import logging
from typing import Final

from mintage.events.event import Event
from mintage.events.requests import RequestRefused

log = logging.getLogger("mintage.events")

_MAX_CLIENT: Final = 60  # characters of a client_id, which may be a whole registration


def log_event(event: Event) -> None:
    """Log *event* at INFO. What was refused has its own line, with the reason."""
    if isinstance(event, RequestRefused) or not log.isEnabledFor(logging.INFO):
        return
    party = event.party
    said = {
        "grant": party.grant,
        "client": party.client_id and party.client_id[:_MAX_CLIENT],
        "provider": party.provider,
        "by": getattr(event, "by", None),
        "reason": getattr(event, "reason", None),
    }
    told = ", ".join(f"{name} {value}" for name, value in said.items() if value)
    log.info("%s%s", event.action, f": {told}" if told else "")
