"""``mintage check``: what is wrong with the settings, and with everything that they name."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from mintage.checks.everything import check_file
from mintage.checks.findings import Finding, Level, error
from mintage.cli.plain_text import as_text, counted
from mintage.cli.settings_file import SettingsFile
from mintage.cli.terminal import harmless
from mintage.errors import ConfigError
from mintage.settings.reading import HERE

_MARKS: Final[dict[Level, tuple[str, str]]] = {
    "ok": ("ok     ", "green"),
    "warning": ("warning", "yellow"),
    "error": ("error  ", "bold red"),
}


def check(
    *,
    config: SettingsFile = HERE,
    json: Annotated[
        bool, Parameter(help="Print a JSON array of findings instead.", negative="")
    ] = False,
) -> int:
    """Find what is wrong with the settings and all that they name.

    That is the store, the providers, the backends and the public address. Run it before the
    start, or beside a running server. It creates no secret and no store; a store of an older
    format is upgraded, as by every command. Each provider is asked for its metadata, and is sent
    one invented code: its answer tells whether it takes the client's credentials. Each finding
    names the setting, what is wrong, and what to do.

    Exit code 0 if there is no error (there may be warnings), 1 if there is one, 2 if the file
    itself is wrong.
    """
    console = Console(soft_wrap=True)
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        if not json:
            _print(finding, console)

    code = 0
    try:
        asyncio.run(_run(config, report))
    except ConfigError as wrong:
        report(error(wrong.key, wrong.advice, "correct it, and run the check again"))
        code = 2
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        console.print(f"\n{_counted(found, 'error')}, {_counted(found, 'warning')}")
    return code or int(any(finding.level == "error" for finding in found))


async def _run(config: Path, report: Callable[[Finding], None]) -> None:
    async for finding in check_file(config):  # some take seconds: each is shown as it comes
        report(finding)


def _counted(found: list[Finding], level: Level) -> str:
    return counted(sum(finding.level == level for finding in found), level)


def _print(finding: Finding, console: Console) -> None:
    mark, style = _MARKS[finding.level]
    line = Text.assemble((mark, style), "  ", (as_text(finding.about), "bold"), "  ")
    console.print(line + harmless(finding.found))
    if finding.remedy:
        console.print(Text("         → ", style="dim") + harmless(finding.remedy))
