"""Gives a grant its number in the status list, in the same write that gives its client a token."""

from types import TracebackType
from typing import Self

from msgspec.structs import replace

from mintage.errors import StoreUnavailable
from mintage.grants.states import Active
from mintage.grants.status import Slot, with_slot
from mintage.grants.transitions import Write
from mintage.values import Clock
from mintage.vault.status_slots import StatusSlots
from mintage.vault.values import Decision, Lifetimes


class Numbering:
    """For one request: ``async with`` takes a number, and the call puts it into a decision.

    A number that no decision used is given back. Without a status list it does nothing.
    """

    __slots__ = ("_clock", "_lifetimes", "_slot", "_status", "_used")

    def __init__(self, status: StatusSlots | None, lifetimes: Lifetimes, clock: Clock) -> None:
        self._status = status
        self._lifetimes = lifetimes
        self._clock = clock
        self._slot: Slot | None = None
        self._used = False

    async def __aenter__(self) -> Self:
        if self._status is not None:
            self._slot = await self._status.take()
        return self

    def __call__(self, outcome: Decision) -> Decision:
        """*outcome*, with a number for the tokens of a grant that is written."""
        if self._slot is None or not isinstance(outcome, Write):
            return outcome
        return Write(self.numbered(outcome.grant))

    def numbered(self, grant: Active) -> Active:
        """*grant*, which gets new tokens, with a number for them. Raises `StoreUnavailable`."""
        if self._slot is None:
            return grant
        exp = grant.rotated_at + self._lifetimes.access
        try:
            slots = with_slot(grant.slots, self._slot, exp=exp, now=int(self._clock()))
        except ValueError as error:
            raise StoreUnavailable(f"the request took too long: {error}") from error
        self._used = self._used or slots[-1] is self._slot
        return grant if slots == grant.slots else replace(grant, slots=slots)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None and self._slot is not None and not self._used:
            self._status.give_back(self._slot)
