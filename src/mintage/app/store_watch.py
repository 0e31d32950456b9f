"""The store while a server runs: its clock against ours, its warnings, and what has expired."""

import asyncio
import logging

from mintage.errors import StoreError
from mintage.stores.protocol import SWEEP_MARGIN, Status, Store
from mintage.values import Clock

log = logging.getLogger("mintage.store")

CLOCK_TOLERANCE = 5.0
"""Seconds that clocks may differ by: `docs/reliability.md` promises no more."""


def clock_warning(status: Status, now: float, *, tolerance: float = CLOCK_TOLERANCE) -> str | None:
    """What is wrong with the clock of this machine, or with the store's; None if nothing is."""
    if status.time is None:
        return None
    ahead = now - status.time
    if abs(ahead) <= tolerance:
        return None
    direction = "ahead of" if ahead > 0 else "behind"
    return f"{abs(ahead):.0f} s {direction} the store's"


async def look(store: Store, machine: Clock) -> dict[str, str]:
    """What is not as it should be, by a word for each: ``clock``, ``notices``.

    *machine* is this machine's own clock.
    """
    status = await store.status()
    found = {"notices": " ".join(status.warnings)} if status.warnings else {}
    if (off := clock_warning(status, machine())) is not None:
        found["clock"] = off
    return found


async def greet(store: Store) -> None:
    """At the start: say in the log what is not as it should be. It stops nothing."""
    try:
        status = await store.status()
    except StoreError as error:
        log.warning("the store does not tell how it is: %s", error)
        return
    for warning in status.warnings:
        log.warning("%s", warning)


async def sweep(store: Store, clock: Clock) -> None:
    """Remove expired records, a bounded batch at a time; none by a clock that is far ahead.

    *clock* is that of the work: the store's own, unless the two are more than a day apart.
    """
    off = clock_warning(await store.status(), clock(), tolerance=SWEEP_MARGIN / 2)
    if off is not None and "ahead" in off:
        log.warning("expired records are left to other servers: this clock is %s", off)
        return
    while await store.sweep() > 0:  # noqa: ASYNC110  (it waits for no event: it lets others in)
        await asyncio.sleep(0)
