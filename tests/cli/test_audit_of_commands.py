"""What operators do on the command line is in the audit trail too."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from mintage.cli import grants as command
from mintage.cli.keys_rotate import retire, rotate
from mintage.cli.store import adopt
from mintage.settings.load import load
from tests.cli.test_grants_end import on
from tests.cli.test_keys_rotation import CONFIG
from tests.support.logins import logged_in

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mintage.toml"
    path.write_text(f'{CONFIG}\n[audit]\nto = "file:audit.jsonl"\n')
    load(path)  # makes the secret
    return path


def records(config: Path) -> list[dict[str, Any]]:
    lines = (config.parent / "audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_grants_end_records_each_grant_and_the_command(config: Path) -> None:
    for _ in range(2):
        on(config, logged_in)
    assert command.end(config=config, every=True) == 0
    *ended, action = records(config)
    assert [record["event"]["action"] for record in ended] == ["grant_ended"] * 2
    for record in ended:
        assert record["mintage"]["by"] == "operator"
        assert record["user"]["id"]
    assert action["event"]["action"] == "admin_action"
    assert action["mintage"] == {
        "schema": 1,
        "operation": "grants end",
        "via": "cli",
        "operator": ME,
        "count": 2,
    }


def test_listing_records_nothing(config: Path) -> None:
    on(config, logged_in)
    assert command.list_grants(config=config, as_json=True) == 0
    assert not (config.parent / "audit.jsonl").exists()


def test_keys_that_are_rotated_and_retired(config: Path) -> None:
    on(config, logged_in)
    assert rotate(config=config, stage=True) == 0
    assert rotate(config=config) == 0
    assert retire(config=config, force=True) == 0
    found = records(config)
    told = [
        (
            record["event"]["action"],
            record["mintage"].get("operation"),
            record["mintage"].get("ids"),
        )
        for record in found
    ]
    staged, rotated, after_rotation, retired, after_retirement, lost = told
    assert staged == ("admin_action", "keys rotate --stage", None)
    assert rotated == ("admin_action", "keys rotate", None)
    assert retired == ("admin_action", "keys retire", None)
    assert lost[0] == "grant_ended"
    assert after_rotation[0] == after_retirement[0] == "keys_changed"
    assert len(after_rotation[2]) == 2
    assert after_retirement[2] == after_rotation[2][:1]
    secrets = (config.parent / "mintage.secret").read_text().split()
    trail = (config.parent / "audit.jsonl").read_text()
    assert not any(secret in trail for secret in secrets)


def test_a_store_that_is_adopted(config: Path) -> None:
    on(config, logged_in)
    adopt(config=config)
    (record,) = records(config)
    assert record["mintage"]["operation"] == "store adopt"


def test_on_stdout_records_of_commands_go_to_stderr(
    config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config.write_text(f'{CONFIG}\n[audit]\nto = "stdout"\n')
    on(config, logged_in)
    capfd.readouterr()
    assert command.end(config=config, every=True) == 0
    out, err = capfd.readouterr()
    assert out == "1 grant ended.\n"
    lines = [line for line in err.splitlines() if line.startswith("{")]
    assert [json.loads(line)["event"]["action"] for line in lines] == [
        "grant_ended",
        "admin_action",
    ]


UNUSABLE = {
    "audit.to: ": 'to = "file:nodir/audit.jsonl"',
    "audit.signing_secret: ": """to = "https://siem.example.com/in"
signing_secret = "command:sh -c 'echo no vault >&2; exit 3'"
""",
}


@pytest.mark.parametrize("key", UNUSABLE)
def test_without_a_usable_trail_a_command_does_its_work_and_says_that_it_is_not_recorded(
    config: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    on(config, logged_in)
    config.write_text(f"{CONFIG}\n[audit]\n{UNUSABLE[key]}\n")
    before = (config.parent / "mintage.secret").read_text()

    def warned() -> bool:
        (line,) = capsys.readouterr().err.splitlines()
        return line.startswith(f"mintage: not in the audit trail: {key}")

    capsys.readouterr()
    assert command.end(config=config, every=True) == 0
    assert warned()
    assert rotate(config=config) == 0
    assert warned()
    assert (config.parent / "mintage.secret").read_text() != before
    assert retire(config=config, force=True) == 0
    assert warned()
    adopt(config=config)
    assert warned()
    command.list_grants(config=config, as_json=True)
    assert "not in the audit trail" not in capsys.readouterr().err
