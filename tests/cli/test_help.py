"""What a person reads who asks for help, or who leaves something out."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mintage.cli.main import COMMANDS, app
from mintage.settings.load import parse
from tests.support.command import mintage

NAMES = [name for name, _, _ in COMMANDS]
SECTIONS = {name.split()[0] for name in NAMES if " " in name}


@pytest.mark.parametrize("section", ["", *sorted(SECTIONS)])
def test_each_command_in_a_list_has_a_line_that_says_what_it_does(section: str) -> None:
    shown = mintage(*section.split(), "--help").stdout.decode()
    for name, _, summary in COMMANDS:
        above, _, leaf = name.rpartition(" ")
        if above == section:
            assert any(leaf in line and summary in line for line in shown.splitlines()), shown


def test_each_line_is_the_first_of_the_commands_own_help() -> None:
    for name, _, summary in COMMANDS:
        _, apps, _ = app.parse_commands(name.split())
        help_ = (apps[-1].default_command.__doc__ or "").strip()
        assert help_.splitlines()[0] == summary, name


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("serve", "requests under way finish, streams are closed, exit code 0"),
        ("grants list", "No tokens are shown, and none could be"),
    ],
)
def test_a_commands_own_help_is_whole(command: str, words: str) -> None:
    shown = mintage(*command.split(), "--help").stdout.decode()
    assert words in " ".join(shown.split())


def test_a_list_loads_none_of_the_commands() -> None:
    """So that it comes at once."""
    look = (
        "import sys; sys.argv = ['mintage', '--help']\n"
        "from mintage.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted(m for m in sys.modules if m.startswith('mintage.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == (
        "['mintage.cli.main', 'mintage.cli.plain_text', 'mintage.cli.settings_file']"
    )


def test_a_command_that_does_not_exist_is_answered_with_all_that_do() -> None:
    done = mintage("gran")
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert line == (
        'mintage: Unknown command "gran". Did you mean "grants"? The commands are: '
        "check, clients, completion, demo, dev, grants, init, keys, openapi, rules, schema, serve, "
        "store, token, verify-files; see mintage --help"
    )


def test_serve_without_settings_says_what_it_needs_and_what_to_try() -> None:
    done = mintage("serve")
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert said.startswith("mintage: mintage.toml: there is no such file. mintage init writes one")
    assert "mintage demo" in said
    assert "mintage dev --backend http://127.0.0.1:8000/mcp" in said
    example = Path(said.partition("example: ")[2].split("\n")[0])
    settings = tomllib.loads(example.read_text(encoding="utf-8"))
    config = parse(
        settings | {"store": "memory://"}, base=example.parent, environ={"UPSTREAM_SECRET": "s"}
    )
    assert [one.path for one in config.resources] == ["/mcp"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["grants", "list"], "mintage.toml: there is no such file; `mintage init` writes one"),
        (
            ["serve", "--config"],
            "serve needs a value after --config: The TOML file with the settings",
        ),
        (
            ["rules", "explain"],
            "rules explain needs PATH: The path of the request, like /mcp/admin",
        ),
    ],
)
def test_what_is_left_out_is_named_with_its_meaning(arguments: list[str], why: str) -> None:
    done = mintage(*arguments)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"mintage: {why}")


@pytest.mark.parametrize("command", NAMES)
def test_help_shows_no_values_of_python(command: str) -> None:
    shown = mintage(*command.split(), "--help").stdout.decode()
    for value in ("default: (", "default: False", "default: True", "default: None"):
        assert value not in shown
    assert command != "serve" or "[default: 127.0.0.1]" in shown
