"""``mintage serve``: the gateway and authorization server, as one process."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Final
from urllib.parse import urlsplit

import uvicorn
from cyclopts import Parameter

from mintage.app import Mintage, create_app
from mintage.app.asking import Asking
from mintage.app.listening import addresses, listen, listening
from mintage.app.serving import uvicorn_config
from mintage.cli.admin import KEY as ADMIN_KEY
from mintage.cli.admin import AdminListener, admin_listener
from mintage.cli.hangups import Hangups
from mintage.cli.introduction import introduce
from mintage.cli.logs import Format, start_log
from mintage.cli.metrics import KEY as METRICS_KEY
from mintage.cli.metrics import MetricsPage, measured, metrics_page
from mintage.cli.missing_secrets import check_secrets
from mintage.cli.mistakes import NO_SETTINGS
from mintage.cli.opentelemetry import opentelemetry
from mintage.cli.refusals import Refusals
from mintage.cli.reload import Checked, Reloader, Source
from mintage.cli.settings_file import SettingsFile
from mintage.cli.supervisor import be_silent, notify, passed_sockets
from mintage.cli.workers import STOPPING, Workers
from mintage.errors import ConfigError
from mintage.serving.stopping import last_requests
from mintage.settings.environment import environment_checked
from mintage.settings.load import Config
from mintage.settings.reading import HERE, is_written
from mintage.settings.reloading import Loaded
from mintage.settings.resources import check_program
from mintage.site.targets import Command

_GRACE_SECONDS: Final = 20
_PORT: Final = 8080

log = logging.getLogger("mintage")


def serve(
    *command: Annotated[str, Parameter(help="After --: a server that speaks MCP over stdio.")],
    config: SettingsFile = HERE,
    host: Annotated[
        tuple[str, ...],
        Parameter(
            help="Address to listen on; may be repeated. :: is both IPv6 and IPv4.", negative=""
        ),
    ] = ("127.0.0.1",),
    port: Annotated[
        int | None, Parameter(help="Port to listen on: 8080, or the issuer's on this machine.")
    ] = None,
    unix_socket: Annotated[Path | None, Parameter(help="Listen there instead.")] = None,
    workers: Annotated[int, Parameter(help="How many processes.")] = 1,
    force: Annotated[
        bool,
        Parameter(
            help="End the grants that need a secret that is not configured, and start.",
            negative="",
        ),
    ] = False,
    log_format: Annotated[Format, Parameter(help="A line for people, or a JSON object.")] = "text",
    log_level: Annotated[
        tuple[str, ...],
        Parameter(
            help="debug, info, warning or error; or for one logger: mintage.upstream=debug. "
            "Repeat it, or put commas between.",
            negative="",
        ),
    ] = ("info",),
    access_log: Annotated[
        bool, Parameter(help="Log each request, without its query.", negative="")
    ] = False,
) -> int:
    """Put login in front of HTTP and MCP servers.

    With a command (mintage serve --config mintage.toml -- npx some-server) the login is in front of
    that: the command runs once for each session of each user.

    Stops on Ctrl-C and SIGTERM: requests under way finish, streams are closed, exit code 0. SIGHUP
    reads the settings and secrets again.
    """
    for number in STOPPING:
        signal.signal(number, _leave)  # until the server minds them itself
    hangups = Hangups()
    hangups.listen()
    start_log(log_level, log_format, access=access_log)

    def check(settings: Config) -> None:
        _check_workers(workers, settings)
        _check_programs(settings, command)

    source = Source(config, command, check)
    with contextlib.ExitStack() as stack:
        with environment_checked(os.environ):
            if not is_written(config, os.environ):
                raise ConfigError(str(config), NO_SETTINGS)
            loaded = source.read()
            settings = loaded.config
            sockets = passed_sockets(os.environ)
            if passed := bool(sockets):
                log.info("listening on the sockets of the supervisor")
            else:
                bound = listening(host, _port(port, settings), unix_socket)
                sockets = stack.enter_context(bound)
            page = stack.enter_context(metrics_page(settings, workers=workers))
            admin = stack.enter_context(admin_listener(settings))
            check_secrets(settings, force=force)
        introduce(settings)
        compare_ports(None if unix_socket or passed else port, settings)
        if workers == 1:
            return run(source, loaded, sockets, hangups, page=page, admin=admin)
        listen(sockets)
        # Their connections wait for the one process that serves them: others may be ready first.
        listen(admin.sockets, key=ADMIN_KEY)
        if page is not None:
            listen(page.sockets, key=METRICS_KEY)
        refusals = stack.enter_context(contextlib.closing(Refusals()))
        checked = Checked(source, loaded, refusals.tell)

        def work(parent: int, number: int) -> int:
            be_silent()
            return run(
                source, checked.loaded, sockets, hangups,
                page=page, admin=admin, refusals=refusals, parent=parent, number=number,
            )  # fmt: skip

        helper = None if page is None else page.work
        return Workers(workers, work, helper, hangups=hangups, reload=checked.reload).run()


def _port(given: int | None, settings: Config) -> int:
    """The port to listen on: by default the one that an issuer on this machine names."""
    return (_named_port(settings) or _PORT) if given is None else given


def _named_port(settings: Config) -> int | None:
    parts = urlsplit(settings.issuer)
    return parts.port if parts.scheme == "http" else None  # https ends at another server


def compare_ports(given: int | None, settings: Config) -> None:
    """Warn if clients look for this server at a port that it does not listen on."""
    if settings.gateway.forward_auth is not None and settings.gateway.trusted_proxies:
        return  # the proxy that asks is at the issuer's port
    named = _named_port(settings)
    if given not in (None, 0, named) and named is not None:
        log.warning(
            "the issuer %s names port %d, and this server listens on port %d: clients reach it "
            "only if something forwards the one to the other",
            settings.issuer,
            named,
            given,
        )


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Exit on a signal that came before there was anything to stop."""
    sys.exit(0)


