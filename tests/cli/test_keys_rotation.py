"""``mintage keys`` and ``mintage grants``: what an operator does with a running system's store."""

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mintage.app.opening import open_vault
from mintage.app.secret_needs import register_of
from mintage.clients.registration import ClientIds, Registration
from mintage.crypto.derivation import purpose_keys
from mintage.errors import ConfigError
from mintage.grants import handles
from mintage.settings.load import load
from mintage.settings.secret_file import SecretFile
from mintage.stores.opening import open_store
from mintage.testing.nanoidp import free_port
from mintage.vault.settings import ProviderCalls
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from tests.support.command import mintage, served
from tests.support.logins import IDP, logged_in, rotate, use

CONFIG = f"""\
issuer = "http://127.0.0.1:8080"
store  = "sqlite://mintage.db"
[upstream]
issuer    = "{IDP}"
client_id = "mintage"
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:8000/mcp"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mintage.toml"
    path.write_text(CONFIG)
    load(path)  # makes the secret
    return path


@asynccontextmanager
async def server(config: Path) -> AsyncIterator[tuple[Vault, ClientIds]]:
    """What a server started now would work with."""
    settings = load(config)
    store = await open_store(settings.store, clock=time.time)
    yield (
        open_vault(
            settings,
            store,
            clock=time.time,
            steady=time.monotonic,
            random_bytes=secrets.token_bytes,
            calls=ProviderCalls(),
        ),
        ClientIds(*purpose_keys(settings.secrets, "client-id")),
    )
    await store.close()


ENDED = (
    "1 grant ended.\nRecorded nowhere: [audit] is not set. "
    "The server's log does not show what a command ends.\n"
)


def run(config: Path, *command: str) -> tuple[int, str]:
    done = mintage(*command, "--config", str(config))
    assert b"Traceback" not in done.stderr
    for secret in (config.parent / "mintage.secret").read_bytes().split():
        assert secret not in done.stdout + done.stderr
    return done.returncode, (done.stdout + done.stderr).decode()


def counts(config: Path) -> list[list[str]]:
    """The rows of the status table, without their ids: state, grants, sealed, tokens, clients."""
    code, shown = run(config, "keys", "status")
    heading, *rows = [line.replace("in use", "used").split("\t") for line in shown.splitlines()]
    assert heading == ["secret", "state", "grants", "sealed", "tokens", "clients"]
    assert code == (1 if any("MISSING" in row for row in rows) else 0)
    _, as_json = run(config, "keys", "status", "--json")
    assert [json.loads(line)["secret"] for line in as_json.splitlines()] == [r[0] for r in rows]
    return [row[1:] for row in rows]


async def register(client_ids: ClientIds) -> str:
    registration = Registration(
        redirect_uris=("https://app.example/cb",),
        client_name="IDE",
        token_endpoint_auth_method="none",
        grant_types=("authorization_code", "refresh_token"),
    )
    issued = client_ids.issue(registration, now=0, salt=secrets.token_bytes(8))
    return issued.client.client_id


async def test_a_secret_is_replaced_and_nobody_is_logged_out(config: Path) -> None:
    async with server(config) as (vault, client_ids):
        client_id = await register(client_ids)
        now = int(time.time())
        registered = await logged_in(vault, "alice", client_id, at=now)  # type: ignore[arg-type]
        other = await logged_in(vault, "bob", at=now)
    assert counts(config) == [["used", "2", "2", "2", "1"]]

    assert run(config, "keys", "rotate")[0] == 0
    assert counts(config) == [["used", "0", "0", "0", "0"], ["former", "2", "2", "2", "1"]]
    async with server(config) as (vault, client_ids):
        assert client_ids.read(client_id) is not None
        for opened in (registered, other):
            assert isinstance(await rotate(vault, opened), OpenGrant)
    assert counts(config) == [["used", "2", "2", "2", "0"], ["former", "1", "0", "0", "1"]]

    code, shown = run(config, "keys", "retire")
    assert code == 1
    assert "needed by 1 grant, kept" in shown
    assert len(load(config).secrets) == 2
    assert run(config, "keys", "retire", "--force")[0] == 0
    assert counts(config) == [["used", "2", "2", "2", "0"]]
    async with server(config) as (vault, client_ids):
        assert client_ids.read(client_id) is None  # it registers anew
        assert isinstance(await use(vault, other), OpenGrant)


async def test_a_secret_that_nothing_needs_is_retired_without_force(config: Path) -> None:
    async with server(config):
        pass
    run(config, "keys", "rotate")
    code, shown = run(config, "keys", "retire")
    assert (code, "needed by 0 grants, removed" in shown) == (0, True)
    assert len(load(config).secrets) == 1


async def test_a_secret_removed_by_hand_too_early_is_missed_by_name(config: Path) -> None:
    async with server(config) as (vault, _):
        await logged_in(vault)
    run(config, "keys", "rotate")
    secret = config.parent / "mintage.secret"
    both = secret.read_text()
    secret.write_text(both.splitlines()[0])
    assert counts(config) == [["used", "0", "0", "0", "0"], ["MISSING", "1", "1", "1", "0"]]
    code, shown = run(config, "grants", "list", "--json")
    assert code == 1
    assert json.loads(shown.splitlines()[0])["needs_secret"]
    assert "1 grant can't be read" in shown
    secret.write_text(both)
    assert counts(config) == [["used", "0", "0", "0", "0"], ["former", "1", "1", "1", "0"]]


async def test_a_staged_secret_is_known_before_it_is_used(config: Path) -> None:
    before = load(config).secrets
    run(config, "keys", "rotate", "--stage")
    staged = load(config).secrets
    assert staged[0].reveal() == before[0].reveal()
    assert len(staged) == 2
    run(config, "keys", "rotate", "--stage")  # it is staged already
    assert [one.reveal() for one in load(config).secrets] == [one.reveal() for one in staged]
    run(config, "keys", "rotate")
    assert [one.reveal() for one in load(config).secrets] == [
        staged[1].reveal(), staged[0].reveal(),
    ]  # fmt: skip


def test_the_secret_file_stays_its_owners_alone(config: Path) -> None:
    run(config, "keys", "rotate")
    assert (config.parent / "mintage.secret").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in config.parent.iterdir()} <= {
        "mintage.toml", "mintage.secret", "mintage.db", "mintage.db-wal", "mintage.db-shm",
    }  # fmt: skip


def test_a_file_reached_by_a_link_is_replaced_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("first\n")
    (tmp_path / "link").symlink_to("real")
    SecretFile.read(tmp_path / "link").rotate("second").write()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "second\nfirst\n"


@pytest.mark.parametrize("content", [b"", b"# a remark\n", b"\xff\xfe\n"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match="secret"):
        SecretFile.read(tmp_path / "secret")


def test_secrets_from_the_environment_are_not_the_commands_to_change(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_SECRET", secrets.token_urlsafe(32))
    config.write_text('secret = "env:MINTAGE_SECRET"\n' + CONFIG)
    done = mintage("keys", "rotate", "--config", str(config))
    assert done.returncode == 2
    assert b"secret" in done.stderr


async def test_grants_are_shown_and_ended(config: Path) -> None:
    async with server(config) as (vault, client_ids):
        client_id = await register(client_ids)
        now = int(time.time())
        alice = await logged_in(vault, "alice", client_id, at=now, email="a@example.com")  # type: ignore[arg-type]
        bob, carol = await logged_in(vault, "bob"), await logged_in(vault, "carol")

        code, shown = run(config, "grants", "list")
        assert code == 0
        assert all(word in shown for word in ("alice", "a@example.com", "IDE", "bob", "carol"))
        assert "upstream token" not in shown

        [line] = run(config, "grants", "list", "--json", "--subject", "alice")[1].splitlines()
        assert json.loads(line)["client_id"] == client_id

        assert run(config, "grants", "end", "--subject", "bob") == (0, ENDED)
        assert not isinstance(await use(vault, bob), OpenGrant)
        name = handles.grant_id(handles.store_key(carol.secret))
        assert run(config, "grants", "end", name) == (0, ENDED)
        assert run(config, "grants", "end", name) == (
            1,
            f"0 grants ended.\n{name}: there is no such grant\n",
        )
        assert not isinstance(await use(vault, carol), OpenGrant)
        assert isinstance(await use(vault, alice), OpenGrant)
        assert run(config, "grants", "end", "--all") == (0, ENDED)


@pytest.mark.parametrize("arguments", [(), ("--all", "--subject", "x"), ("aaaa", "--client", "c")])
def test_ending_grants_takes_exactly_one_way_to_say_which(
    config: Path, arguments: tuple[str, ...]
) -> None:
    assert run(config, "grants", "end", *arguments)[0] == 2


async def test_a_server_does_not_start_without_a_secret_that_grants_need(config: Path) -> None:
    async with server(config) as (vault, _):
        opened = await logged_in(vault)
    settings = load(config)
    store = await open_store(settings.store, clock=time.time)
    await register_of(settings, store, clock=time.time, steady=time.monotonic).note()
    await store.close()
    secret = config.parent / "mintage.secret"
    secret.write_text(f"{secrets.token_urlsafe(32)}\n")

    code, shown = run(config, "serve", "--port", "1")
    assert code == 2
    assert shown.startswith("mintage: secret: 1 grant needs the secret ")
    assert shown.count("\n") == 1
    ended = b"--force: 1 grant ended"
    async with served(config, free_port(), "--force", ready=ended):
        pass
    async with server(config) as (vault, _):
        assert isinstance(await use(vault, opened), Refused)


async def test_a_staged_secret_is_called_so_until_it_is_used(config: Path) -> None:
    async with server(config) as (vault, _):
        await logged_in(vault)
    run(config, "keys", "rotate", "--stage")
    assert [row[0] for row in counts(config)] == ["used", "staged"]
    run(config, "keys", "rotate")
    assert [row[0] for row in counts(config)] == ["used", "former"]
