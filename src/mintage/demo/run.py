"""The demo from its first line to its last."""

import asyncio
import contextlib
import signal

from rich.console import Console

from mintage.demo.page import serve_page
from mintage.demo.show import Show
from mintage.demo.stage import stage
from mintage.demo.walk import Walk

GRACE = 1  # seconds: short, so that a replay after it can be shown without waiting a minute


async def run(console: Console, *, stay: bool) -> int:
    """The exit code: 0 if every step went as it should. *stay*: until Ctrl-C, for a browser."""
    show = Show(console)
    console.print("Starting a login provider, an MCP server, and Mintage in front of it …")
    async with stage(grace=GRACE) as standing:
        console.print(f"Mintage is at {standing.issuer}, in front of {standing.mcp_url}")
        await Walk(standing, show).run()
        if show.failed:
            console.print("\n[bold red]Some steps did not go as they should.[/]")
            return 1
        console.print("\n[bold green]Every step went as it should.[/]")
        if stay:
            async with serve_page(standing) as url:
                console.print(
                    f"\nIt stays up: open [bold]{url}[/] in a browser and log in as "
                    f"[bold]{standing.idp.username}[/] with the password "
                    f"[bold]{standing.idp.password}[/]. Ctrl-C ends it."
                )
                await _interrupted()
    return 0


async def _interrupted() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await stop.wait()
