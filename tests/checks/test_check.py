"""``mintage check``: its finding for each broken set-up, and for one that is right."""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from mintage.checks.access import who_may_log_in
from mintage.checks.addresses import check_addresses
from mintage.checks.everything import check_file
from mintage.checks.findings import Finding
from mintage.checks.granting import who_may_ask_for_codes
from mintage.clients.client import DEVICE_CODE
from mintage.errors import ConfigError
from mintage.extras import MissingExtra
from mintage.settings.load import load
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.command import mintage

_NO_NAME = f"{'x' * 64}.example"
"""Refused by the resolver's library itself, so no question leaves this machine."""
_STRONG = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"


def write(directory: Path, settings: dict[str, str]) -> Path:
    """A file of *settings*: each value as TOML, by ``name`` or ``table.name``."""
    tables: dict[str, list[str]] = {}
    for key, value in settings.items():
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {value}")
    text = ""
    for table in sorted(tables):  # the top of the file first
        brackets = ("[[", "]]") if table in ("resource", "allow") else ("[", "]")
        text += table.join(brackets) + "\n" if table else ""
        text += "\n".join(tables[table]) + "\n"
    path = directory / "mintage.toml"
    path.write_text(text)
    return path


@dataclass
class SetUp:
    """Settings that are right, with a provider, a backend and a front that answer at *url*."""

    directory: Path
    upstream: FakeUpstream
    url: str
    settings: dict[str, str]

    def write(self) -> Path:
        return write(self.directory, self.settings)

    async def check(self) -> list[Finding]:
        return [finding async for finding in check_file(self.write())]


@pytest.fixture
async def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SetUp]:
    monkeypatch.setenv("CHECKED_SECRET", "a-secret-of-the-fake-upstream")
    url = f"http://127.0.0.1:{(port := free_port())}"

    def answering(status: int) -> Callable[[Request], Any]:
        async def answer(_: Request) -> PlainTextResponse:
            return PlainTextResponse("", status_code=status)

        return answer

    async def metadata(_: Request) -> JSONResponse:
        return JSONResponse({"issuer": url})

    app = Starlette(
        routes=[
            Route("/mcp", answering(405)),
            Route("/broken", answering(500)),
            Route("/.well-known/oauth-authorization-server", metadata),
        ]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical")
    async with FakeUpstream(time.time).running() as upstream, serving(uvicorn.Server(config)):
        settings = {
            "issuer": f'"{url}"',
            "store": '"sqlite://mintage.db"',
            "upstream.issuer": f'"{upstream.issuer}"',
            "upstream.client_id": f'"{upstream.client_id}"',
            "upstream.client_secret": '"env:CHECKED_SECRET"',
            "resource.path": '"/mcp"',
            "resource.backend": f'"{url}/mcp"',
        }
        yield SetUp(tmp_path, upstream, url, settings)


async def test_what_is_right_is_said_to_be(set_up: SetUp) -> None:
    found = await set_up.check()
    assert [one for one in found if one.level != "ok"] == []
    sentences = [one.found for one in found]
    host = set_up.upstream.issuer.removeprefix("http://")
    assert f"{host} takes the client_id and its credentials" in sentences
    assert f"register this redirect address at {host}: {set_up.url}/callback" in sentences
    assert f"{set_up.url} leads to a server with this issuer" in sentences


async def test_a_backend_that_takes_its_time_is_waited_for(set_up: SetUp) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)  # longer than a request goes without a look at its client
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        set_up.settings["resource.backend"] = f'"{address}"'
        found = [one for one in await set_up.check() if one.about == "resource[0].backend"]
    assert [(one.level, one.found) for one in found] == [("ok", f"{address} answers")]


async def test_the_logout_address_is_told_for_a_provider_that_sends_logouts(set_up: SetUp) -> None:
    told = "back-channel logout address: "
    assert not [each for each in await set_up.check() if told in each.found]
    set_up.upstream.metadata["backchannel_logout_supported"] = True
    (found,) = [each for each in await set_up.check() if told in each.found]
    assert found.found.endswith("/backchannel-logout")


async def test_nothing_is_left_behind_by_a_check_before_the_first_start(set_up: SetUp) -> None:
    await set_up.check()
    assert [path.name for path in set_up.directory.iterdir()] == ["mintage.toml"]


async def test_a_check_beside_a_running_server_changes_no_record(set_up: SetUp) -> None:
    created = mintage("store", "init", "--config", str(set_up.write()))
    assert created.returncode == 0, created.stderr
    before = (set_up.directory / "mintage.secret").read_bytes()
    found = await set_up.check()
    assert "a record was written, read and removed" in [one.found for one in found]
    assert (set_up.directory / "mintage.secret").read_bytes() == before


