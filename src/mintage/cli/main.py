"""Finds the command and runs it. Exit codes: 0 done, 1 it failed, 2 a setting or argument is wrong.

130: a command that asks or waits was interrupted with Ctrl-C. 141: nobody reads its output.
"""

import errno
import gc
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Final

from cyclopts import App, CycloptsError, Parameter

import mintage
from mintage.cli.plain_text import as_text
from mintage.cli.settings_file import VARIABLE
from mintage.errors import ConfigError, MintageError
from mintage.extras import MissingExtra

_PIPE_CLOSED: Final = 141

COMMANDS: Final = (
    ("serve", "serve:serve", "Put login in front of HTTP and MCP servers."),
    ("init", "init:init", "Write a file of settings, by questions or by options."),
    ("check", "check:check", "Find what is wrong with the settings and all that they name."),
    ("demo", "demo:demo", "See it work: every step of a login, with its requests."),
    ("dev", "dev:dev", "Put a login with made-up users in front of your own server."),
    ("openapi", "openapi:openapi", "Print an OpenAPI 3.1 document of all endpoints."),
    ("schema", "schema:schema", "Print a JSON Schema of mintage.toml."),
    ("keys new", "keys_new:new", "Print a new root secret."),
    ("keys rotate", "keys_rotate:rotate", "Put a new root secret into use."),
    ("keys retire", "keys_rotate:retire", "Remove the root secrets that nobody needs."),
    ("keys status", "keys_status:status", "Show which root secrets logins need."),
    ("grants list", "grants:list_grants", "Show who is logged in, with which client, since when."),
    ("grants show", "grants:show", "Show one login: all that is known of it without a token."),
    ("grants end", "grants:end", "End logins: by id, of a user, of a client, or all."),
    (
        "clients list",
        "clients:list_clients",
        "Show which applications may be used or are used, and which are denied.",
    ),
    (
        "clients deny",
        "clients:deny",
        "Deny a client: nobody can log in with it, and its logins end.",
    ),
    ("clients admit", "clients:admit", "Admit a client that was denied. Its users log in again."),
    ("store init", "store:init", "Make the tables or the file that the server needs."),
    ("store copy", "store:copy", "Copy all logins from one store to another of any kind."),
    ("store adopt", "store:adopt", "Take over a store that another installation has given up."),
    (
        "token get",
        "token_get:get",
        "Log in at a resource in your browser, and print the access token.",
    ),
    ("token inspect", "token_inspect:inspect", "Decode a token, and say why it is refused."),
    ("token issue", "token_issue:issue", "Issue a token with a key of yours."),
    (
        "token verify",
        "token_issue:verify",
        "Verify a token's signature, issuer, audience and time, and print its claims.",
    ),
    (
        "verify-files",
        "verify_files:verify_files",
        "Keep the files with which a proxy verifies tokens by itself.",
    ),
    (
        "completion",
        "completion:completion",
        "Print a script that lets a shell complete commands and options.",
    ),
    ("rules explain", "rules:explain", "Say which rule decides about a request, and why."),
)
"""Each command, where it is, and what it does: the line in a list, and the first of its help."""


def default_shown(value: object) -> str | None:
    """The default *value* of an option as a user would type it; None if help should not show it."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or None
    if isinstance(value, bool):
        return "yes" if value else None
    return None if value is None else str(value)


app = App(
    name="mintage",
    help="The token factory for OAuth proxies.",
    version=mintage.__version__,
    default_parameter=Parameter(show_default=default_shown),
)
app.command(App(name="token", help="Get tokens, and look at them."))
app.command(App(name="keys", help="Make and replace root secrets."))
app.command(App(name="grants", help="See who is logged in, and end it."))
app.command(App(name="clients", help="See which applications are used, and deny them."))
app.command(App(name="store", help="Prepare the store, and move to another one."))
app.command(App(name="rules", help="Find out which rule decides."))
for _name, _place, _summary in COMMANDS:
    *_above, _leaf = _name.split()
    _section = app[_above[0]] if _above else app
    _section.command(f"mintage.cli.{_place}", name=_leaf, help=_summary)


def main() -> None:
    """Run the command in ``sys.argv``. A wrong setting is one line with its key, exit code 2."""
    if sys.stdout is None:  # it was closed: mintage … >&-
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    try:
        if not os.environ.get(VARIABLE, "…"):
            del os.environ[VARIABLE]  # an empty one would name this directory
        with _own_reason():
            unfold(sys.argv[1:])
            gc.freeze()  # what was imported stays, so no collection need look at it
            gc.enable()
            result = app(exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # As with `mintage grants list | head`. Nothing may be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_PIPE_CLOSED)
    except CycloptsError as error:
        from mintage.cli.mistakes import explained

        _complain(explained(error))
        sys.exit(2)
    except ConfigError as error:
        _complain(str(error).replace(error.key, as_text(error.key), 1))
        sys.exit(2)
    except MintageError as error:
        _complain(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _complain(f"the output can't be written: {error.strerror}")
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


@contextmanager
def _own_reason() -> Iterator[None]:
    """Raise `MissingExtra` in place of cyclopts' error for a module that it could not import."""
    try:
        yield
    except ImportError as error:
        if isinstance(error.__cause__, MissingExtra):
            raise error.__cause__ from None
        raise


def _complain(text: str) -> None:
    """To standard error. A setting's name may hold what would steer the terminal."""
    shown = "\n".join(as_text(line) for line in text.split("\n"))
    print(f"mintage: {shown}", file=sys.stderr)  # noqa: T201


def unfold(words: Sequence[str]) -> None:
    """Show the whole help of the command that *words* name, in place of its line in the list."""
    named = takewhile(lambda word: not word.startswith("-"), words)
    _, apps, _ = app.parse_commands(named)
    if apps[-1].default_command is not None:
        apps[-1].help = inspect.getdoc(apps[-1].default_command)
