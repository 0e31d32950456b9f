"""Checks before a server starts that live grants need no root secret that it lacks."""

import asyncio
import logging

from mintage.app.secret_needs import Need
from mintage.cli.auditing import action
from mintage.cli.opening import opened_with
from mintage.cli.terminal import counted
from mintage.errors import ConfigError
from mintage.settings.load import Config

log = logging.getLogger("mintage")


def check_secrets(config: Config, *, force: bool) -> None:
    """Raise `ConfigError` if live grants need a secret that *config* does not have.

    *force*: that secret is lost. End those grants, so that their clients register and log in again
    instead of waiting for it.
    """
    if config.store != "memory://":
        asyncio.run(_check(config, force=force))


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
