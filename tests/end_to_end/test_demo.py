"""The official MCP client, a real MCP server and a third-party login provider, all as processes."""

import io
import subprocess
import sys

from rich.console import Console

from mintage.demo.show import Show
from mintage.demo.stage import stage
from mintage.demo.walk import Walk


async def test_the_official_client_goes_the_whole_way() -> None:
    out = io.StringIO()
    show = Show(Console(file=out, width=100))
    async with stage(grace=1) as standing:
        await Walk(standing, show).run()
    said = out.getvalue()
    assert not show.failed, said
    for expected in (
        "401 Unauthorized",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "201 Created",
        "whoami",
        "✓ admin",
        "admin@example.org",
        "do not open it",
        "rotated",
        "refused: invalid_grant",
        "the user has to log in again",
    ):
        assert expected in said


def test_the_command_exits_by_itself_when_nobody_watches() -> None:
    """Without a terminal the demo ends after the walk, with exit code 0."""
    done = subprocess.run(
        [sys.executable, "-m", "mintage", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every step went as it should." in done.stdout
    assert "Traceback" not in done.stderr
