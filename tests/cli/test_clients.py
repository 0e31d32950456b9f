"""``mintage clients`` and ``grants show``: on the store of servers that run."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.cli import clients as command
from mintage.cli import grants
from mintage.cli.clients import admit, deny, list_clients
from mintage.errors import ConfigError
from mintage.grants import handles
from mintage.settings.load import load
from mintage.values import ClientId
from tests.cli.test_audit_of_commands import ME, records
from tests.cli.test_grants_end import on
from tests.cli.test_keys_rotation import CONFIG
from tests.support.command import mintage
from tests.support.fleet import fleet
from tests.support.logins import IDP, logged_in, new_code

DOCUMENT = ClientId("https://cdn.example/client.json")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mintage.toml"
    path.write_text(
        f'{CONFIG}\n[audit]\nto = "file:audit.jsonl"\n[[client]]\nclient_id = "ide"\n'
        'redirect_uris = ["https://ide.example/cb"]\n'
    )
    load(path)  # makes the secret
    monkeypatch.setattr(command, "KNOWN_EVERYWHERE", 0)  # no server runs
    return path


def listed(config: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert list_clients(config=config, as_json=True) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_configured_clients_and_those_with_logins_are_listed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for user in ("alice", "bob"):
        on(config, partial(logged_in, user=user, client=DOCUMENT))
    ide, document = listed(config, capsys)
    assert (ide["client_id"], ide["kind"], ide["grants"]) == ("ide", "configured", 0)
    assert ide["redirects_to"] == ["ide.example"]
    assert (document["client_id"], document["grants"]) == (DOCUMENT, 2)
    assert document["kind"] == "document"
    assert ide["denied_as"] is document["denied_as"] is None
    assert list_clients(config=config) == 0
    assert "ide.example" in capsys.readouterr().out


def test_a_denied_client_loses_its_logins_and_is_admitted_by_the_same_name(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(config, lambda vault: logged_in(vault, "alice", DOCUMENT))
    on(config, logged_in)
    assert deny("cdn.example", config=config) == 0
    assert capsys.readouterr().out == "cdn.example is denied. 1 grant ended.\n"
    assert deny("cdn.example", config=config) == 0
    assert capsys.readouterr().out == "cdn.example was denied before. 0 grants ended.\n"
    _, client, denial = listed(config, capsys)
    assert (client["client_id"], client["denied_as"]) == ("client", None)
    assert (denial["client_id"], denial["denied_as"]) == (None, "cdn.example")
    assert denial["denied_by"] == ME
    assert admit("cdn.example", config=config) == 0
    assert admit("cdn.example", config=config) == 1
    assert [row["denied_as"] for row in listed(config, capsys)] == [None, None]


def test_the_audit_trail_has_who_denied_what(config: Path) -> None:
    on(config, lambda vault: logged_in(vault, "alice", DOCUMENT))
    deny(DOCUMENT, config=config)
    admit(DOCUMENT, config=config)
    told = [
        (record["event"]["action"], record["mintage"].get("operation"), record["mintage"].get("by"))
        for record in records(config)
    ]
    assert told == [
        ("client_denied", None, None),
        ("grant_ended", None, "operator"),
        ("admin_action", "clients deny", None),
        ("client_denied", None, None),
        ("admin_action", "clients admit", None),
    ]
    first, *_ = records(config)
    assert (first["mintage"]["name"], first["mintage"]["denied"]) == (DOCUMENT, True)


def test_nobody_denies_all_desktop_apps_by_mistake(config: Path) -> None:
    on(config, logged_in)
    with pytest.raises(ConfigError, match="deny a client_id"):
        deny("localhost", config=config)


def test_a_denial_is_kept_as_it_is_compared(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(config, lambda vault: logged_in(vault, "alice", DOCUMENT))
    assert deny("CDN.Example.", config=config) == 0
    assert capsys.readouterr().out == "cdn.example is denied. 1 grant ended.\n"
    assert admit("CDN.Example.", config=config) == 0


@pytest.mark.parametrize("name", ["https://", "*", "*.*", "*.", "app.example/x"])
def test_a_denial_that_would_cover_nothing_is_refused(
    config: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on(config, logged_in)
    with pytest.raises(ConfigError, match="name a client_id that is in use here"):
        deny(name, config=config)
    assert [row["denied_as"] for row in listed(config, capsys)] == [None, None]
    assert admit(name, config=config) == 1


def test_a_configured_client_is_denied_by_its_id_whatever_it_looks_like(config: Path) -> None:
    config.write_text(config.read_text().replace('"ide"', '"The/IDE"'))
    on(config, logged_in)
    assert deny("The/IDE", config=config) == 0


def test_a_login_is_shown_with_all_but_its_secrets(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login = on(config, lambda vault: logged_in(vault, at=1_790_000_000, email="a@b.example"))
    name = handles.grant_id(handles.store_key(login.secret))
    assert grants.show(name, config=config, as_json=True) == 0
    out = capsys.readouterr().out
    shown = json.loads(out)
    assert abs(shown.pop("refreshed") - time.time()) < 60
    assert shown.pop("sealed_under") == shown.pop("signed_with")
    del shown["until"]
    assert shown == {
        "grant": name,
        "subject": "alice",
        "name": "a@b.example",
        "client": None,
        "client_id": "client",
        "since": 1_790_000_000,
        "state": "active",
        "issuer": IDP,
        "provider": "oidc",
        "resources": ["https://auth.example/mcp"],
        "scopes": ["tools"],
    }
    assert "upstream token" not in out
    assert grants.show(name, config=config) == 0
    assert "since: 2026-09-21 14:13 UTC\n" in capsys.readouterr().out


def test_a_login_whose_code_was_not_redeemed_is_pending(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = on(config, lambda vault: new_code(vault, at=int(time.time())))
    parsed = handles.parse_code(code)
    assert parsed is not None
    assert grants.show(handles.grant_id(handles.store_key(parsed[0])), config=config) == 0
    assert "state: pending\n" in capsys.readouterr().out


def test_what_is_no_id_of_a_login_is_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on(config, logged_in)
    assert grants.show("nosuch", config=config) == 1
    assert capsys.readouterr().err.startswith("nosuch: this is no id of a grant: ")


@pytest.mark.parametrize(
    ("audited", "where"),
    [
        (True, "the audit trail says when, and who ended it. "),
        (False, "the server's log says when, and who ended it, unless a command did: "),
    ],
)
def test_of_a_login_that_has_ended_it_is_said_where_it_is_recorded(
    config: Path, capsys: pytest.CaptureFixture[str], *, audited: bool, where: str
) -> None:
    """It is in no list, so that the store does not find it by its id."""
    if not audited:
        config.write_text(config.read_text().replace('[audit]\nto = "file:audit.jsonl"\n', ""))
    login = on(config, logged_in)
    name = handles.grant_id(handles.store_key(login.secret))
    assert grants.end((name,), config=config) == 0
    said = capsys.readouterr()
    recorded = "in the audit trail. " if audited else "nowhere: [audit] is not set. "
    assert said.out == "1 grant ended.\n"
    assert said.err == (f"Recorded {recorded}The server's log does not show what a command ends.\n")
    assert grants.show(name, config=config) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        f"{name}: no live grant has this id. If it was one, it has ended: {where}"
    )


async def test_when_the_command_returns_every_server_refuses_the_client(tmp_path: Path) -> None:
    """Two servers that run, and a command in a third process."""
    async with (
        fleet(tmp_path, processes=2) as servers,
        httpx2.AsyncClient() as http,
        servers.serving(0),
        servers.serving(1),
    ):
        registered = await servers.client_at(0, http, "").register()
        clients = [servers.client_at(n, http, registered.client_id) for n in range(2)]
        await servers.code(registered.client_id)
        done = await asyncio.to_thread(
            mintage, "clients", "deny", registered.client_id, "--config", str(servers.file)
        )
        assert done.stdout.decode().endswith(" is denied. 1 grant ended.\n")
        for client in clients:
            refused = await client.refresh("anything")
            assert refused.json()["error"] == "unauthorized_client"
