"""What a server says of itself when it starts, and what it keeps to itself."""

import logging
from pathlib import Path
from typing import Any

import pytest

import mintage
from mintage.cli.introduction import introduce
from mintage.settings.load import parse

ENVIRON = {"SECRET": "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM", "UPSTREAM_SECRET": "hunter2"}


def said(caplog: pytest.LogCaptureFixture, directory: Path, **changed: Any) -> dict[str, str]:
    """Each line of the block, and its level."""
    settings = {
        "issuer": "https://auth.example.com",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {
            "preset": "github",
            "client_id": "mintage",
            "client_secret": "env:UPSTREAM_SECRET",
        },
        "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:8000/mcp"}],
    } | changed
    with caplog.at_level(logging.INFO, "mintage"):
        introduce(parse(settings, base=directory, environ=ENVIRON))
    return {record.getMessage(): record.levelname for record in caplog.records}


def test_it_names_what_is_protected_and_what_to_register(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    lines = said(
        caplog,
        tmp_path,
        resource=[
            {"path": "/mcp", "backend": "http://127.0.0.1:8000/mcp"},
            {"path": "/run", "command": {"run": ["server", "--key=hunter2"]}},
            {"path": "/own"},
        ],
    )
    assert list(lines)[:6] == [
        f"Mintage {mintage.__version__} at https://auth.example.com",
        "redirect address to register at GitHub: https://auth.example.com/callback",
        "https://auth.example.com/mcp → http://127.0.0.1:8000/mcp",
        "https://auth.example.com/run → the command server",
        "https://auth.example.com/own → the application around Mintage, or another proxy",
        "store: memory://",
    ]
    assert "hunter2" not in "".join(lines)


def test_each_of_several_providers_has_its_own_redirect_address(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    lines = said(
        caplog,
        tmp_path,
        upstream=[
            {"preset": "github", "client_id": "a", "client_secret": "env:UPSTREAM_SECRET"},
            {"preset": "google", "client_id": "b", "client_secret": "env:UPSTREAM_SECRET"},
        ],
    )
    assert (
        "redirect address to register at GitHub: https://auth.example.com/callback/github" in lines
    )
    assert (
        "redirect address to register at Google: https://auth.example.com/callback/google" in lines
    )


@pytest.mark.parametrize(
    ("allow", "level", "words"),
    [
        ((), "WARNING", "anybody can make an account at GitHub"),
        ("everybody", "INFO", "everybody whom the identity provider logs in may log in"),
        ([{"emails": "alice@example.com"}], "INFO", "who may log in: who fits the rule"),
    ],
)
def test_it_says_who_may_log_in_and_warns_where_that_is_the_whole_world(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, allow: Any, level: str, words: str
) -> None:
    (found,) = [
        shown for line, shown in said(caplog, tmp_path, allow=allow).items() if words in line
    ]
    assert found == level


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        (
            "postgresql://mint:hunter2@db.example:5432/mintage?schema=a",
            "postgresql://db.example:5432/mintage",
        ),
        ("redis://:hunter2@redis.example:6379?prefix=a", "redis://redis.example:6379"),
    ],
)
def test_a_password_of_the_store_is_not_in_the_log(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, store: str, shown: str
) -> None:
    assert f"store: {shown}" in said(caplog, tmp_path, store=store)
