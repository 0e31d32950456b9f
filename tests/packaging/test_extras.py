"""What a program reads that uses a part whose packages are not installed."""

from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mintage.extras import PACKAGES, MissingExtra, needs
from tests.packaging.bare import environment, run

BASE = ("cryptography", "joserfc", "msgspec")

LIBRARY = """
from mintage import JWTIssuer, JWTVerifier, derive_jwt_key
from mintage.jwt_issuer import JWTIssuer
key = derive_jwt_key(high_entropy_material="test-secret", salt="test-salt")
issuer = JWTIssuer("https://auth.example.com", "https://auth.example.com/mcp", key)
print(issuer.verify_token(issuer.issue_access_token("ide", ["read"], "q7"))["client_id"])
"""

VERIFIER = """import mintage
    mintage.JWTVerifier("https://a.example", "https://b.example", jwks_url="https://a.example/j")"""

LISTED = """
import mintage
from mintage import *
from mintage import Config, create_app, load_config
assert set(dir(mintage)) == set(mintage.__all__) and all(hasattr(mintage, n) for n in dir(mintage))
assert mintage.Config is Config and not isinstance(0, Config)
help(mintage)
for use in (lambda: load_config("mintage.toml"), lambda: create_app(None), Config):
    try:
        use()
    except ImportError as error:
        print(type(error).__name__, error.key, error.name, error)
"""

