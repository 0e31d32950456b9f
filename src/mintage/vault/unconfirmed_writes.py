"""Writes whose answer was lost, remembered until Mintage knows whether they happened.

A store can fail after it wrote and before it answered. Then the client gets an error, although
its grant has changed. When the client asks again, the vault must not treat that as a replay:
the client never got the first answer.
"""

from typing import Final

from msgspec.structs import replace

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.grants.states import Active, Grant, Pending
from mintage.grants.transitions import Write
from mintage.vault.values import Decide

_MAX: Final = 1000


class UnconfirmedWrites:
    def __init__(self) -> None:
        self._writes: BoundedMemory[bytes, tuple[bytes, Grant]] = BoundedMemory(_MAX)

    def remember(self, key: bytes, record: bytes, before: Grant) -> None:
        """*record* may or may not have replaced *before*."""
        self._writes[key] = (record, before)

    def forget(self, key: bytes) -> None:
        self._writes.pop(key, None)

    def written(self, key: bytes, record: bytes) -> Pending | Active | None:
        """The live grant before *record*, if that is such a write. Returned only once."""
        written, before = self._writes.get(key, (None, None))
        if written != record or not isinstance(before, Pending | Active):
            return None
        self.forget(key)
        return before

    def earned(self, key: bytes, record: bytes, grant: Grant, decision: Decide) -> bool:
        """Whether *grant*, as in *record*, is what *decision* would have made of the grant before.

        It is called for a request that is refused now: if so, it is the same request again.
        """
        written, before = self._writes.get(key, (None, None))
        if written != record or before is None or not isinstance(grant, Active):
            return False
        again = decision(before)
        # The write may have had the upstream's new tokens in it: those are no request's doing.
        return isinstance(again, Write) and grant == replace(
            again.grant,
            rotated_at=grant.rotated_at,
            login=grant.login,
            upstream=grant.upstream,
            unanswered_since=grant.unanswered_since,
            lease=grant.lease,
            slots=grant.slots,
        )
