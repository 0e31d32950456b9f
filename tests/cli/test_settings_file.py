"""Which file the commands read, and how little of it those need that work on the store."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mintage.cli.mistakes import EXAMPLE

SETTINGS = """\
issuer = "http://127.0.0.1:8080"
store  = "sqlite://mintage.db"
[upstream]
preset = "{preset}"
client_id = "mintage"
{credentials}
[[client]]
client_id = "app"
name = "App"
redirect_uris = ["https://app.example/callback"]
client_secret = "env:NOT_FOR_ADMINISTRATORS"
[[resource]]
path    = "/mcp"
[resource.command]
run = ["server"]
env = {{ KEY = "env:NOT_FOR_ADMINISTRATORS" }}
"""
CREDENTIALS = {
    "github": 'client_secret = "env:NOT_FOR_ADMINISTRATORS"',
    "slack": 'client_secret = "env:NOT_FOR_ADMINISTRATORS"',
    "oidc": 'issuer = "https://login.example.com"\nclient_key = "env:NOT_FOR_ADMINISTRATORS"',
}
ON_THE_STORE = (
    ("grants", "list", "--json"),
    ("grants", "end", "--all"),
    ("keys", "status"),
    ("keys", "rotate"),
    ("keys", "retire"),
    ("store", "adopt"),
)


def run(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mintage", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )


def test_without_a_name_the_file_of_this_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "mintage.toml").write_text('issuer = "not a url"')
    done = run(tmp_path, "check", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)[0]["about"] == "resource"


def test_the_environment_names_another_one_and_the_option_wins(tmp_path: Path) -> None:
    for name in ("mintage.toml", "other.toml", "third.toml"):
        (tmp_path / name).write_text(f"{name.partition('.')[0]} = 1")
    by_environment = run(tmp_path, "check", "--json", MINTAGE_CONFIG="other.toml")
    by_option = run(
        tmp_path, "check", "--json", "--config", "third.toml", MINTAGE_CONFIG="other.toml"
    )
    assert json.loads(by_environment.stdout)[0]["about"] == "other"
    assert json.loads(by_option.stdout)[0]["about"] == "third"


@pytest.mark.parametrize("preset", CREDENTIALS)
def test_commands_on_the_store_need_no_secret_but_the_root_secret(
    tmp_path: Path, preset: str
) -> None:
    (tmp_path / "mintage.toml").write_text(
        SETTINGS.format(preset=preset, credentials=CREDENTIALS[preset])
    )
    (tmp_path / "mintage.secret").write_text("vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM\n")
    made = run(tmp_path, "store", "init", "sqlite://mintage.db")
    assert made.returncode == 0, made.stderr
    for command in ON_THE_STORE:
        done = run(tmp_path, *command)
        assert "NOT_FOR_ADMINISTRATORS" not in done.stderr, command
        assert "Traceback" not in done.stderr
        assert done.returncode == 0, (command, done.stderr)


def test_editors_get_a_schema_that_fits_the_settings(tmp_path: Path) -> None:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")  # of the developers' environment alone
    done = run(tmp_path, "schema")
    assert done.returncode == 0, done.stderr
    schema = jsonschema_rs.validator_for(json.loads(done.stdout))
    example = tomllib.loads(EXAMPLE.read_text())
    schema.validate(example)
    for wrong in (
        example | {"isuer": "https://auth.example.com"},
        example | {"allow": "nobody"},
        example | {"resource": [{"path": "/mcp", "credential": "everything"}]},
        {name: value for name, value in example.items() if name != "resource"},
    ):
        assert not schema.is_valid(wrong), wrong


def test_an_empty_name_in_the_environment_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "mintage.toml").write_text('issuer = "not a url"')
    done = run(tmp_path, "check", "--json", MINTAGE_CONFIG="")
    assert json.loads(done.stdout)[0]["about"] == "resource"
    assert run(tmp_path, "openapi", MINTAGE_CONFIG="").returncode == 0


@pytest.mark.parametrize("command", [("openapi",), ("token", "inspect", "e30.e30.e30")])
def test_the_environment_names_the_file_of_commands_that_need_none(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = run(tmp_path, *command, MINTAGE_CONFIG="missing.toml")
    assert done.returncode == 2
    assert "missing.toml: there is no such file" in done.stderr


def test_a_variable_that_names_no_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "mintage.toml").write_text(EXAMPLE.read_text())
    done = run(tmp_path, "openapi", MINTAGE_CONFIG="mintage.toml", MINTAGE_ALOW="x")
    assert done.returncode == 2
    assert done.stderr.startswith("mintage: MINTAGE_ALOW: there is no setting alow; did you mean")


def test_a_server_starts_from_variables_alone(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "check",
        "--json",
        MINTAGE_ISSUER="http://127.0.0.1:8080",
        MINTAGE_UPSTREAM__PRESET="github",
        MINTAGE_UPSTREAM__CLIENT_ID="x",
        MINTAGE_UPSTREAM__CLIENT_SECRET="a secret in its setting",
        MINTAGE_RESOURCE__0__PATH="/mcp",
    )
    (found,) = json.loads(done.stdout)
    assert found["about"] == "upstream.client_secret in MINTAGE_UPSTREAM__CLIENT_SECRET"
