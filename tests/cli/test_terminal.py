"""What others wrote, on an operator's terminal and in the rules about who may log in."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mintage.cli.grants import shown
from mintage.cli.terminal import harmless, print_table
from mintage.grants.admission import AllowRule
from mintage.grants.states import Identity
from tests.support.command import mintage

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eecila\r\nroot\x00\u200b"


def test_attack_e18_no_value_steers_the_terminal() -> None:
    assert harmless("Ünal 林").plain == "Ünal 林"
    text = harmless(NASTY).plain
    assert text.isprintable()
    assert r"\x1b]0;owned\x07" in text


def test_attack_e18_the_list_of_grants_is_text() -> None:
    row = {"grant": "3wd67", "subject": NASTY, "name": NASTY, "client": NASTY, "until": 0}
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=400, color_system=None).print(shown([row]))
    written = out.getvalue()
    assert r"\x1b[2J" in written
    assert not {"\x07", "\x9b", "\u202e", "\x00", "\u200b"} & set(written)
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written


@pytest.mark.parametrize("email", ["\u212aevin@example.com", "kevin@example\u3002com"])
def test_attack_e18_a_letter_that_only_folds_to_another_is_not_that_letter(email: str) -> None:
    """U+212A, the Kelvin sign, is a k to Python's lower()."""
    rule = AllowRule(emails="kevin@example.com", accept_unverified_emails=True)
    assert rule.misses(Identity(issuer="i", subject="s", claims={"email": email}))
    good = Identity(issuer="i", subject="s", claims={"email": "KEVIN@Example.com"})
    assert not rule.misses(good)


def test_attack_e18_domains_compare_ascii_letters_alone() -> None:
    rule = AllowRule(email_domains="kelvin.example", accept_unverified_emails=True)
    claims = {"email": "a@\u212aelvin.example"}
    assert rule.misses(Identity(issuer="i", subject="s", claims=claims))


@pytest.mark.parametrize("command", [("schema",), ("openapi",)])
def test_a_pipe_that_is_closed_is_no_traceback(command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mintage", *command],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_where_no_terminal_is_a_list_is_lines_with_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"grant": "3wd67", "subject": "a\tb", "client": "IDE", "since": 0, "until": 0}
    print_table(shown([row]))
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split("\t")[:4] == ["grant", "subject", "name", "client"]
    assert line.split("\t")[:4] == ["3wd67", r"a\tb", "", "IDE"]


@pytest.mark.parametrize("command", [("schema",), ("keys", "new")])
def test_a_full_disk_is_one_line(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mintage", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"mintage: the output can't be written: No space left on device\n"


def test_an_output_that_is_closed_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m mintage schema >&-"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_attack_e18_the_name_of_a_setting_can_not_forge_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text('"\\u001b[31mfoo\\nok       all is fine" = 1\n')
    for command in ("check", "serve"):
        done = mintage(command, "--config", str(file))
        assert done.returncode == 2
        printed = (done.stdout + done.stderr).decode()
        assert "\x1b[31mfoo" not in printed
        assert "ok       all is fine" not in [line.strip() for line in printed.splitlines()]
