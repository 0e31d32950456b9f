"""One event as a record of the audit trail: JSON, with ECS names where ECS has one. Pure."""

import datetime as dt
import hashlib
import hmac
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from mintage.audit.categories import CATEGORIES, OTHER
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.events.event import Event, Party, Subject
from mintage.partly_shown import PartlyShown

SCHEMA: Final = 1
"""The version of the records. It grows when a field changes its name or its meaning."""

_ECS: Final = "8.17.0"
_MAX_TEXT: Final = 1000  # characters: a provider's error code may have any length
_MAX_HASHES: Final = 1000
_ELSEWHERE: Final = frozenset({"party", "origin", "reason", "subject"})  # in ECS's own fields


class _What(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    kind: str
    dataset: str
    action: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    outcome: str
    reason: str | None = None


_encoder: Final = msgspec.json.Encoder()


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))


_ECS_PART: Final = _raw({"version": _ECS})
_SERVICE: Final = _raw({"name": "mintage"})


class Recorder(PartlyShown, frozen=True):
    """Makes records. *host*, *pid*: of this process.

    *hash_key*: users are named by a keyed hash under it; None: by their subject.
    """

    not_shown = ("hash_key", "_hashes")

    host: str
    pid: int
    hash_key: bytes | None = None
    _hashes: BoundedMemory[Subject, str] = msgspec.field(
        default_factory=lambda: BoundedMemory(_MAX_HASHES)
    )

    def line(
        self, event: Event, *, at: float, record_id: str, dropped: int = 0, left_out: int = 0
    ) -> bytes:
        """The record of *event*, with the end of its line.

        *at*: when it happened, in seconds since the epoch. *dropped*: how many records before it
        were dropped. *left_out*: how many refusals of the same user by a limit had none before
        it. What is not known is left out.
        """
        kind, party, origin = CATEGORIES.get(event.action, OTHER), event.party, event.origin
        reason = getattr(event, "reason", None)
        what = _What(
            record_id, "event", "mintage.audit", event.action, (kind.category,), (kind.type,),
            kind.outcome, reason and reason[:_MAX_TEXT],
        )  # fmt: skip
        record: dict[str, object] = {
            "@timestamp": _time(at),
            "ecs": _ECS_PART,
            "event": what,
            "service": _SERVICE,
            "host": {"name": self.host},
            "process": {"pid": self.pid},
        }
        if party.subject is not None:
            record["user"] = self._user(party.subject)
        if origin.address is not None:
            record["client"] = {"address": origin.address}
        if origin.reference is not None:
            record["http"] = {"request": {"id": origin.reference}}
        if origin.trace_id is not None:
            record["trace"] = {"id": origin.trace_id}
        record["mintage"] = _ours(event, dropped=dropped, left_out=left_out)
        return _encoder.encode(record) + b"\n"

    def _user(self, who: Subject) -> dict[str, str]:
        if self.hash_key is None:
            return {"id": who.subject, "domain": who.issuer}
        if (known := self._hashes.get(who)) is None:
            named = f"{who.issuer}\0{who.subject}".encode("utf-8", "surrogatepass")
            known = hmac.new(self.hash_key, named, hashlib.sha256).hexdigest()[:32]
            self._hashes[who] = known
        return {"hash": known}


def _ours(event: Event, **counts: int) -> dict[str, Any]:
    """What ECS has no names for. Texts have a limited length."""
    found: dict[str, Any] = {"schema": SCHEMA}
    for part in (event.party, event):
        for name in _names(type(part)):
            value = getattr(part, name)
            if value is None or value == ():
                continue
            found[name] = value[:_MAX_TEXT] if isinstance(value, str) else value
    if any(counts.values()):
        found |= {name: count for name, count in counts.items() if count}
    return found


@cache
def _names(kind: type[Party] | type[Event]) -> list[str]:
    """The members of a part of an event that `_ours` takes."""
    return [name for name in kind.__struct_fields__ if name not in _ELSEWHERE]


def _time(at: float) -> str:
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}"
