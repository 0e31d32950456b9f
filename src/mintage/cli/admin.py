"""The admin API beside a server: one listener, which the first of its processes serves."""

import contextlib
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import msgspec

from mintage.app import Mintage
from mintage.app.listening import addresses, listening
from mintage.cli.side_server import served
from mintage.errors import ConfigError
from mintage.settings.admin import AdminSettings
from mintage.settings.load import Config

KEY: Final = "admin.listen"
_FIRST: Final = 0  # the number of the worker that serves it

log = logging.getLogger("mintage.serve")


class AdminListener(msgspec.Struct, frozen=True):
    """The sockets of the admin API, bound. Without any there is no admin API."""

    sockets: Sequence[socket.socket] = ()

    @contextlib.asynccontextmanager
    async def beside(self, app: Mintage, number: int) -> AsyncIterator[None]:
        """In this block the worker *number* serves the API, if it is the first. *app* is open."""
        if not self.sockets or number != _FIRST:
            yield
            return
        from mintage.admin.activity import Activity  # most servers have no admin API
        from mintage.admin.site import open_site

        activity = Activity(time.monotonic)
        app.current().events.attach(activity)
        site = open_site(
            app.config,
            app.current,
            activity,
            clock=time.time,
            steady=time.monotonic,
            random_bytes=secrets.token_bytes,
        )
        async with served(site, app.config, self.sockets, key=KEY):
            log.info("admin API on %s", addresses(self.sockets))
            try:
                yield
            finally:
                await site.api.close()


@contextlib.contextmanager
def admin_listener(settings: Config) -> Iterator[AdminListener]:
    """The listener of *settings*, bound; without sockets if it is off. Raises `ConfigError`."""
    if settings.admin is None:
        yield AdminListener()
        return
    with contextlib.ExitStack() as stack:
        yield AdminListener(_bound(settings.admin, stack))


def _bound(admin: AdminSettings, stack: contextlib.ExitStack) -> Sequence[socket.socket]:
    try:
        return stack.enter_context(listening((admin.host,), admin.port, admin.path))
    except ConfigError as error:
        raise ConfigError(KEY, error.advice) from None
