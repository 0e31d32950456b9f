"""Starts a login at its first request, where no lifespan reaches it."""

import asyncio
from functools import partial

from mintage.integrations.asgi import Login


class Opening:
    """Holds *login* open in a task of its own, until `close` or the end of the event loop."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._holding: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Start the login if it is not started.

        Raises `RuntimeError` if it is open in another event loop or process, or closed meanwhile.
        """
        self.login.check_place()
        if self.login.is_running:
            return
        if self._holding is None or self._holding.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._holding = asyncio.create_task(self._hold(self._opened))
            self._holding.add_done_callback(partial(_tell_those_who_wait, self._opened))
        if self._opened is not None:
            await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Stop what `open` has started."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.wait([self._holding])

    async def _hold(self, opened: "asyncio.Future[None]") -> None:
        try:
            async with self.login.lifespan():
                opened.set_result(None)
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


def _tell_those_who_wait(opened: "asyncio.Future[None]", _: "asyncio.Task[None]") -> None:
    """The login was closed before it was open: tell callers of `open`, if there are any."""
    if not opened.done():
        opened.set_exception(RuntimeError("the login was closed while it was opened"))
        opened.exception()  # it is no fault if no caller waits
