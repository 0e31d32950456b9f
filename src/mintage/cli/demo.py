"""``mintage demo``: every step of a login on this machine, with real parts."""

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
    browser: Annotated[
        bool, Parameter(help="Open the demo's page in your browser, where there is one.")
    ] = True,
) -> int:
    """See it work: every step of a login, with its requests.

    Log in, get a token, call a tool, refresh, revoke: with real parts and their real answers.
    Starts a login provider, an MCP server and Mintage on free loopback ports, and lets the
    official MCP client walk through. On a terminal it then stays up, so that you can log in
    with a browser. Exit code 0 if no step failed, and when Ctrl-C ends it.
    """
    needs("demo")
    from mintage.demo.run import run
    from mintage.demo.stopping import until_stopped

    console = Console(highlight=False)
    stay = sys.stdout.isatty() and not once
    code = asyncio.run(until_stopped(run(console, stay=stay, browser=browser)))
    if code is None:
        console.print("\nStopped.")
        return 0
    return code
