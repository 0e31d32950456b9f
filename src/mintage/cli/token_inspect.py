"""``mintage token inspect``: explain why a token is refused."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mintage.app.opening import tokens_of
from mintage.cli.auditing import who_ended_it
from mintage.cli.opening import opened_with
from mintage.cli.settings_file import VARIABLE
from mintage.cli.terminal import for_tables, harmless
from mintage.errors import ConfigError, StoreError, TokenError
from mintage.grants.handles import Handle, grant_id, store_key
from mintage.grants.states import Reason
from mintage.jwt.inspection import Check, Inspection, inspect_token
from mintage.settings.for_the_store import load_for_the_store
from mintage.settings.load import Config
from mintage.vault.values import Refused


def check_token(_: object, value: str | None) -> None:
    """Raise `ValueError` for an unknown option. Only a lone ``-`` can be in a token's place."""
    if value is not None and value.startswith("-") and value != "-":
        raise ValueError(f"there is no such option: {value}")


READS_STANDARD_INPUT: Final = Parameter(allow_leading_hyphen=True, validator=check_token)
"""An argument that may be ``-``."""

_ANSWERED_BY: Final = {"signature": "stage token", "grant": "stage grant"}

_MARKS: Final = {"good": ("✓", "green"), "bad": ("✗", "bold red"), "unknown": ("?", "yellow")}


def inspect(
    token: Annotated[
        str, READS_STANDARD_INPUT, Parameter(help="The token; - reads it from standard input.")
    ] = "-",  # noqa: S107
    *,
    config: Annotated[
        Path | None,
        Parameter(env_var=VARIABLE, help="Also ask each stage of the server with this file."),
    ] = None,
) -> int:
    """Decode a token, and say why it is refused.

    It shows each claim and each check, and which of them fails. No key is needed, and nothing
    is sent anywhere. With --config the root secret is needed, and tokens.signing_key if it is set.
    A token on the command line stays in the shell's history; standard input does not. Exit code 1
    if the token would be refused.
    """
    text = (standard_input() if token == "-" else token).strip()  # noqa: S105
    found = inspect_token(text, now=time.time())
    verified = [] if config is None else asyncio.run(_as_server(text, config))
    show(found, verified, for_tables())
    return 1 if found.refused or any(check.verdict == "bad" for check in verified) else 0


def standard_input() -> str:
    """A token from standard input, which no shell history records."""
    return sys.stdin.buffer.read().decode("ascii", "replace")


def show(found: Inspection, verified: Sequence[Check], console: Console) -> None:
    """Print *found*. Values are printed as text, never as markup or control codes."""
    claims = Table(title="What it says", title_justify="left", box=None)
    for heading in ("claim", "value", "meaning"):
        claims.add_column(heading, overflow="fold")
    for name, value in found.header.items():
        claims.add_row(harmless(name), harmless(str(value)), "header")
    for claim in found.claims:
        claims.add_row(harmless(claim.name), harmless(claim.shown), Text(claim.meaning))
    console.print(claims)
    checks = Table(title="\nWhat is checked", title_justify="left", box=None, show_header=False)
    for check in (*_unanswered(found.checks, verified), *verified):
        mark, style = _MARKS[check.verdict]
        checks.add_row(Text(mark, style=style), Text(check.name), harmless(check.why))
    console.print(checks)


def _unanswered(checks: Sequence[Check], verified: Sequence[Check]) -> list[Check]:
    """*checks* without those that the server's own checks have answered."""
    answered = {check.name for check in verified if check.verdict != "unknown"}
    over = {name for name, stage in _ANSWERED_BY.items() if stage in answered}
    return [check for check in checks if check.verdict != "unknown" or check.name not in over]


async def _as_server(token: str, path: Path) -> list[Check]:
    """What each check of a server with the configuration *path* says about *token*."""
    config = load_for_the_store(path, verifies=True)
    tokens = tokens_of(config, time.time)
    try:
        handle, claims = tokens.read_any(token)
    except TokenError as error:
        why = f"{error.error}: {error.description}; later stages were not checked"
        return [Check("stage token", "bad", why)]
    place = "the token endpoint" if handle.kind == "refresh" else f"{claims.aud}, nowhere else"
    grant = grant_id(store_key(handle.secret))
    return [
        Check(
            "stage token",
            "good",
            f"this server issued it, for {place}; grant {grant}, generation {handle.generation}",
        ),
        await _grant(handle, config, path),
    ]


async def _grant(handle: Handle, config: Config, path: Path) -> Check:
    """What the vault knows about the login of a token."""
    try:
        async with opened_with(config, existing=True) as here:
            found = await here.vault.live.authenticate(handle)
    except ConfigError as error:
        return Check("stage grant", "unknown", f"the store {error.advice}")
    except StoreError as error:
        return Check("stage grant", "unknown", f"the store can't be read: {error}")
    if isinstance(found, Refused):
        why = _REASONS.get(found.reason, found.reason.value)
        if found.reason is Reason.REVOKED:
            why = f"{why}; {who_ended_it(path)}"
        return Check("stage grant", "bad", why)
    newest = found.grant.generation
    if handle.kind == "refresh" and handle.generation != newest:
        why = f"an older refresh token: generation {handle.generation}, the newest is {newest}"
        return Check("stage grant", "bad", why)
    return Check("stage grant", "good", "the login lives")


_REASONS: Final = {
    Reason.UNKNOWN: "unknown_grant: the login was ended, expired, or is of another store",
    Reason.REVOKED: "grant_revoked: the login was ended",
    Reason.SESSION_OVER: "session_lifetime_over: grants.session_lifetime after the login",
    Reason.NOT_ACTIVE: "grant_not_active: its code was never redeemed",
}
