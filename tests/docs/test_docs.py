"""Every code block of the README and of docs/ is run, or at least read by what it is for."""

import configparser
import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mintage.cli.main import app
from mintage.settings.load import load, parse
from mintage.settings.reading import HERE
from tests.support.forge import P256, pem

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROXIES = ("nginx", "caddyfile", "haproxy", "lua", "yaml", "js")
"""Run, or read, in tests/gateway/test_forward_auth_*.py and test_verification_in_proxies.py."""
SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"
ENVIRON = {
    "MINTAGE_SECRET": SECRET,
    "MINTAGE_SECRET_BEFORE": SECRET[::-1],
    "UPSTREAM_SECRET": "s",
    "GITHUB_SECRET": "s",
    "DASHBOARD_SECRET": SECRET,
    "REGISTRATION_TOKEN": SECRET,
    "ADMIN_TOKEN": SECRET,
    "MCP_SERVER_SECRET": SECRET,
    "AGENT_SECRET": SECRET,
    "NOTES_SECRET": SECRET,
    "TICKETS_SECRET": SECRET,
    "MINTAGE_SECRET_SIGNING_KEY": pem(P256).decode(),
}


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(page, match[1], match[2], line)


def of(language: str) -> list[Block]:
    return [block for block in blocks() if block.language == language]


def test_every_block_is_of_a_kind_that_is_run() -> None:
    """JavaScript runs in `test_other_languages`, and so does Java as far as it can."""
    kinds = {block.language for block in blocks()}
    known = {
        "python",
        "toml",
        "console",
        "ini",
        "text",
        "json",
        "mermaid",
        "javascript",
        "java",
        "go",
        *PROXIES,
    }
    assert kinds <= known, kinds


@pytest.mark.parametrize("block", [*of("go"), *of("java"), *of("javascript")], ids=str)
def test_samples_in_other_languages_stand_where_it_is_said_which_are_run(block: Block) -> None:
    assert block.page.name == "verify-tokens-elsewhere.md"
    page = block.page.read_text(encoding="utf-8")
    assert "they are **not run in the tests**" in page


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the settings of its page, if it has any."""
    if "fastapi" in block.text and not os.environ.get("CI"):
        pytest.importorskip("fastapi")
    settings = [other.text for other in of("toml") if other.page == block.page]
    (tmp_path / "mintage.toml").write_text("".join(settings[:1]))
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    exec(code, {"__name__": "docs"})  # noqa: S102


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_settings_are_accepted(block: Block, tmp_path: Path) -> None:
    data: dict[str, Any] = tomllib.loads(block.text)
    data["store"] = "memory://"
    if str(data.get("secret", "")).startswith("file:"):
        data["secret"] = "env:MINTAGE_SECRET"
    if (logo := data.get("branding", {}).get("logo")) is not None:
        (tmp_path / logo).write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    parse(data, base=tmp_path, environ=ENVIRON | sources(block.text, tmp_path))


def sources(settings: str, directory: Path) -> dict[str, str]:
    """The environment in which the credentials and the commands of *settings* are there."""
    for name in re.findall(r'"credential:(\w+)"', settings):
        (directory / name).write_text(SECRET)
    for program in re.findall(r'"command:(\w+) ', settings):
        (directory / program).write_text(f"#!/bin/sh\necho {SECRET}\n")
        (directory / program).chmod(0o700)
    return {"CREDENTIALS_DIRECTORY": str(directory), "PATH": f"{directory}:{os.defpath}"}


@pytest.mark.parametrize(
    "block", [b for b in of("text") if b.text.startswith("MINTAGE_ISSUER=")], ids=str
)
def test_settings_in_variables_are_accepted(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (line.partition("=") for line in block.text.splitlines())
    environ = {name: value for name, _, value in lines}
    assert load(HERE, environ=environ).issuer == environ["MINTAGE_ISSUER"]


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_commands_exist_with_their_options(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in block.text.splitlines():
        assert line.startswith("$ "), line
        program, *words = line[2:].split()
        if program == "make":
            assert all(re.search(rf"^{word}:", makefile, re.MULTILINE) for word in words)
        else:
            assert program == "mintage"
            app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_read(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_units_parse(block: Block) -> None:
    parser = configparser.ConfigParser(strict=False)  # systemd lets settings be repeated
    parser.read_string(block.text)
    assert "ExecStart" in parser["Service"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_attack_in_the_tables_has_its_tests() -> None:
    """A row names a file in which a test of that number stands."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-DF]\d\d) \|.*\| (\S+) \|$", text, re.MULTILINE)
    assert len(rows) > 30
    for row, file in rows:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert f"def test_attack_{row.lower()}_" in source, (row, file)


def test_every_runbook_has_tests_that_are_there() -> None:
    text = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
    table = text.partition("## Which of these a test tries")[2]
    tests = re.findall(r"`(tests/[^`]+)`", table)
    assert len(tests) > 10
    for name in tests:
        assert (ROOT / name).exists(), name
