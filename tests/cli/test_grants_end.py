"""``mintage grants end`` and ``keys retire``: what is foreign, damaged, or just being written."""

import asyncio
import json
import secrets
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mintage.app.opening import open_vault
from mintage.cli import grants as command
from mintage.cli.keys_rotate import retire
from mintage.cli.keys_status import status
from mintage.cli.opening import opened
from mintage.errors import ConfigError, StoreUnusable
from mintage.grants import handles
from mintage.grants.machines import client_identity, workload_identity
from mintage.grants.states import Consent, Identity
from mintage.settings.load import load
from mintage.settings.secret_file import SecretFile
from mintage.stores.opening import open_store
from mintage.values import ClientId
from mintage.vault import installation
from mintage.vault.settings import ProviderCalls
from mintage.vault.values import OpenGrant
from mintage.vault.vault import Vault
from tests.cli.test_keys_rotation import CONFIG
from tests.support.logins import CLIENT, IDP, RESOURCE, logged_in, new_code, use

T = TypeVar("T")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mintage.toml"
    path.write_text(CONFIG)
    load(path)  # makes the secret
    return path


def on(config: Path, work: Callable[[Vault], Awaitable[T]]) -> T:
    """What *work* does as a server with these settings."""

    async def run() -> T:
        settings = load(config)
        store = await open_store(settings.store, clock=time.time)
        try:
            vault = open_vault(
                settings,
                store,
                clock=time.time,
                steady=time.monotonic,
                random_bytes=secrets.token_bytes,
                calls=ProviderCalls(),
            )
            return await work(vault)
        finally:
            await store.close()

    return asyncio.run(run())


def live(config: Path, *logins: OpenGrant) -> list[bool]:
    async def look(vault: Vault) -> list[bool]:
        return [isinstance(await use(vault, login), OpenGrant) for login in logins]

    return on(config, look)


def log_in(config: Path, *users: str, at: int | None = None) -> list[OpenGrant]:
    since = int(time.time()) if at is None else at

    async def each(vault: Vault) -> list[OpenGrant]:
        return [await logged_in(vault, user, at=since) for user in users]

    return on(config, each)


def damage(config: Path, login: OpenGrant, **columns: bytes) -> None:
    db = sqlite3.connect(config.parent / "mintage.db")
    for column, value in columns.items():
        db.execute(
            f"UPDATE record SET {column} = ? WHERE key = ?",  # noqa: S608
            (value, handles.store_key(login.secret)),
        )
    db.commit()
    db.close()