def _nothing(_: SetUp) -> None: ...


def _secret(value: str) -> Callable[[SetUp], None]:
    def write(set_up: SetUp) -> None:
        (set_up.directory / "root").write_text(value)
        (set_up.directory / "root").chmod(0o600)

    return write


def _wrong_credentials(set_up: SetUp) -> None:
    set_up.upstream.client_secret = "another one"


def _wrong_client(set_up: SetUp) -> None:
    set_up.upstream.client_id = "another one"


def _fault(endpoint: Any, fault: Any) -> Callable[[SetUp], None]:
    def break_it(set_up: SetUp) -> None:
        set_up.upstream.faults[endpoint] = fault

    return break_it


def _other_issuer(set_up: SetUp) -> None:
    set_up.upstream.metadata["issuer"] = "https://somebody.example"


def _no_endpoint(set_up: SetUp) -> None:
    set_up.upstream.metadata["token_endpoint"] = None


def _file_for_a_directory(set_up: SetUp) -> None:
    (set_up.directory / "mintage.db").write_text("no database")
    (set_up.directory / "mintage.secret").write_text(_STRONG)
    for name in ("mintage.db", "mintage.secret"):
        (set_up.directory / name).chmod(0o600)


BROKEN: list[tuple[dict[str, str], Callable[[SetUp], None], str, str, str]] = [
    # settings, what else is wrong, level, about, words
    ({}, _wrong_credentials, "error", "upstream.client_secret", "refuses the client_id or its"),
    ({}, _wrong_client, "error", "upstream.client_secret", "invalid_client"),
    ({}, _fault("token", "503"), "warning", "upstream.client_secret", "nobody can tell"),
    ({}, _fault("token", "garbage"), "warning", "upstream.client_secret", "log in once"),
    ({}, _fault("discovery", "503"), "error", "upstream.issuer", "answered 503"),
    ({}, _fault("discovery", "garbage"), "error", "upstream.issuer", "is not a JSON object"),
    ({}, _fault("discovery", "redirect"), "error", "upstream.issuer", "redirect"),
    ({}, _other_issuer, "error", "upstream.issuer", "is of 'https://somebody.example'"),
    ({}, _no_endpoint, "error", "upstream.issuer", "token_endpoint"),
    (
        {"upstream.issuer": '"http://127.0.0.1:9"'},
        _nothing, "error", "upstream.issuer", "can't be reached",
    ),
    (
        {"upstream.issuer": f'"https://{_NO_NAME}"'},
        _nothing, "error", "upstream.issuer", "can't be reached",
    ),
    ({"resource.backend": '"http://127.0.0.1:9/mcp"'}, _nothing,
     "error", "resource[0].backend", "can't be reached"),
    ({"resource.backend": '"unix:/no/such.sock"'}, _nothing,
     "error", "resource[0].backend", "can't be reached"),
    ({"store": '"memory://"'}, _nothing, "warning", "store", "a restart ends them all"),
    ({"store": '"sqlite:///no/such/directory/mintage.db"', "secret": '"file:root"'},
     _secret(_STRONG), "error", "store", "mkdir -p /no/such/directory"),
    ({"store": '"postgresql://nobody@127.0.0.1:9/mintage"', "secret": '"file:root"'},
     _secret(_STRONG), "error", "store", "can't be reached"),
    ({"store": '"postgresql://nobody@127.0.0.1:99999/mintage"', "secret": '"file:root"'},
     _secret(_STRONG), "error", "store", "correct the URL"),
    ({"store": '"sqlite:///tmp"', "secret": '"file:root"'},
     _secret(_STRONG), "error", "store", "is a directory"),
    ({"store": f'"sqlite:///{"x" * 5000}"', "secret": '"file:root"'},
     _secret(_STRONG), "error", "store", "write a shorter path"),
    ({"store": '"redis://127.0.0.1:9"', "secret": '"file:root"'},
     _secret(_STRONG), "error", "store", "can't be reached"),
    ({}, _file_for_a_directory, "error", "store", "mintage.db"),
    ({"issuer": f'"https://{_NO_NAME}"'}, _nothing, "error", "issuer", "DNS record"),
    ({"issuer": '"http://127.0.0.1:9"'}, _nothing, "warning", "issuer", "nothing answers"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "prepare", "level", "about", "words"), BROKEN)
