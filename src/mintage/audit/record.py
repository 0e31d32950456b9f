"""One event as a record of the audit trail: JSON, with ECS names where ECS has one. Pure."""

import datetime as dt
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from mintage.audit.categories import CATEGORIES, OTHER
from mintage.events.event import Event, Subject

SCHEMA: Final = 1
"""The version of the records. It grows when a field changes its name or its meaning."""

_ECS: Final = "8.17.0"
_MAX_TEXT: Final = 1000  # characters: a provider's error code may have any length
_OF_ALL: Final = frozenset({"party", "origin", "reason"})


@dataclass(frozen=True, slots=True)
class Recorder:
    """Makes records. *host*, *pid*: of this process.

    *hash_key*: users are named by a keyed hash under it; None: by their subject.
    """

    host: str
    pid: int
    hash_key: bytes | None = field(default=None, repr=False)

    def record(self, event: Event, *, at: float, record_id: str) -> dict[str, Any]:
        """The record of *event*, which happened *at* that time (seconds since the epoch)."""
        kind, party, origin = CATEGORIES.get(event.action, OTHER), event.party, event.origin
        said = {
            name: value
            for name, value in msgspec.structs.asdict(event).items()
            if name not in _OF_ALL
        }
        return _without_nothing(
            {
                "@timestamp": _time(at),
                "ecs": {"version": _ECS},
                "event": {
                    "id": record_id,
                    "kind": "event",
                    "dataset": "mintage.audit",
                    "action": event.action,
                    "category": [kind.category],
                    "type": [kind.type],
                    "outcome": kind.outcome,
                    "reason": getattr(event, "reason", None),
                },
                "service": {"name": "mintage"},
                "host": {"name": self.host},
                "process": {"pid": self.pid},
                "user": None if party.subject is None else self._user(party.subject),
                "client": {"address": origin.address},
                "http": {"request": {"id": origin.reference}},
                "trace": {"id": origin.trace_id},
                "mintage": {
                    "schema": SCHEMA,
                    "client_id": party.client_id,
                    "resource": party.resource,
                    "provider": party.provider,
                    "grant": party.grant,
                    **said,
                },
            }
        )

    def _user(self, who: Subject) -> dict[str, str]:
        if self.hash_key is None:
            return {"id": who.subject, "domain": who.issuer}
        named = f"{who.issuer}\0{who.subject}".encode("utf-8", "surrogatepass")
        return {"hash": hmac.new(self.hash_key, named, hashlib.sha256).hexdigest()[:32]}


def _time(at: float) -> str:
    time = dt.datetime.fromtimestamp(at, dt.UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_nothing(value: dict[str, Any]) -> dict[str, Any]:
    """*value* without members that say nothing, and with texts of a limited length."""
    found: dict[str, Any] = {}
    for name, member in value.items():
        kept = _limited(member)
        if kept is not None and kept not in ((), {}, ""):
            found[name] = kept
    return found


def _limited(member: Any) -> Any:
    match member:
        case dict():
            return _without_nothing(member)
        case str():
            return member[:_MAX_TEXT]
        case _:
            return member
