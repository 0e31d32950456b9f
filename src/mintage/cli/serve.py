"""``mintage serve``: the gateway and authorization server, as one process."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Final

import uvicorn
from cyclopts import Parameter

from mintage.app import Mintage, create_app
from mintage.cli.missing_secrets import check_secrets
from mintage.cli.workers import Workers, listen, listen_at
from mintage.config import Config, load
from mintage.errors import ConfigError
from mintage.gateway.peers import Peers, read_networks
from mintage.serving.binding import bounded

_GRACE_SECONDS: Final = 20

log = logging.getLogger("mintage")


def serve(
    *command: Annotated[str, Parameter(help="After --: a server that speaks MCP over stdio.")],
    config: Annotated[Path, Parameter(help="The TOML file with the settings.")],
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.")] = 8080,
    unix_socket: Annotated[Path | None, Parameter(help="Listen there instead.")] = None,
    workers: Annotated[int, Parameter(help="How many processes.")] = 1,
    force: Annotated[
        bool,
        Parameter(
            help="End the grants that need a secret that is not configured, and start.",
            negative="",
        ),
    ] = False,
) -> int:
    """Put login in front of HTTP and MCP servers.

    With a command (mintage serve --config mintage.toml -- npx some-server) it stands in front of
    that: the command runs once for each session of each user.

    Stops on Ctrl-C and SIGTERM: requests under way finish, streams are closed, exit code 0.
    """
    settings = load(config, command=command)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s %(message)s"
    )
    for name in ("httpx2", "websockets"):  # they log whole URLs
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_without_urls)
    _check_workers(workers, settings)
    check_secrets(settings, force=force)
    if not settings.allow:
        log.info("no [[allow]]: everybody whom the identity provider logs in may log in here")
    if workers == 1 and unix_socket is None:
        return _run(settings, host, port)
    with _listen(host, port, unix_socket) as shared:
        if workers == 1:
            return _run(settings, host, port, shared)
        return Workers(workers, lambda: _run(settings, host, port, shared)).run()


@contextlib.contextmanager
def _listen(host: str, port: int, path: Path | None) -> Generator[socket.socket, None, None]:
    """A listening socket; the file of a Unix socket goes with it."""
    try:
        listener = listen(host, port) if path is None else listen_at(path)
    except OSError as error:
        raise ConfigError("--unix-socket" if path else "--port", f"can't listen: {error}") from None
    try:
        with listener:
            yield listener
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _check_workers(workers: int, settings: Config) -> None:
    if workers == 1:
        return
    if workers < 1:
        raise ConfigError("--workers", "is at least 1")
    if settings.commands:
        raise ConfigError("--workers", "a command's sessions live in one process")
    if settings.store == "memory://":
        raise ConfigError("--workers", "several processes need a store that they can share")


def _without_urls(record: logging.LogRecord) -> bool:
    """Whether *record* may be kept: one line for each WebSocket holds its whole query string."""
    return "WebSocket %s" not in str(record.msg)


def _run(settings: Config, host: str, port: int, shared: socket.socket | None = None) -> int:
    app = create_app(settings)
    server = GracefulServer(app, host=host, port=port)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        return runner.run(_serve(app, server, [shared] if shared else None))


async def _serve(
    app: Mintage, server: "GracefulServer", sockets: list[socket.socket] | None
) -> int:
    async with app.running():
        await server.serve(sockets)
    return 0 if server.started else 1


class GracefulServer(uvicorn.Server):
    """uvicorn, with two differences.

    Streams that never end are ended when it stops; and a signal that was obeyed is not
    raised once more, so that a clean stop is exit code 0.
    """

    def __init__(self, app: Mintage, *, host: str, port: int) -> None:
        peers = Peers(read_networks(app.config.gateway.trusted_proxies))
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                lifespan="off",
                log_config=None,
                access_log=False,  # its lines hold whole query strings: codes and states
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                proxy_headers=False,
                **bounded(app.config.server, peers.trusts),
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        previous = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
