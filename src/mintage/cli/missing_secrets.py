"""Checks before a server starts that live grants need no root secret that it lacks."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine

from mintage.app.chores import end
from mintage.app.secret_needs import Need
from mintage.cli.auditing import action
from mintage.cli.opening import opened_with
from mintage.cli.plain_text import counted
from mintage.cli.workers import STOPPING
from mintage.errors import ConfigError, MintageError
from mintage.settings.load import Config

log = logging.getLogger("mintage")


def check_secrets(config: Config, *, force: bool) -> None:
    """Raise `ConfigError` if live grants need a secret that *config* does not have.

    *force*: that secret is lost. End those grants, so that their clients register and log in again
    instead of waiting for it.
    """
    if config.store != "memory://" and asyncio.run(_is_stopped(_check(config, force=force))):
        sys.exit(0)


async def _is_stopped(work: Coroutine[None, None, None]) -> bool:
    """Do *work*; True if a signal ended it first.

    An exception out of a signal handler would end whatever the loop does at that moment, and be
    logged as a fault of it.
    """
    task, ending = asyncio.ensure_future(work), list[asyncio.Task[None]]()

    def stop() -> None:
        if not ending:
            ending.append(asyncio.ensure_future(end([task])))

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except (asyncio.CancelledError, MintageError):
        if not ending:
            raise
        await ending[0]
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
    return bool(ending)


async def _check(config: Config, *, force: bool) -> None:
    async with opened_with(config, acts=force) as here:
        missing = await here.needs.missing()
        if not missing:
            return
        if not force:
            raise ConfigError(
                "secret",
                f"{_named(missing)}, which is not among the configured ones. Put it back: until "
                "then they get 503. Or start once with --force, which ends these grants: their "
                "users log in again",
            )
        ended = await here.needs.give_up([bytes.fromhex(need.secret_id) for need in missing])
        here.emit(action("serve --force", count=ended))
        log.warning("--force: %s ended; %s", counted(ended, "grant"), _named(missing))


def _named(missing: list[Need]) -> str:
    return "; ".join(
        f"{counted(need.grants, 'grant')} {'needs' if need.grants == 1 else 'need'} the secret "
        f"{need.secret_id}"
        for need in missing
    )