def _check_workers(workers: int, settings: Config) -> None:
    if workers == 1:
        return
    if workers < 1:
        raise ConfigError("--workers", "is at least 1")
    if any(isinstance(resource.target, Command) for resource in settings.resources):
        raise ConfigError("--workers", "a command's sessions live in one process")
    if settings.store == "memory://":
        raise ConfigError("--workers", "several processes need a store that they can share")


def _check_programs(settings: Config, given: Sequence[str]) -> None:
    """Raise `ConfigError` for a command that can't be started. *given*: the one after ``--``."""
    for number, resource in enumerate(settings.resources):
        if isinstance(command := resource.target, Command):
            is_given = bool(given) and list(command.run) == list(given)
            check_program(command, "--" if is_given else f"resource[{number}].command.run")


def run(
    source: Source,
    loaded: Loaded,
    sockets: Sequence[socket.socket],
    hangups: Hangups,
    *,
    page: MetricsPage | None = None,
    admin: AdminListener | None = None,
    refusals: Refusals | None = None,
    parent: int | None = None,
    number: int = 0,
) -> int:
    """Serve on bound *sockets* until a signal comes; returns the exit code.

    *loaded*: what was read from *source*. *parent*: a pipe that ends with the parent process. Then
    this process stops too. *refusals*: those of the parent. *number*: which of the workers this is.
    """
    own = measured(page, number)
    app = create_app(loaded.config)
    app.telemetry = own.telemetry
    sides = [partial(own.beside, page), partial((admin or AdminListener()).beside, app, number)]
    if refusals is not None:
        sides.append(partial(refusals.beside, app, number))
    server = GracefulServer(app, source, loaded, hangups, sides)
    with (
        opentelemetry(loaded.config.opentelemetry),
        asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner,
    ):
        return runner.run(server.work(list(sockets), parent))


class GracefulServer(uvicorn.Server):
    """uvicorn, with some differences.

    When it stops, it ends streams that would never end, and answers requests that are on their way.
    It does not raise a signal again that it has obeyed, so that a clean stop gives exit code 0. A
    signal also stops a start that waits for something. SIGHUP is a reload.
    """

    def __init__(
        self,
        app: Mintage,
        source: Source,
        loaded: Loaded,
        hangups: Hangups,
        sides: Sequence[Callable[[], AbstractAsyncContextManager[None]]] = (),
    ) -> None:
        """Each of *sides* makes a context for as long as the application is open."""
        super().__init__(uvicorn_config(app, app.config, grace=_GRACE_SECONDS))
        self._app = app
        self._source = source
        self._loaded = loaded
        self._hangups = hangups
        self._sides = sides
        self._start: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None

    async def work(self, sockets: list[socket.socket], parent: int | None) -> int:
        """Open the application, serve until a signal or the end of *parent*, and close it again."""
        loop = asyncio.get_running_loop()
        with self.capture_signals(), contextlib.ExitStack() as stack:
            if parent is not None:
                loop.add_reader(parent, self._parent_ended, parent)
                stack.callback(loop.remove_reader, parent)
            self._start = (loop, _this_task())
            try:
                async with (
                    self._app.running() as running,
                    Asking() as asking,
                    contextlib.AsyncExitStack() as sides,
                ):
                    for beside in self._sides:
                        await sides.enter_async_context(beside())
                    self._start = None
                    asking.about(running)
                    listen(sockets)
                    reloader = Reloader(
                        self._app, self._source, self._loaded, running, asking.about
                    )
                    self._hangups.pass_to(lambda: loop.call_soon_threadsafe(reloader.ask))
                    try:
                        await self._serve(sockets)
                    finally:
                        self._hangups.pass_to(None)
                        await reloader.stop()
            except asyncio.CancelledError:
                if not self.should_exit:
                    raise
        return 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("running on %s (Ctrl-C stops it)", addresses(sockets or []))
        notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        self._app.drain()
        for server in self.servers:
            server.close()
        await last_requests(self.server_state.connections)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._start is not None:
            loop, task = self._start
            self._start = None
            loop.call_soon_threadsafe(task.cancel)

    def _parent_ended(self, parent: int) -> None:
        asyncio.get_running_loop().remove_reader(parent)
        log.error("the parent process is gone; worker %d stops", os.getpid())
        self.handle_exit(signal.SIGTERM, None)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        previous = {number: signal.signal(number, self.handle_exit) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a server works in a task")
    return task