CAUGHT = """
try:
    {program}
except ImportError as error:
    print(type(error).__name__, isinstance(error, ModuleNotFoundError), error)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the base install alone."""
    return environment(tmp_path_factory.mktemp("bare") / "env", *BASE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """... and of one with the extra `server`."""
    return environment(tmp_path_factory.mktemp("server") / "env", *BASE, "mintage[server]")


def test_the_base_install_issues_and_verifies(bare: Path) -> None:
    assert run(bare, "-c", LIBRARY).stdout == "ide\n"


def test_the_base_install_can_be_listed_and_says_at_the_use_what_is_missing(bare: Path) -> None:
    said = run(bare, "-c", LISTED)
    assert said.returncode == 0, said.stderr
    advice = "this needs the package starlette: pip install 'mintage[server]'"
    assert said.stdout.splitlines()[-3:] == [f"MissingExtra server starlette {advice}"] * 3
    assert f"Not here: {advice}" in said.stdout  # for those who read `help(mintage)`


@pytest.mark.parametrize(
    ("program", "extra"),
    [
        ("import mintage.app", "server"),
        ("import mintage.settings.load", "server"),
        ("import mintage.integrations.starlette", "server"),
        ("import mintage.integrations.fastmcp", "fastmcp"),
        ("import mintage.integrations.mcp_sdk", "mcp"),
        ("import mintage.testing.browser", "server"),
        ("import mintage.stores.postgres", "postgres"),
        ("import mintage.stores.redis", "redis"),
        (VERIFIER, "verifier"),
    ],
)
def test_a_part_names_the_extra_that_it_needs(bare: Path, program: str, extra: str) -> None:
    said = run(bare, "-c", CAUGHT.format(program=program))
    assert said.stdout.startswith("MissingExtra False this needs the package "), said.stderr
    assert said.stdout.endswith(f": pip install 'mintage[{extra}]'\n")


@pytest.mark.parametrize(
    ("program", "extra"),
    [
        ("import mintage.integrations.fastmcp", "fastmcp"),
        ("import mintage.integrations.mcp_sdk", "mcp"),
        ("import mintage.stores.postgres", "postgres"),
        ("import mintage.stores.redis", "redis"),
        ("import mintage.telemetry.prometheus", "metrics"),
        ("import mintage.telemetry.otel", "otel"),
    ],
)
def test_with_the_server_the_others_are_still_named(server: Path, program: str, extra: str) -> None:
    said = run(server, "-c", CAUGHT.format(program=program))
    assert said.stdout.endswith(f": pip install 'mintage[{extra}]'\n"), said.stderr


@pytest.mark.parametrize("command", [(), ("--help",), ("serve", "--config", "x")])
def test_the_command_without_its_packages_says_one_sentence(
    bare: Path, command: tuple[str, ...]
) -> None:
    said = run(bare, "-m", "mintage", *command)
    assert said.returncode == 2
    assert (
        said.stderr == "mintage: this needs the package cyclopts: pip install 'mintage[server]'\n"
    )
    assert said.stdout == ""


@pytest.mark.parametrize("command", [("demo", "--once"), ("dev", "--", "cat")])
def test_the_demo_without_its_packages_says_one_sentence(
    bare: Path, server: Path, command: tuple[str, ...]
) -> None:
    """The same extra, whatever is there already: no second round."""
    for python, package in ((bare, "cyclopts"), (server, "mcp")):
        said = run(python, "-m", "mintage", *command)
        assert said.returncode == 2
        assert said.stderr == (
            f"mintage: this needs the package {package}: pip install 'mintage[demo]'\n"
        )


@pytest.mark.parametrize("command", ["demo", "dev"])
def test_the_demos_help_needs_no_package_of_its_own(bare: Path, server: Path, command: str) -> None:
    shown = run(server, "-m", "mintage", command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"Usage: mintage {command}" in shown.stdout
    said = run(bare, "-m", "mintage", command, "--help")
    assert "pip install 'mintage[demo]'" in said.stderr


@pytest.mark.parametrize("rest", ["--help", "https://mcp.example.com/mcp"])
def test_a_command_whose_packages_are_missing_says_one_sentence(server: Path, rest: str) -> None:
    said = run(server, "-m", "mintage", "token", "get", rest)
    assert said.returncode == 2
    assert said.stderr == "mintage: this needs the package mcp: pip install 'mintage[mcp]'\n"


def test_a_store_whose_driver_is_missing_names_the_extra(server: Path, tmp_path: Path) -> None:
    settings = tmp_path / "mintage.toml"
    settings.write_text(
        'issuer = "https://auth.example.com"\nstore = "postgresql://127.0.0.1/m"\n'
        'secret = "env:SECRET"\n[upstream]\nissuer = "https://login.example.com"\n'
        'client_id = "mintage"\n[[resource]]\npath = "/mcp"\nbackend = "http://127.0.0.1:1/"\n'
    )
    (tmp_path / "secret").write_text("vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM")
    text = settings.read_text().replace("env:SECRET", f"file:{tmp_path}/secret")
    settings.write_text(text)
    said = run(server, "-m", "mintage", "serve", "--config", str(settings), "--port", "0")
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    assert said.stderr.endswith(
        "mintage: this needs the package asyncpg: pip install 'mintage[postgres]'\n"
    )


def test_the_table_of_extras_is_what_the_package_declares() -> None:
    """`PACKAGES` and `[project.optional-dependencies]` name the same packages."""
    declared = {
        extra: _declared(extra) for extra in (metadata("mintage").get_all("Provides-Extra") or ())
    }
    assert {extra: set(packages) for extra, packages in PACKAGES.items()} == declared


MODULES = {
    "prometheus-client": "prometheus_client",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
}
"""What is imported of packages that are called otherwise."""


def _declared(extra: str) -> set[str]:
    found: set[str] = set()
    for line in metadata("mintage").get_all("Requires-Dist") or ():
        one = Requirement(line)
        if one.marker is None or not one.marker.evaluate({"extra": extra}):
            continue
        if one.marker.evaluate({"extra": ""}):
            continue
        found |= {MODULES.get(one.name, one.name)} if one.name != "mintage" else set()
        for other in one.extras if one.name == "mintage" else ():
            found |= _declared(other)
    return found - {"uvloop"}


def test_what_is_installed_is_not_missing() -> None:
    for extra in PACKAGES:
        needs(extra)


def test_the_error_is_both_a_wrong_setting_and_a_failed_import() -> None:
    error = MissingExtra("redis", "redis")
    assert isinstance(error, ImportError)
    assert (error.key, error.name) == ("redis", "redis")
