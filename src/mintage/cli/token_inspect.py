"""``mintage token inspect``: why is this token refused?"""

import sys
import time
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mintage.app import access_keys
from mintage.config import load
from mintage.errors import TokenError
from mintage.inspection import Check, Inspection
from mintage.inspection import inspect as look
from mintage.keyring import KeyRing
from mintage.keys import purpose_keys
from mintage.tokens import Tokens

_MARKS: Final = {"good": ("✓", "green"), "bad": ("✗", "bold red"), "unknown": ("?", "yellow")}


def inspect(
    token: Annotated[str, Parameter(help="The token; - reads it from standard input.")] = "-",  # noqa: S107
    *,
    config: Annotated[
        Path | None, Parameter(help="Also check it as the server with this file would.")
    ] = None,
) -> int:
    """Decode a token and explain it: each claim, each check, and which of them fails.

    No key is needed, and nothing is sent anywhere. A token on the command line stays in
    the shell's history; standard input does not. Exit code 1 if the token would be refused.
    """
    text = (_standard_input() if token == "-" else token).strip()  # noqa: S105
    found = look(text, now=time.time())
    verified = None if config is None else _as_server(text, config)
    show(found, verified, Console())
    return 1 if found.refused or (verified and verified.verdict == "bad") else 0


def _standard_input() -> str:
    return sys.stdin.buffer.read().decode("ascii", "replace")


def show(found: Inspection, verified: Check | None, console: Console) -> None:
    """Print *found*; values are printed as text, never as markup or control codes."""
    claims = Table(title="What it says", title_justify="left", box=None)
    for heading in ("claim", "value", "meaning"):
        claims.add_column(heading, overflow="fold")
    for name, value in found.header.items():
        claims.add_row(_text(name), _text(str(value)), "header")
    for claim in found.claims:
        claims.add_row(_text(claim.name), _text(claim.shown), Text(claim.meaning))
    console.print(claims)
    checks = Table(title="\nWhat is checked", title_justify="left", box=None, show_header=False)
    for check in [*found.checks, *([verified] if verified else [])]:
        mark, style = _MARKS[check.verdict]
        checks.add_row(Text(mark, style=style), Text(check.name), _text(check.why))
    console.print(checks)


def _text(value: str) -> Text:
    """*value* as it stands, with what would steer a terminal or turn the line spelled out."""
    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in value))


def _as_server(token: str, path: Path) -> Check:
    """What the server with the configuration *path* would say to *token*."""
    config = load(path)
    tokens = Tokens(
        issuer=config.issuer,
        resources=[config.issuer + resource.path for resource in config.resources],
        keys=KeyRing.of_all(purpose_keys(config.secrets, "sign")),
        access_keys=access_keys(config),
        lifetimes=config.tokens.lifetimes(),
        clock=time.time,
    )
    try:
        handle, _ = tokens.read_any(token)
    except TokenError as error:
        return Check("this server", "bad", error.description)
    return Check("this server", "good", f"issued it: {handle!r}")
