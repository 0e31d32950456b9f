"""One Chromium for all tests of a process: it takes longer to start than most of them run.

What Playwright makes belongs to the event loop that it was made in, and each test has a loop of its
own. So Playwright has a thread with a loop that lasts, and a test has stand-ins for its objects.
"""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from playwright.async_api import Browser, async_playwright
from playwright.async_api._context_manager import PlaywrightContextManager

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


class FarLoop:
    """The thread's event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meanwhile it runs."""
        thread = threading.Thread(target=self._loop.run_forever, name="browser", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def begin(self, work: Awaitable[T]) -> "Future[T]":
        """Start *work* there."""

        async def waited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(waited(), self._loop)

    def near(self, value: Any) -> Any:
        """*value*; a stand-in for what can be used only there."""
        if isinstance(value, list | tuple):
            return type(value)(self.near(one) for one in value)
        if inspect.isawaitable(value):
            return self._awaited(value)
        if inspect.ismethod(value):
            return self._method(value)
        if type(value).__module__.startswith("playwright."):
            return _Near(value, self)
        return value

    async def _awaited(self, value: Awaitable[Any]) -> Any:
        return self.near(await asyncio.wrap_future(self.begin(value)))

    def _method(self, method: Any) -> Any:
        async def called(arguments: Any, named: Any) -> Any:
            return method(*arguments, **named)  # not awaited: it may be no coroutine

        def call(*arguments: Any, **named: Any) -> Any:
            far = [one.far if isinstance(one, _Near) else one for one in arguments]
            return self.near(self.begin(called(far, named)).result())

        return call


class _Near:
    """Stands for *far*, an object of Playwright."""

    def __init__(self, far: Any, loop: FarLoop) -> None:
        self.far = far
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return self._loop.near(getattr(self.far, name))

    async def __aenter__(self) -> Any:
        return await self._loop.near(self.far.__aenter__())

    async def __aexit__(self, *error: object) -> None:
        await self._loop.near(self.far.__aexit__(*error))


@contextmanager
def shared_browser(executable: str, *arguments: str) -> Iterator[Browser]:
    """A Chromium for several tests; each makes a context, which shares nothing with another's."""
    loop = FarLoop()

    async def opened() -> tuple[PlaywrightContextManager, Browser]:
        manager = async_playwright()
        playwright = await manager.start()
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", *arguments]
        return manager, await playwright.chromium.launch(executable_path=executable, args=options)

    async def closed(manager: PlaywrightContextManager, browser: Browser) -> None:
        await browser.close()
        await manager.__aexit__()

    with loop.running():
        manager, browser = loop.begin(opened()).result()
        try:
            yield cast("Browser", loop.near(browser))
        finally:
            loop.begin(closed(manager, browser)).result()
