"""``mintage openapi``: a document of an example, or of one's own server."""

import json
from pathlib import Path

from tests.support.command import mintage

SETTINGS = """
issuer = "https://mint.example.org/auth"
store = "memory://"
secret = "file:secret"

[upstream]
issuer = "https://login.example.org"
client_id = "mintage"

[branding]
logo = "logo.svg"

[registration]
mode = "off"

[[resource]]
path = "/tools"
backend = "http://127.0.0.1:1/"
"""


def test_without_settings_it_describes_an_example() -> None:
    found = json.loads(mintage("openapi").stdout)
    assert found["openapi"] == "3.1.0"
    assert {"/authorize", "/token", "/register", "/jwks", "/mcp", "/branding/logo"} <= found[
        "paths"
    ].keys()


def test_with_settings_it_describes_that_server(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM")
    (tmp_path / "mintage.toml").write_text(SETTINGS)
    found = json.loads(mintage("openapi", "--config", str(tmp_path / "mintage.toml")).stdout)
    assert found["servers"] == [{"url": "https://mint.example.org"}]
    assert {"/auth/token", "/auth/tools", "/auth/branding/logo"} <= found["paths"].keys()
    assert "/auth/register" not in found["paths"]