def test_what_can_not_be_read_is_ended_and_shown(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice, bob = log_in(config, "alice", "bob")
    damage(config, alice, summary=b"\0" * 40)
    assert command.list_grants(config=config, as_json=True) == 1
    assert "its name is damaged" in capsys.readouterr().out
    assert command.end(config=config, subject="alice") == 0
    assert live(config, alice, bob) == [False, True]


MORE = """\
former_issuers = ["https://former.example"]
[grant_types.jwt_bearer]
[[trusted_issuer]]
name    = "cluster"
issuer  = "https://cluster.example"
purpose = "workload"
  [[trusted_issuer.rule]]
  name      = "reports"
  claims    = { sub = "report" }
  resources = ["/mcp"]
[[resource]]
"""


@pytest.mark.parametrize(
    "who",
    [
        client_identity("http://127.0.0.1:8080", ClientId("report"), {}),
        workload_identity("https://cluster.example", "cluster", "report", {}),
        Identity(issuer="https://former.example", subject="alice"),
    ],
    ids=["client", "workload", "user of a former name"],
)
def test_all_grants_of_a_subject_are_found_whoever_named_it(
    config: Path, capsys: pytest.CaptureFixture[str], who: Identity
) -> None:
    config.write_text(CONFIG.replace("[[resource]]\n", MORE))
    now = int(time.time())
    login = Consent(client_id=CLIENT, resource=RESOURCE, scopes=(), identity=who, created_at=now)

    async def issue(vault: Vault) -> OpenGrant:
        opened = await vault.direct.issue(login, ends_at=now + 600)
        assert isinstance(opened, OpenGrant)
        return opened

    opened = on(config, issue)
    log_in(config, "bob")
    assert command.list_grants(config=config, subject=who.subject, as_json=True) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["subject"] == who.subject
    assert command.end(config=config, subject=who.subject) == 0
    assert capsys.readouterr().out == "1 grant ended.\n"
    assert live(config, opened) == [False]


async def pages_of(config: Path, subject: str, limit: int) -> list[list[str]]:
    """The ids on each page of the admin API's list."""
    pages: list[list[str]] = []
    after = None
    async with opened(config) as here:
        while True:
            found, after = await here.described.page(subject, None, after=after, limit=limit)
            pages.append([grant.id for grant in found])
            if after is None:
                return pages


def test_a_user_of_a_provider_with_many_tenants_is_found_in_each(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = 'preset = "entra"\ntenant = "organizations"\nclient_secret = "env:SECRET"\n'
    config.write_text(
        CONFIG.replace(f'issuer    = "{IDP}"\n', many) + '[[allow]]\ngroups = ["x"]\n'
    )
    now, users = int(time.time()), [*["bob"] * 5, "alice", "alice", *["bob"] * 5]

    async def log_in_everywhere(vault: Vault) -> list[OpenGrant]:
        opened = []
        for number, subject in enumerate(users):
            issuer = f"https://login.microsoftonline.com/{uuid.UUID(int=number)}/v2.0"
            who = Identity(issuer=issuer, subject=subject)
            login = Consent(
                client_id=CLIENT, resource=RESOURCE, scopes=(), identity=who, created_at=now
            )
            one = await vault.direct.issue(login, ends_at=now + 600)
            assert isinstance(one, OpenGrant)
            opened.append(one)
        return opened

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SECRET", "x" * 40)
        logins = on(config, log_in_everywhere)
        assert command.list_grants(config=config, subject="alice", as_json=True) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["subject"] for row in rows] == ["alice", "alice"]
        both = [row["grant"] for row in rows]
        for limit, pages in ((1, [[both[0]], [both[1]]]), (2, [both]), (3, [both])):
            assert asyncio.run(pages_of(config, "alice", limit)) == pages
        assert command.end(config=config, subject="alice") == 0
        assert live(config, *logins) == [user == "bob" for user in users]


def test_a_record_of_a_newer_mintage_is_ended_too(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [alice] = log_in(config, "alice")
    damage(config, alice, record=b"\xfe" + bytes(60))
    assert command.end(config=config, every=True) == 0
    assert capsys.readouterr().out == "1 grant ended.\n"
    assert command.list_grants(config=config) == 0


def test_retire_removes_nothing_while_anything_is_unread(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [alice] = log_in(config, "alice")
    SecretFile.read(config.parent / "mintage.secret").rotate(secrets.token_urlsafe(32)).write()
    damage(config, alice, record=b"\xfe" + bytes(60))
    assert status(config=config) == 1
    assert retire(config=config) == 1
    assert len(load(config).secrets) == 2
    assert "can't be read" in capsys.readouterr().err
    assert command.end(config=config, every=True) == 0
    assert retire(config=config) == 0
    assert len(load(config).secrets) == 1


def test_what_is_under_a_foreign_secret_takes_force(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [alice] = log_in(config, "alice")
    file = config.parent / "mintage.secret"
    before = file.read_text()
    file.write_text(secrets.token_urlsafe(32) + "\n")
    assert command.end(config=config, every=True) == 1
    shown = capsys.readouterr()
    assert shown.out == "0 grants ended.\n"
    assert "--force" in shown.err
    name = handles.grant_id(handles.store_key(alice.secret))
    assert command.end((name,), config=config) == 1
    file.write_text(before)
    assert live(config, alice) == [True]
    file.write_text(secrets.token_urlsafe(32) + "\n")
    assert command.end(config=config, every=True, force=True) == 0
    file.write_text(before)
    assert live(config, alice) == [False]


def test_all_from_before_a_time_end_with_one_command(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a backup was restored: what was revoked since is back, and this ends it."""
    noon = 1_800_000_000
    [old] = log_in(config, "alice", at=noon - 1)
    [new] = log_in(config, "alice", at=noon)
    [damaged] = log_in(config, "bob", at=noon - 1)
    damage(config, damaged, summary=b"\0" * 40)
    assert command.end(config=config, before="2027-01-15T08:00:00Z") == 1
    assert "does not say since when" in capsys.readouterr().err
    assert live(config, old, new, damaged) == [False, True, True]
    assert command.end(config=config, before=str(noon + 1), subject="alice") == 0
    assert live(config, new) == [False]
    with pytest.raises(ConfigError, match="no time"):
        command.end(config=config, before="yesterday")


@pytest.mark.parametrize("user", ["alice", "zoe"])
def test_a_login_that_is_written_while_others_end_is_ended_too(
    config: Path, user: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its key may come before those that were looked at already."""
    log_in(config, *([user] * 5))
    real = command._end_all
    written: list[str] = []

    async def end_all(here: Any, found: Any, wanted: Any) -> object:
        if len(written) < 3:
            written.append(await new_code(here.vault, user, at=len(written)))
        return await real(here, found, wanted)

    monkeypatch.setattr(command, "_end_all", end_all)
    assert command.end(config=config, subject=user) == 0
    assert capsys.readouterr().out == "8 grants ended.\n"

    async def count(vault: Vault) -> int:
        return len([grant async for grant in vault.listing.find()])

    assert on(config, count) == 0


def test_a_command_does_not_touch_another_installations_store(config: Path) -> None:
    async def found(vault: Vault) -> None:
        other = "https://other.example"
        await installation.join(vault._store, other, [b"none"], secrets.token_bytes)

    [alice] = log_in(config, "alice")
    on(config, found)
    with pytest.raises(StoreUnusable, match="belongs to another installation"):
        command.end(config=config, every=True)
    assert live(config, alice) == [True]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_list_shows_each_id_whole(
    config: Path,
    terminal: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To be copied; and off a terminal each grant is one line."""
    [login] = log_in(config, "a-subject-that-is-as-long-as-those-of-many-providers-" + "x" * 60)
    monkeypatch.setenv("COLUMNS", "80" if terminal else "")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert command.list_grants(config=config) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert handles.grant_id(handles.store_key(login.secret)) in lines[0]
    assert terminal or len(lines) == 1


def test_the_list_says_in_which_zone_its_times_are(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(config, "alice")
    assert command.list_grants(config=config) == 0
    assert "since (UTC)" in capsys.readouterr().out


def test_ids_and_a_filter_exclude_each_other(config: Path) -> None:
    with pytest.raises(ConfigError, match="give only one of"):
        command.end(config=config, every=True, before="2027-01-15")
    with pytest.raises(ConfigError, match="name grants, or give"):
        command.end(config=config)


@pytest.mark.parametrize(("subject", "client"), [("nobody", None), (None, "mcp-client-cut-sho")])
def test_a_filter_that_finds_nothing_says_what_to_check(
    config: Path, capsys: pytest.CaptureFixture[str], subject: str | None, client: str | None
) -> None:
    log_in(config, "alice")
    assert command.end(config=config, subject=subject, client=client) == 1
    said = capsys.readouterr()
    assert said.out == "0 grants ended.\n"
    assert "give the whole subject or client_id" in said.err


def test_a_list_without_grants_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_in(config)
    assert command.list_grants(config=config) == 0
    assert capsys.readouterr().err == "There are no grants: nobody is logged in.\n"
    log_in(config, "alice")
    assert command.list_grants(config=config) == 0
    assert capsys.readouterr().err == ""
    assert command.list_grants(config=config, subject="nobody", as_json=True) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "give the whole subject or client_id" in said.err


def test_the_name_of_one_client_finds_its_id(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list for people shows names. Of two clients with one name either may be meant."""
    client = (
        '[[client]]\nclient_id = "{}"\nname = "An IDE"\nredirect_uris = ["http://127.0.0.1/"]\n'
    )
    config.write_text(config.read_text() + client.format(CLIENT))
    log_in(config, "alice")
    assert command.end(config=config, client="An IDE") == 1
    assert capsys.readouterr().err.endswith(f"One client has this name: {CLIENT}\n")
    assert command.list_grants(config=config, client="An IDE") == 0
    assert capsys.readouterr().err.endswith(f"One client has this name: {CLIENT}\n")
    config.write_text(config.read_text() + client.format("another"))
    on(config, partial(logged_in, user="bob", client=ClientId("another")))
    assert command.end(config=config, client="An IDE") == 1
    assert "give the whole subject or client_id" in capsys.readouterr().err


def test_an_id_that_is_not_there_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_in(config, "alice")
    assert command.end(("nosuch",), config=config) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("0 grants ended.\n", "nosuch: there is no such grant\n")
