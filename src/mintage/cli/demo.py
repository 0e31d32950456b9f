"""``mintage demo``: the whole of it, on this machine, with real parts."""

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mintage.extras import needs


def demo(
    *,
    once: Annotated[
        bool, Parameter(help="Exit after the walk, also on a terminal.", negative="")
    ] = False,
) -> int:
    """Log in, get a token, call a tool, refresh, revoke: every step, with its real requests.

    Starts a login provider, an MCP server and Mintage on free loopback ports, and lets the
    official MCP client walk through. On a terminal it then stays up for a browser. Exit
    code 0 if every step went as it should.
    """
    needs("demo")
    from mintage.demo.run import run

    console = Console(highlight=False)
    stay = sys.stdout.isatty() and not once
    return asyncio.run(run(console, stay=stay))
