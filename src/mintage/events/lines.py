"""A line in the log for each security event. It names no user: the audit trail does."""

import logging
from functools import cache, lru_cache
from typing import Final

from mintage.events.event import Event
from mintage.events.grants import GrantEnded
from mintage.events.requests import RequestRefused
from mintage.events.tokens import AssertionReplayed, TokenReused

log = logging.getLogger("mintage.events")

EVENT: Final = "mintage_event"
"""The attribute of a log record with its event: see `fields_of`, which a line of text does not
need."""

_OF_THEFT: Final = (TokenReused, AssertionReplayed)
_MAX_CLIENT: Final = 200  # characters of a client_id; one that registered has about 100


def log_event(event: Event) -> None:
    """Log *event*: at WARNING if it is a sign of theft, others at INFO.

    What was refused has its own line, with the reason.
    """
    if isinstance(event, RequestRefused):
        return
    by_reuse = isinstance(event, GrantEnded) and event.by == "reuse"
    stolen = by_reuse or isinstance(event, _OF_THEFT)
    level = logging.WARNING if stolen else logging.INFO
    if not log.isEnabledFor(level):
        return
    party = event.party
    told = _names(party.client_id, party.provider)
    if party.grant:
        told = f"grant {party.grant}, {told}" if told else f"grant {party.grant}"
    for name in _more(type(event)):
        if value := getattr(event, name):
            more = name if value is True else f"{name} {value}"
            told = f"{told}, {more}" if told else more
    line = f"{event.action}: {told}" if told else event.action
    # Not by `log.info`: it would look for its caller, which is always this function.
    record = log.makeRecord(log.name, level, __file__, _LINE, line, (), None, log_event.__name__)
    setattr(record, EVENT, event)
    log.handle(record)


_LINE: Final = log_event.__code__.co_firstlineno


def fields_of(event: Event) -> dict[str, object]:
    """What the line of *event* says, as members of an object."""
    party = event.party
    fields: dict[str, object] = {
        "event": event.action,
        "grant": party.grant,
        "client_id": party.client_id and _cut(party.client_id),
        "provider": party.provider,
    }
    fields |= {name: getattr(event, name) for name in _more(type(event))}
    return {name: value for name, value in fields.items() if value}


@lru_cache(maxsize=64)
def _names(client_id: str | None, provider: str | None) -> str:
    """The client and the provider in a line."""
    told = []
    if client_id:
        told.append(f"client {_cut(client_id)}")
    if provider:
        told.append(f"provider {provider}")
    return ", ".join(told)


def _cut(client_id: str) -> str:
    """*client_id*, with a mark if it is too long for a line."""
    return client_id if len(client_id) <= _MAX_CLIENT else f"{client_id[:_MAX_CLIENT]}…"


@cache
def _more(kind: type[Event]) -> list[str]:
    """The members that this kind of event has beside the others, and that its line shows."""
    return [name for name in ("by", "reason", "repeated") if name in kind.__struct_fields__]
