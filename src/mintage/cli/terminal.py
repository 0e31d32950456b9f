"""Prints other people's text on an operator's terminal so that it can't control the terminal."""

import datetime as dt
import sys
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mintage.cli.plain_text import as_text

_ENDLESS: Final = 100_000  # columns


def for_tables() -> Console:
    """A console as wide as the terminal. For a file or a program nothing is cut."""
    return Console() if sys.stdout.isatty() else Console(width=_ENDLESS)


def print_table(table: Table) -> None:
    """*table* on a terminal. Elsewhere a line for each row, with tabs between its cells."""
    if sys.stdout.isatty():
        Console().print(table)
        return
    headings = [str(column.header) for column in table.columns]
    for row in (headings, *zip(*(column.cells for column in table.columns), strict=True)):
        print("\t".join(map(str, row)))  # noqa: T201


def dated(seconds: int | None) -> str | None:
    """A time of the day in UTC, for tables that name the zone."""
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")


def harmless(value: str) -> Text:
    """*value* as text (see `as_text`), and never as markup."""
    return Text(as_text(value))
