"""Which command is meant. Exit codes: 0 done, 1 it failed, 2 a setting or argument is wrong.

130: a command that asks or waits was interrupted with Ctrl-C.
"""

import sys

from cyclopts import App, CycloptsError

import mintage
from mintage.errors import ConfigError, MintageError

app = App(
    name="mintage",
    help="The token factory for OAuth proxies.",
    version=mintage.__version__,
)
token = App(name="token", help="Look at tokens.")
app.command(token)
keys = App(name="keys", help="Make and replace root secrets.")
app.command(keys)
grants = App(name="grants", help="See who is logged in, and end it.")
app.command(grants)
store = App(name="store", help="Prepare the store, and move to another one.")
app.command(store)
rules = App(name="rules", help="Find out which rule decides.")
app.command(rules)
app.command("mintage.cli.serve:serve", name="serve")
app.command("mintage.cli.demo:demo", name="demo")
app.command("mintage.cli.dev:dev", name="dev")
app.command("mintage.cli.openapi:openapi", name="openapi")
keys.command("mintage.cli.keys_new:new", name="new")
keys.command("mintage.cli.keys_rotate:rotate", name="rotate")
keys.command("mintage.cli.keys_rotate:retire", name="retire")
keys.command("mintage.cli.keys_status:status", name="status")
grants.command("mintage.cli.grants:list_grants", name="list")
grants.command("mintage.cli.grants:end", name="end")
store.command("mintage.cli.store:init", name="init")
store.command("mintage.cli.store:copy", name="copy")
store.command("mintage.cli.store:adopt", name="adopt")
token.command("mintage.cli.token_inspect:inspect", name="inspect")
rules.command("mintage.cli.rules:explain", name="explain")


def main() -> None:
    """Run the command in ``sys.argv``. A wrong setting is one line with its key, exit code 2."""
    try:
        result = app(exit_on_error=False, print_error=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except CycloptsError as error:
        print(f"mintage: {_sentence(error)}; see {_help(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except ConfigError as error:
        print(f"mintage: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except MintageError as error:
        print(f"mintage: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


def _sentence(error: CycloptsError) -> str:
    """*error* in one line."""
    return " ".join(str(error).split()).rstrip(".")


def _help(error: CycloptsError) -> str:
    return " ".join(("mintage", *(error.command_chain or ()), "--help"))
