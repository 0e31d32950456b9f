"""``[audit]``: each wrong setting is named, and a trail that can't be written stops the start."""

from pathlib import Path
from typing import Any

import pytest

from mintage.app import Mintage
from mintage.errors import ConfigError
from mintage.settings.load import Config, parse
from tests.support.world import SECRET


def loaded(tmp_path: Path, audit: dict[str, Any], **environ: str) -> Config:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {"preset": "github", "client_id": "x", "client_secret": "env:SECRET"},
        "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:1/mcp"}],
        "audit": audit,
    }
    return parse(data, base=tmp_path, environ={"SECRET": SECRET} | environ)


@pytest.mark.parametrize(
    ("audit", "complaint"),
    [
        ({}, "audit.to: this setting is missing"),
        ({"to": "syslog"}, "audit.to: write file:PATH, stdout, or the URL of a webhook"),
        ({"to": "file:"}, "audit.to: write file:PATH, stdout, or the URL of a webhook"),
        ({"to": "http://siem.example/in"}, "audit.to: plain http is accepted for loopback hosts"),
        ({"to": "https://siem.example/in?key=1"}, "audit.to: must have no query"),
        ({"to": "https://me@siem.example/in"}, "audit.to: must have no query"),
        ({"to": "stdout", "subject": "hidden"}, "audit.subject: "),
        ({"to": "stdout", "refusals": "some"}, "audit.refusals: "),
        ({"to": "stdout", "authorization": "env:A"}, "audit.authorization: is for a webhook"),
        ({"to": "file:a", "signing_secret": "env:A"}, "audit.signing_secret: is for a webhook"),
        ({"to": "https://siem.example/in", "signing_secret": "env:A"}, "audit.signing_secret: the"),
        ({"to": "https://siem.example/in", "authorization": "x"}, "audit.authorization: write it"),
        ({"to": "stdout", "size": 1}, "audit.size: there is no such setting"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, audit: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, audit)
    assert str(raised.value).startswith(complaint)


def test_a_path_is_relative_to_the_settings(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"to": "file:log/audit.jsonl"})
    assert config.audit is not None
    assert config.audit.to == tmp_path / "log/audit.jsonl"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    audit = {"to": "https://siem.example/in", "authorization": "env:A", "signing_secret": "env:A"}
    config = loaded(tmp_path, audit, A="a-secret-of-the-webhook")
    assert config.audit is not None
    assert "a-secret-of-the-webhook" not in repr(config)


async def test_a_server_does_not_start_if_its_trail_cannot_be_written(tmp_path: Path) -> None:
    app = Mintage(loaded(tmp_path, {"to": "file:missing/audit.jsonl"}))
    with pytest.raises(ConfigError, match=r"audit.to: .* can't be written: No such file"):
        async with app.running():
            pass
