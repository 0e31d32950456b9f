"""Says in a sentence what is wrong with a command line, and what to write instead."""

from pathlib import Path
from typing import Final

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError

EXAMPLE: Final = Path(__file__).with_name("example.toml")

NO_SETTINGS: Final = f"""\
there is no such file. mintage init writes one, by questions. Or name another file with --config or
MINTAGE_CONFIG. An example: {EXAMPLE}
To see it work without a file: mintage demo
For development, in front of your own server: mintage dev --backend http://127.0.0.1:8000/mcp"""


def explained(error: CycloptsError) -> str:
    """*error* in one line, or in a few if there is something to try."""
    if isinstance(error, MissingArgumentError) and (missing := _missing(error)) is not None:
        return f"{missing}: {_meaning(error)}; see {_help(error)}"
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, UnknownCommandError) and error.app is not None:
        text = text.partition(" Available commands: ")[0]
        text += f" The commands are: {', '.join(_commands(error))}"
    return f"{text}; see {_help(error)}"


def _missing(error: MissingArgumentError) -> str | None:
    """The name of the one value that is missing; None if several belong together."""
    if error.argument is None or error.argument.token_count()[0] != 1:
        return None
    command = " ".join(error.command_chain or ())
    if error.keyword is not None:
        return f"{command} needs a value after {error.keyword}"
    return f"{command} needs {error.argument.name}"


def _meaning(error: MissingArgumentError) -> str:
    found = error.argument.parameter.help if error.argument is not None else None
    return (found or "").rstrip(".")


def _commands(error: UnknownCommandError) -> list[str]:
    return sorted(name for name in error.app or () if not name.startswith("-"))


def _help(error: CycloptsError) -> str:
    return " ".join(("mintage", *(error.command_chain or ()), "--help"))