async def test_a_broken_set_up_gets_the_finding_that_names_it(
    set_up: SetUp,
    settings: dict[str, str],
    prepare: Callable[[SetUp], None],
    level: str,
    about: str,
    words: str,
) -> None:
    set_up.settings |= settings
    prepare(set_up)
    found = await set_up.check()
    (finding,) = [one for one in found if one.about == about and one.level != "ok"]
    assert finding.level == level
    assert words in f"{finding.found} → {finding.remedy}"
    assert finding.remedy


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("github", {}),
        ("google", {}),
        ("slack", {}),
        ("gitlab", {}),
        ("entra", {"upstream.tenant": '"common"'}),
    ],
)
def test_a_public_provider_without_a_rule_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, more: dict[str, str]
) -> None:
    finding = _who_may_log_in(tmp_path, monkeypatch, preset, more)
    assert finding.level == "warning"
    assert "everybody may" in finding.found


@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("github", {"upstream.domain": '"github.example.com"', "upstream.api": '"api.example"'}),
        ("gitlab", {"upstream.domain": '"gitlab.example.com"'}),
        ("entra", {"upstream.tenant": '"8f7a1b6e-0000-4000-8000-000000000000"'}),
        ("github", {"allow": '"everybody"'}),
        ("google", {"allow.email_domains": '["example.com"]'}),
        ("oidc", {"upstream.issuer": '"https://login.example.com"'}),
    ],
)
def test_a_provider_of_ones_own_a_rule_or_a_word_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, more: dict[str, str]
) -> None:
    assert _who_may_log_in(tmp_path, monkeypatch, preset, more).level == "ok"


def _who_may_log_in(
    directory: Path, monkeypatch: pytest.MonkeyPatch, preset: str, more: dict[str, str]
) -> Finding:
    monkeypatch.setenv("CHECKED_SECRET", "secret")
    settings = {
        "issuer": '"http://127.0.0.1:8080"',
        "store": '"memory://"',
        "upstream.preset": f'"{preset}"',
        "upstream.client_id": '"mintage"',
        "upstream.client_secret": '"env:CHECKED_SECRET"',
        "resource.path": '"/mcp"',
    }
    return who_may_log_in(load(write(directory, settings | more)))


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({}, None),
        ({"grant_types.device_code": "{}"}, "warning"),
        ({"grant_types.device_code": "{}", "registration.mode": '"off"'}, "warning"),
        (
            {
                "grant_types.device_code": "{}",
                "registration.mode": '"off"',
                "cimd.enabled": "false",
                "client": f'[{{client_id = "tv", grant_types = ["{DEVICE_CODE}"]}}]',
            },
            "ok",
        ),
    ],
)
def test_strangers_who_may_ask_for_codes_of_devices_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, str], level: str | None
) -> None:
    """RFC 8628 §5.4."""
    monkeypatch.setenv("CHECKED_SECRET", "secret")
    settings = {
        "issuer": '"http://127.0.0.1:8080"',
        "store": '"memory://"',
        "upstream.issuer": '"https://login.example.com"',
        "upstream.client_id": '"mintage"',
        "upstream.client_secret": '"env:CHECKED_SECRET"',
        "resource.path": '"/mcp"',
    }
    finding = who_may_ask_for_codes(load(write(tmp_path, settings | more)))
    assert (None if finding is None else finding.level) == level


async def test_a_clock_that_is_wrong_is_found_by_the_providers(set_up: SetUp) -> None:
    set_up.upstream.clock = lambda: time.time() - 120
    (finding,) = [one for one in await set_up.check() if one.level == "error"]
    assert re.search(r"clock is 12[01] s ahead of the provider's", finding.found)


async def test_a_program_that_is_not_there_is_named(set_up: SetUp) -> None:
    del set_up.settings["resource.backend"]
    set_up.settings["resource.command"] = '{run = ["no-such-program"]}'
    (finding,) = [one for one in await set_up.check() if one.level == "error"]
    assert finding.about == "resource[0].command.run"


async def test_a_resource_with_nothing_behind_it_is_a_warning(set_up: SetUp) -> None:
    del set_up.settings["resource.backend"]
    (finding,) = [one for one in await set_up.check() if one.level == "warning"]
    assert "nothing serves /mcp unless" in finding.found


@pytest.mark.parametrize(
    ("table", "setting", "package", "extra"),
    [
        ("metrics", ("listen", '"127.0.0.1:9464"'), "prometheus_client", "metrics"),
        ("opentelemetry", ("traces", "true"), "opentelemetry", "otel"),
    ],
)
async def test_a_table_whose_packages_are_not_installed_is_an_error(
    set_up: SetUp,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    setting: tuple[str, str],
    package: str,
    extra: str,
) -> None:
    set_up.settings[f"{table}.{setting[0]}"] = setting[1]
    assert not [one for one in await set_up.check() if one.level == "error"]
    monkeypatch.setitem(sys.modules, package, None)
    (finding,) = [one for one in await set_up.check() if one.level == "error"]
    assert finding.about == table
    assert finding.found == MissingExtra(extra, package).advice  # as `mintage serve` says it


