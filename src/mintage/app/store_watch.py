"""Watches the store while a server runs: its clock, its warnings, and its expired records."""

import asyncio
import logging

from mintage.errors import StoreError
from mintage.stores.protocol import SWEEP_MARGIN, Status, Store
from mintage.values import Clock

log = logging.getLogger("mintage.store")

CLOCK_TOLERANCE = 5.0
"""Seconds that clocks may differ by: `docs/reliability.md` promises no more."""


def clock_warning(status: Status, now: float, *, tolerance: float = CLOCK_TOLERANCE) -> str | None:
    """A sentence if the clock of this machine or of the store is wrong; otherwise None."""
    if status.time is None:
        return None
    ahead = now - status.time
    if abs(ahead) <= tolerance:
        return None
    direction = "ahead of" if ahead > 0 else "behind"
    return f"{abs(ahead):.0f} s {direction} the store's"


async def look(store: Store, machine: Clock) -> dict[str, str | float]:
    """The warnings about the store, and the numbers for monitoring.

    Warnings: ``clock``, ``notices``. Numbers, if the engine has them: ``clock_ahead_seconds``
    (of this machine's clock against the store's; negative: behind) and
    ``notification_queue_usage`` (0 to 1). *machine* is this machine's own clock.
    """
    status, now = await store.status(), machine()
    found: dict[str, str | float] = {}
    if status.warnings:
        found["notices"] = " ".join(status.warnings)
    if (off := clock_warning(status, now)) is not None:
        found["clock"] = off
    if status.time is not None:
        found["clock_ahead_seconds"] = round(now - status.time, 3)
    if status.notification_queue_usage is not None:
        found["notification_queue_usage"] = status.notification_queue_usage
    return found


async def greet(store: Store) -> None:
    """At the start: log the warnings about the store. None of them stops the start."""
    try:
        status = await store.status()
    except StoreError as error:
        log.warning("the store did not report its status: %s", error)
        return
    for warning in status.warnings:
        log.warning("%s", warning)


async def sweep(store: Store, clock: Clock) -> None:
    """Remove expired records, a bounded batch at a time, unless the clock is far ahead.

    *clock* is the one that tokens use: the store's own, unless the two are more than a day apart.
    """
    off = clock_warning(await store.status(), clock(), tolerance=SWEEP_MARGIN / 2)
    if off is not None and "ahead" in off:
        log.warning("this server removes no expired records: its clock is %s", off)
        return
    while await store.sweep() > 0:  # noqa: ASYNC110  (it waits for no event: it lets others in)
        await asyncio.sleep(0)
