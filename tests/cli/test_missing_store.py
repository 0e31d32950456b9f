"""A command on a store that does not exist says so, and creates nothing."""

from pathlib import Path

import pytest

from mintage.cli.main import app
from mintage.errors import ConfigError, StoreUnusable
from mintage.jwt_issuer import JWTIssuer
from mintage.settings.load import load

CONFIG = """
issuer = "https://auth.example.com"
{more}
[upstream]
issuer        = "https://login.example.com"
client_id     = "mintage"
{secret}
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:8000/mcp"
scopes  = ["tools"]
"""
COMMANDS = [
    ("grants", "list"),
    ("grants", "end", "--all"),
    ("keys", "status"),
    ("keys", "retire"),
    ("keys", "rotate"),
    ("store", "adopt"),
    ("token", "inspect", "TOKEN"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mintage.toml"
    path.write_text(CONFIG.format(more="", secret=""))
    return path


def listed(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def run(*arguments: str) -> object:
    token = JWTIssuer("https://auth.example.com", "https://b", bytes(range(32))).issue_access_token(
        "c", ["read"], "j", expires_in=60
    )
    words = [token if word == "TOKEN" else word for word in arguments]
    return app(words, result_action="return_value", exit_on_error=False)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_store_is_said_and_none_is_made(file: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        run(*command, "--config", str(file))
    assert f"there is none at {file.with_name('mintage.db')}" in str(refused.value)
    assert "the server makes it at its first start" in str(refused.value)
    assert listed(file.parent) == ["mintage.toml"]


@pytest.mark.parametrize("command", COMMANDS[:4], ids=" ".join)
def test_with_a_secret_from_elsewhere_the_same(
    file: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM")
    file.write_text(CONFIG.format(more='secret = "env:SECRET"', secret=""))
    with pytest.raises(StoreUnusable, match="there is none at"):
        run(*command, "--config", str(file))
    assert listed(file.parent) == ["mintage.toml"]


def test_a_store_whose_secret_is_gone_is_not_given_a_new_one(file: Path) -> None:
    file.with_name("mintage.db").touch()
    with pytest.raises(ConfigError, match=r"secret: .*mintage\.secret is missing"):
        run("grants", "list", "--config", str(file))
    assert not file.with_name("mintage.secret").exists()


def test_nor_does_a_server_make_a_new_secret(file: Path) -> None:
    load(file)
    store, secret = file.with_name("mintage.db"), file.with_name("mintage.secret")
    store.touch()
    secret.unlink()
    with pytest.raises(ConfigError, match=r"secret: .*mintage\.secret is missing.*--force"):
        load(file)
    assert not secret.exists()


def test_a_start_that_fails_leaves_no_secret(file: Path) -> None:
    file.write_text(CONFIG.format(more="", secret='client_secret = "env:NOT_SET"'))
    with pytest.raises(ConfigError, match="NOT_SET"):
        load(file)
    assert listed(file.parent) == ["mintage.toml"]


@pytest.mark.parametrize(
    "command",
    [("rules", "explain", "/mcp", "--scope", "tools"), ("openapi",)],
    ids=" ".join,
)
def test_what_needs_no_secret_asks_for_none(
    file: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor for a provider's, nor for a directory that it may write to."""
    secret = 'client_secret = "env:NOT_SET"\nclient_key = "file:not_there"'
    more = '[tokens]\nsigning_key = "file:not_there"'
    file.write_text(CONFIG.format(more="", secret=secret) + more)
    assert run(*command, "--config", str(file)) == 0
    assert "https://auth.example.com/mcp" in capsys.readouterr().out or command == ("openapi",)
    assert listed(file.parent) == ["mintage.toml"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("mcp", "begins with a slash: /mcp"),
        ("https://auth.example.com/mcp/x?y=1", "is without scheme and host: /mcp/x"),
        ("/other", "no resource is there; there are: /mcp"),
    ],
)
def test_a_path_that_cannot_be_meant_is_answered_with_one_that_can(
    file: Path, path: str, why: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        run("rules", "explain", path, "--config", str(file))
    assert refused.value.key == "PATH"
    assert why in refused.value.advice