async def test_a_backend_where_another_proxy_asks_is_a_warning(set_up: SetUp) -> None:
    set_up.settings["gateway.forward_auth"] = '"nginx"'
    (finding,) = [one for one in await set_up.check() if one.level == "warning"]
    assert finding.about == "resource[0].backend"
    assert "Mintage itself forwards what reaches it at /mcp" in finding.found
    set_up.settings["resource.optional_scopes"] = '["write"]'
    set_up.settings["resource.rule"] = '[{mcp_names = ["delete"], scopes = ["write"]}]'
    assert not [one for one in await set_up.check() if one.level == "warning"]  # nginx can't do it
    del set_up.settings["resource.backend"], set_up.settings["resource.rule"]
    assert not [one for one in await set_up.check() if one.level == "warning"]


async def test_what_everybody_can_read_is_a_warning(set_up: SetUp) -> None:
    root = set_up.directory / "root"
    root.write_text(_STRONG)
    root.chmod(0o644)
    set_up.settings["secret"] = '"file:root"'
    (finding,) = [one for one in await set_up.check() if one.level == "warning"]
    assert (finding.about, finding.remedy) == ("secret", f"chmod o-r {root}")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"secret": '"file:root"'}, "secret"),
        ({"secret": '"env:NO_SUCH_VARIABLE"'}, "secret"),
        ({"upstream.client_secret": '"env:NO_SUCH_VARIABLE"'}, "upstream.client_secret"),
        ({"upstream.client_secret": '"hunter2"'}, "upstream.client_secret"),
        ({"upstream.preset": '"gogle"'}, "upstream.preset"),
        ({"issuer": '"https://a.example/"'}, "issuer"),
        ({"resource.path": '"mcp"'}, "resource[0].path"),
        ({"resource.backend": '"127.0.0.1:8000"'}, "resource[0].backend"),
        ({"stroe": '"memory://"'}, "stroe"),
        ({"allow": '"nobody"'}, "allow"),
        ({"allow.email_domains": '["@example.com"]'}, "allow[0].email_domains"),
        ({"allow.email_domains": '["everyone"]'}, "allow[0].email_domains"),
        ({"allow.email_domains": '["example.com,example.org"]'}, "allow[0].email_domains"),
        ({"allow.emails": '["example.com"]'}, "allow[0].emails"),
    ],
)
async def test_a_file_that_no_server_starts_with_is_refused_by_its_key(
    set_up: SetUp, settings: dict[str, str], key: str
) -> None:
    (set_up.directory / "root").write_text("weak")
    set_up.settings |= settings
    with pytest.raises(ConfigError) as refused:
        await set_up.check()
    assert refused.value.key == key


async def test_a_proxy_is_named_without_its_password(set_up: SetUp) -> None:
    config = load(set_up.write(), writes=False)
    environ = {"https_proxy": "http://user:hunter2@proxy.example:3128"}
    found = [one async for one in check_addresses(config, environ=environ)]
    assert found[0].about == "https_proxy"
    assert found[0].found == "https to providers goes through the proxy proxy.example"
    assert "hunter2" not in str(found)


async def test_the_command_prints_a_line_for_each_finding_and_what_to_do(set_up: SetUp) -> None:
    set_up.settings["resource.backend"] = '"http://127.0.0.1:9/mcp"'
    done = await asyncio.to_thread(mintage, "check", "--config", str(set_up.write()))
    printed = done.stdout.decode()
    assert done.returncode == 1, done.stderr
    assert "error    resource[0].backend  http://127.0.0.1:9/mcp: the backend can't be" in printed
    assert "→ start the backend, and check the address, the port, and http or https" in printed
    assert printed.endswith("\n1 error, 0 warnings\n")


async def test_a_script_gets_json_and_the_exit_code(set_up: SetUp) -> None:
    right = await asyncio.to_thread(mintage, "check", "--json", "--config", str(set_up.write()))
    assert right.returncode == 0
    assert {one["level"] for one in json.loads(right.stdout)} == {"ok"}
    set_up.settings["issuer"] = '"no url"'
    wrong = await asyncio.to_thread(mintage, "check", "--json", "--config", str(set_up.write()))
    (finding,) = json.loads(wrong.stdout)
    assert (wrong.returncode, finding["level"], finding["about"]) == (2, "error", "issuer")
