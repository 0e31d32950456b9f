"""A line in the log for each security event. It names no user: the audit trail does."""

import logging
from functools import cache
from typing import Final

from mintage.events.event import Event
from mintage.events.requests import RequestRefused

log = logging.getLogger("mintage.events")

_MAX_CLIENT: Final = 200  # characters of a client_id; one that registered has about 100


def log_event(event: Event) -> None:
    """Log *event* at INFO. What was refused has its own line, with the reason."""
    if isinstance(event, RequestRefused) or not log.isEnabledFor(logging.INFO):
        return
    party = event.party
    told = []
    if party.grant:
        told.append(f"grant {party.grant}")
    if party.client_id:
        cut = "…" if len(party.client_id) > _MAX_CLIENT else ""
        told.append(f"client {party.client_id[:_MAX_CLIENT]}{cut}")
    if party.provider:
        told.append(f"provider {party.provider}")
    if more := _more(type(event)):
        told += [f"{name} {value}" for name in more if (value := getattr(event, name))]
    log.info(f"{event.action}: {', '.join(told)}" if told else event.action)


@cache
def _more(kind: type[Event]) -> list[str]:
    """The members that this kind of event has beside the others, and that its line shows."""
    return [name for name in ("by", "reason") if name in kind.__struct_fields__]
