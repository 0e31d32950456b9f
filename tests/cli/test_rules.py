"""``mintage rules explain``: the same decision as at the door, in sentences."""

import io
from pathlib import Path

import pytest
from cyclopts import App

from mintage.cli.main import app
from mintage.errors import ConfigError
from mintage.jwt_issuer import JWTIssuer

CONFIG = """
issuer = "https://auth.example.com"
store = "memory://"
secret = "env:SECRET"

[upstream]
issuer = "https://login.example.com"
client_id = "mintage"

[[resource]]
path = "/mcp"
backend = "http://127.0.0.1:8000/mcp"
scopes = ["read"]
optional_scopes = ["write", "admin"]

[[resource.rule]]
methods = ["POST"]
scopes = ["write"]

[[resource.rule]]
mcp_methods = ["tools/call"]
mcp_names = ["drop_*"]
scopes = ["admin"]

[[resource.rule]]
path = "/staff"
claims = { groups = ["ops", "sre-*"], email = "*@example.com" }

[[resource]]
path = "/open"
backend = "http://127.0.0.1:8000/open"

[scopes.implies]
admin = ["write"]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SECRET", "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM")
    file = tmp_path / "mintage.toml"
    file.write_text(CONFIG)
    return str(file)


@pytest.fixture
def explained(config: str, capsys: pytest.CaptureFixture[str]) -> "Explained":
    return Explained(app, config, capsys)


class Explained:
    def __init__(self, app: App, config: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.app, self.config, self.capsys = app, config, capsys

    def __call__(self, *arguments: str) -> tuple[int, list[str]]:
        line = ["rules", "explain", *arguments, "--config", self.config]
        code = self.app(line, result_action="return_value")
        return code, self.capsys.readouterr().out.splitlines()


def test_a_tool_that_the_token_may_not_call(explained: Explained) -> None:
    code, lines = explained("/mcp", "--name", "drop_users", "--scope", "read", "--scope", "write")
    assert code == 1
    assert lines == [
        "POST /mcp is for the resource https://auth.example.com/mcp.",
        "Every request needs read.",
        "Rule 1 matches: it needs write.",
        "Rule 2 matches: it needs admin.",
        "Rule 3 does not match: the path / is not below /staff.",
        "Refused with 403 insufficient_scope: the token has read and write, and admin is missing.",
    ]


def test_a_scope_that_holds_another_is_enough(explained: Explained) -> None:
    code, lines = explained("/mcp", "--name", "drop_users", "--scope", "read", "--scope", "admin")
    assert (code, lines[-1]) == (0, "Allowed: the token has all that the matching rules need.")


def test_a_claim_that_the_user_does_not_have(explained: Explained) -> None:
    code, lines = explained(
        "/mcp/staff/1", "--scope", "read", "--claim", "groups=dev", "--claim", "email=a@example.com"
    )
    assert code == 1
    assert "Rule 1 does not match: the HTTP method GET is not POST." in lines
    assert any(
        line.startswith(
            "Rule 2 does not match: there is no MCP message, not tools/call; the message"
        )
        for line in lines
    )
    assert "needs the claim groups to be ops or sre-*, which the user does not have" in lines[4]
    assert lines[-1] == "Refused with 403 access_denied: rule 3 does not take the user."
    claims = ("--claim", "groups=dev", "--claim", "groups=sre-1", "--claim", "email=a@example.com")
    assert explained("/mcp/staff/1", "--scope", "read", *claims)[0] == 0


def test_scopes_and_claims_of_a_token(explained: Explained) -> None:
    issuer = JWTIssuer("https://a", "https://b", bytes(range(32)), clock=lambda: 1000.0)
    told = {"groups": ["ops"], "email": "a@example.com"}
    token = issuer.issue_access_token("c", ["read"], "j", expires_in=60, upstream_claims=told)
    assert explained("/mcp/staff", "--token", token)[0] == 0
    assert explained("/mcp/staff", "--token", "no token")[0] == 1


def test_a_token_from_standard_input(explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = JWTIssuer("https://a", "https://b", bytes(range(32)), clock=lambda: 1000.0)
    token = issuer.issue_access_token("c", ["read"], "j", expires_in=60)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
    assert explained("/mcp", "--token", "-")[0] == 0


def test_a_resource_without_rules_and_one_that_is_not_there(explained: Explained) -> None:
    assert explained("/open")[1][1:] == [
        "Every request needs a token.",
        "There are no rules.",
        "Allowed: the token has all that the matching rules need.",
    ]
    with pytest.raises(ConfigError, match="no resource"):
        explained("/elsewhere")
    with pytest.raises(ConfigError, match="refused with 400"):
        explained("/mcp/%2e%2e/x")
    with pytest.raises(ConfigError, match="name=value"):
        explained("/mcp", "--claim", "groups")
