"""The audit trail of a server."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from mintage.audit.auditor import Auditor
from mintage.audit.opening import open_audit
from mintage.events.listeners import Listeners
from mintage.settings.load import Config
from mintage.values import Clock, RandomBytes


def attach_audit(
    config: Config,
    events: Listeners,
    *,
    clock: Clock,
    random_bytes: RandomBytes,
    stack: AsyncExitStack,
) -> Auditor | None:
    """The auditor of *config*, which listens to *events* until *stack* is closed; None for none."""
    if config.audit is None:
        return None
    auditor = open_audit(config.audit, config.secret, clock=clock, random_bytes=random_bytes)
    stack.push_async_callback(partial(asyncio.to_thread, auditor.trail.close))
    events.attach(auditor)
    return auditor


def notes_of(auditor: Auditor | None) -> Mapping[str, str | float]:
    """What ``/readyz`` says about the audit trail. It never makes a server unready."""
    if auditor is None or (problem := auditor.trail.problem) is None:
        return {}
    return {"audit": f"records can't be written: {problem}"}
