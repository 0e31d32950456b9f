"""``mintage dev``: login in front of your own server, while you write it."""

import asyncio
import logging
import os
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mintage.errors import ConfigError
from mintage.events.lines import EVENT
from mintage.events.operation import SettingsLoaded
from mintage.extras import needs
from mintage.settings.environment import check_environment


def dev(
    *command: Annotated[
        str,
        Parameter(
            help="Your server, if it speaks MCP over stdio. Write -- before it if it has options."
        ),
    ],
    backend: Annotated[str | None, Parameter(help="Your server's URL, if it speaks HTTP.")] = None,
    port: Annotated[int, Parameter(help="Port to listen on, on loopback.")] = 8080,
) -> int:
    """Put a login with made-up users in front of your own server.

    For development only: mintage dev --backend http://127.0.0.1:8000/mcp, or
    mintage dev -- python my_server.py. No file is needed. Prints what to paste into your MCP
    client, and a line for each request. Ctrl-C ends it and everything that it started.
    """
    needs("demo")
    if bool(command) == (backend is not None):
        raise ConfigError("dev", "give either --backend URL, or -- and a command")
    if command and "://" in command[0]:
        raise ConfigError("dev", f"did you mean --backend {command[0]}?")
    logging.basicConfig(level=logging.WARNING, format="          %(message)s")
    logging.getLogger("mintage").setLevel(logging.INFO)
    logging.getLogger("mintage.events").addFilter(_is_not_of_the_start)
    check_environment(os.environ)
    from mintage.demo.dev import Behind
    from mintage.demo.dev import dev as run
    from mintage.demo.stopping import until_stopped

    console = Console(highlight=False)
    work = run(console, Behind(backend=backend, command=command), port=port)
    try:
        code = asyncio.run(until_stopped(work))
    except ConfigError as error:
        raise _as_argument(error) from None
    if code is None:
        console.print("\nStopped.")
    return 0


def _is_not_of_the_start(record: logging.LogRecord) -> bool:
    """Whether *record* may be kept: the developer has written no settings to read about."""
    return not isinstance(getattr(record, EVENT, None), SettingsLoaded)


def _as_argument(error: ConfigError) -> ConfigError:
    """*error* about a setting, as an error about the argument that set it."""
    names = {"resource[0].backend": "--backend", "resource[0].path": "--backend"}
    return ConfigError(names.get(error.key, error.key), error.advice)
