"""The page for Prometheus beside a server, on a port of its own: one for all its processes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from mintage.app.listening import addresses, bind
from mintage.cli.side_server import served
from mintage.cli.workers import STOPPING
from mintage.errors import ConfigError
from mintage.extras import needs
from mintage.settings.load import Config
from mintage.telemetry.cells import Cells
from mintage.telemetry.shared import Place, SharedCells, read_all
from mintage.telemetry.telemetry import OFF, Telemetry

if TYPE_CHECKING:
    from mintage.telemetry.prometheus import Snapshots

KEY: Final = "metrics.listen"
_HERE: Final = ("127.", "::1")

log = logging.getLogger("mintage.serve")


class MetricsPage(msgspec.Struct, frozen=True):
    """The page, whose sockets are bound. *places*: where several processes keep their numbers."""

    settings: Config
    sockets: Sequence[socket.socket]
    places: Sequence[Place] = ()

    @contextlib.asynccontextmanager
    async def beside(self, snapshots: "Snapshots") -> AsyncIterator[None]:
        """In this block the page is served by this process. It shows *snapshots*."""
        from mintage.telemetry.prometheus import page, registry_of

        async with served(page(registry_of(snapshots)), self.settings, self.sockets, key=KEY):
            log.info("metrics on %s/metrics", addresses(self.sockets))
            yield

    def work(self, parent: int) -> int:
        """Serve the metrics of all processes, until a signal comes or the pipe *parent* ends."""
        asyncio.run(self._until_stopped(parent))
        return 0

    async def _until_stopped(self, parent: int) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(parent, stopped.set)
        for number in STOPPING:
            loop.add_signal_handler(number, stopped.set)
        async with self.beside(partial(read_all, self.places)):
            await stopped.wait()
        loop.remove_reader(parent)


@contextlib.contextmanager
def metrics_page(settings: Config, *, workers: int) -> Iterator[MetricsPage | None]:
    """The page of *settings*, bound; None if it is off. Raises `ConfigError`."""
    if settings.metrics is None:
        yield None
        return
    needs("metrics")
    with contextlib.ExitStack() as stack:
        try:
            sockets = bind((settings.metrics.host,), settings.metrics.port)
        except ConfigError as error:
            raise ConfigError(KEY, error.advice) from None
        for one in sockets:
            stack.callback(one.close)
        places = [Place(stack) for _ in range(workers)] if workers > 1 else []
        if not all(str(one.getsockname()[0]).startswith(_HERE) for one in sockets):
            log.warning(
                "%s: everybody who reaches this address can read the metrics: the names of "
                "resources and providers, and how much is done",
                KEY,
            )
        yield MetricsPage(settings, sockets, places)


class Measured(msgspec.Struct, frozen=True):
    """The telemetry of one process, and its numbers: *cells* alone, or *shared* with others."""

    telemetry: Telemetry = OFF
    cells: Cells | None = None
    shared: SharedCells | None = None

    @contextlib.asynccontextmanager
    async def beside(self, page: MetricsPage | None) -> AsyncIterator[None]:
        """In this block *page* is served, if it shows this process alone."""
        try:
            if page is None or self.cells is None:
                yield
                return
            snapshot = self.cells.snapshot
            async with page.beside(lambda: [("0", snapshot())]):
                yield
        finally:
            if self.shared is not None:
                self.shared.write()


def measured(page: MetricsPage | None, number: int) -> Measured:
    """The telemetry of this process, the worker *number*."""
    if page is None:
        return Measured()
    if not page.places:
        cells = Cells()
        return Measured(Telemetry(cells), cells)
    shared = SharedCells(page.places[number])
    return Measured(Telemetry(shared.cells, counts_grants=number == 0), shared=shared)
