"""Runs the demo from its first line to its last."""

import asyncio
import os
import sys
import time
import webbrowser

from rich.console import Console

from mintage.demo.browsers import has_browser
from mintage.demo.page import serve_page
from mintage.demo.request_log import Seen, line
from mintage.demo.show import Show
from mintage.demo.stage import Stage, stage
from mintage.demo.walk import Walk

GRACE = 1  # seconds: short, so that a replay after it can be shown without waiting a minute


async def run(console: Console, *, stay: bool, browser: bool = False) -> int:
    """The exit code: 0 if every step succeeded.

    *stay*: afterwards serve a page for a person until this is cancelled. *browser*: open it too.
    """
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
            await _invite(console, standing, browser=browser)
    return 0


async def _invite(console: Console, standing: Stage, *, browser: bool) -> None:
    """Let a person log in, and print each request meanwhile."""
    async with serve_page(standing) as url:
        standing.requests.observe = lambda seen: _print(console, seen)
        opened = browser and has_browser(os.environ, sys.platform) and await _open(url)
        console.print(
            f"\nNow you: {'your browser opened' if opened else 'open'} [bold]{url}[/]. "
            f"Log in as [bold]{standing.provider.username}[/] with the password "
            f"[bold]{standing.provider.password}[/]. "
            "Each request is shown here. Ctrl-C ends the demo."
        )
        await asyncio.Event().wait()


async def _open(url: str) -> bool:
    try:
        return await asyncio.to_thread(webbrowser.open, url)
    except webbrowser.Error:
        return False


def _print(console: Console, seen: Seen) -> None:
    console.print(line(seen, time.strftime("%H:%M:%S")), soft_wrap=True)
