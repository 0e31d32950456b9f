"""Listens to security events, and puts a record for each into the trail."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from mintage.audit.record import Recorder
from mintage.audit.thinning import Thinning
from mintage.audit.trail import Trail
from mintage.events.event import Event
from mintage.events.requests import RequestRefused
from mintage.values import Clock, RandomBytes, Secret

Refusals: TypeAlias = Literal["signed_in", "all", "none"]
"""Of which requests that were refused there are records: of those with a live grant, by default."""

_ID_BYTES: Final = 12


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[audit]``, checked. *to*: the path of a file, ``stdout``, or the URL of a webhook."""

    to: Path | str
    hashed: bool = False
    refusals: Refusals = "signed_in"
    authorization: Secret | None = None
    signing_secret: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """An `Emit`. *clock* is the time of day."""

    trail: Trail
    recorder: Recorder
    refusals: Refusals
    clock: Clock
    random_bytes: RandomBytes
    _thinning: Thinning = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_thinning", Thinning(self.clock))

    def __call__(self, event: Event) -> None:
        """Put a record for *event* into the trail, if it is to have one."""
        if not self._is_wanted(event):
            return
        left_out = self._thinning.left_out(event) if isinstance(event, RequestRefused) else 0
        if left_out is None:
            return
        at, record_id = self.clock(), self.random_bytes(_ID_BYTES).hex()

        self.trail.put(
            lambda dropped: self.recorder.line(
                event, at=at, record_id=record_id, dropped=dropped, left_out=left_out
            )
        )

    def _is_wanted(self, event: Event) -> bool:
        if not isinstance(event, RequestRefused) or self.refusals == "all":
            return True
        return self.refusals == "signed_in" and event.party.grant is not None
