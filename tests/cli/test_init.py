"""``mintage init``: what it asks, what it writes, and that a login works with it."""

import os
import pty
import re
import select
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import MappingProxyType

import httpx2
import pytest

from mintage.cli import new_settings
from mintage.cli.new_settings import Answers
from mintage.errors import ConfigError
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from mintage.upstream.presets import PRESETS
from tests.support.command import served

PAGES = Path(__file__).parents[2] / "docs" / "how-to" / "providers"
NEEDED = MappingProxyType(
    {
        "issuer": "https://login.example.com",
        "domain": "login.example.com",
        "tenant": "8f7a1b6e-0000-4000-8000-000000000000",
        "realm": "staff",
        "region": "eu-central-1",
        "user_pool": "eu-central-1_AbCdEfGhI",
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": "https://login.example.com/token",
        "userinfo_endpoint": "https://login.example.com/me",
    }
)
OPTIONS = ("--preset", "github", "--client-id", "abc", "--allow", "example.com")


def answers(preset: str, **changed: str) -> Answers:
    return Answers(
        **{
            "issuer": "https://auth.example.com",
            "preset": preset,
            "client_id": "abc",
            "backend": "http://127.0.0.1:8000/mcp",
            "store": "sqlite://mintage.db",
            "allow": "example.com",
        }
        | changed,
        upstream={name: NEEDED[name] for name in new_settings.needed(PRESETS[preset])},
    )  # fmt: skip


def init(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mintage", "init", *options],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "UPSTREAM_SECRET": "secret"},
    )


@pytest.mark.parametrize("allow", ["example.com", "everybody"])
@pytest.mark.parametrize("preset", PRESETS)
def test_what_it_writes_is_right_for_each_provider(preset: str, allow: str, tmp_path: Path) -> None:
    new_settings.check(new_settings.text(answers(preset, allow=allow)), tmp_path)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_steps_are_those_of_the_providers_page(preset: str) -> None:
    page = (PAGES / f"{preset}.md").read_text()
    there = page[page.index("## At the provider") : page.index("## In mintage.toml")]
    expected = [
        re.sub(r"\*\*|`", "", step) for step in re.findall(r"^\d+\. (.*)$", there, re.MULTILINE)
    ]
    told = new_settings.steps(PRESETS[preset], "https://auth.example.com")
    numbered = [line for line in told if re.match(r"^ +\d+\. ", line)]
    assert [re.sub(r"^ +\d+\. ", "", line) for line in numbered] == expected
    assert "The redirect address: https://auth.example.com/callback" in told
    logout = "https://auth.example.com/backchannel-logout"
    assert told[-1].endswith(logout) == (not PRESETS[preset].lookups)


def test_options_answer_all_questions(tmp_path: Path) -> None:
    done = init(tmp_path, *OPTIONS, "--issuer", "https://auth.example.com")
    assert done.returncode == 0, done.stderr
    assert "Authorization callback URL: https://auth.example.com/callback" in done.stdout
    assert "mintage check" in done.stdout
    written = tomllib.loads((tmp_path / "mintage.toml").read_text())
    assert written["upstream"] == {
        "preset": "github",
        "client_id": "abc",
        "client_secret": "env:UPSTREAM_SECRET",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["mintage.toml"]


@pytest.mark.parametrize(
    ("backend", "path"),
    [("http://127.0.0.1:8001/files", "/files"), ("http://127.0.0.1:8001/a/b/", "/a/b"),
     ("http://127.0.0.1:8001", "/mcp"), ("unix:/run/tools.sock", "/mcp"),
     ("unix:/run/tools.sock:/rpc", "/rpc"),
     ("http://127.0.0.1:8001/token", "/mcp"), ("http://127.0.0.1:8001/a%20b", "/mcp")],
)  # fmt: skip
def test_clients_find_a_server_at_the_path_that_it_has_itself(backend: str, path: str) -> None:
    made = answers("github", backend=backend)
    file = tomllib.loads(new_settings.text(made))
    assert file["resource"] == [{"path": path, "backend": backend, "credential": "identity"}]
    assert new_settings.next_steps(made, Path("mintage.toml"))[-1].endswith(f".com{path}")


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mintage.toml").write_text("mine")
    done = init(tmp_path, *OPTIONS)
    assert done.returncode == 2
    assert done.stderr == "mintage: --config: mintage.toml is there already; nothing was changed\n"
    assert (tmp_path / "mintage.toml").read_text() == "mine"


def test_a_store_that_several_servers_share_gets_a_secret_that_only_its_owner_reads(
    tmp_path: Path,
) -> None:
    done = init(tmp_path, *OPTIONS, "--store", "redis://127.0.0.1:6379")
    assert done.returncode == 0, done.stderr
    secret = tmp_path / "mintage.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.read_text().strip() not in done.stdout
    assert tomllib.loads((tmp_path / "mintage.toml").read_text())["secret"] == "file:mintage.secret"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--preset", "github", "--allow", "everybody"), "--client-id"),
        (("--preset", "gogle"), "--preset"),
        (("--preset", "entra", "--client-id", "abc", "--allow", "everybody"), "--upstream tenant="),
        ((*OPTIONS, "--upstream", "tenant"), "--upstream"),
        ((*OPTIONS, "--upstream", "client_secret=hunter2"), "--upstream client_secret="),
        ((*OPTIONS[:-1], "everyone"), "--allow"),
        ((*OPTIONS[:-1], "example.com,example.org"), "--allow"),
        ((*OPTIONS[:-1], "alice@example.com"), "--allow"),
        (("--preset", "github", "--client-id", "a\x1b[A"), "the answer"),
        ((*OPTIONS, "--upstream", "tenant=x"), "upstream.tenant"),
        ((*OPTIONS, "--issuer", "http://auth.example.com"), "issuer"),
        ((*OPTIONS, "--backend", "localhost:8000"), "resource[0].backend"),
        ((*OPTIONS, "--store", "mysql://db"), "store"),
        ((*OPTIONS, "--issuer", 'https://a.example"\nstore = "memory://'), "issuer"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_written(
    options: tuple[str, ...], key: str, tmp_path: Path
) -> None:
    done = init(tmp_path, *options)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(f"mintage: {key}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_value_is_one_value_whatever_it_holds(tmp_path: Path) -> None:
    odd = 'a"b\\c\n[allow]é'
    text = new_settings.text(answers("github", client_id=odd))
    assert tomllib.loads(text)["upstream"]["client_id"] == odd
    with pytest.raises(ConfigError):
        new_settings.check(new_settings.text(answers("github", issuer="x")), tmp_path)


def test_a_person_is_asked_and_shown_where_to_click_first(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "mintage", "init"],
        cwd=tmp_path, stdin=end, stdout=end, stderr=end,
        env={**os.environ, "UPSTREAM_SECRET": "secret"},
    )  # fmt: skip
    os.close(end)
    seen = ""
    for question, answer in (
        ("reach Mintage? [http://127.0.0.1:8080]: ", ""),
        ("Your identity provider (oidc, ", "gogle"),
        ("did you mean 'google'?", None),
        ("Your identity provider (oidc, ", "Google"),
        ("Authorized redirect URIs, Add URI: http://127.0.0.1:8080/callback", None),
        ("client_id: ", "abc"),
        ("Your server [http://127.0.0.1:8000/mcp]: ", ""),
        ("Store [sqlite://mintage.db]: ", ""),
        ("an e-mail domain, or everybody: ", "everyone"),
        ("write one domain, like example.com, or everybody", None),
        ("an e-mail domain, or everybody: ", "@Example.com"),
    ):
        seen = _until(terminal, question, seen)
        if answer is not None:
            os.write(terminal, answer.encode() + b"\n")
    _until(terminal, "mintage serve --port 8080", seen)
    assert child.wait(timeout=30) == 0
    os.close(terminal)
    written = tomllib.loads((tmp_path / "mintage.toml").read_text())
    assert written["allow"] == [{"email_domains": ["example.com"]}]
    assert written["upstream"]["preset"] == "google"


@pytest.mark.parametrize(
    ("preset", "name", "wrong", "right"),
    [
        ("keycloak", "domain", "https://kc.example.com/realms/a", "kc.example.com"),
        ("oidc", "issuer", "http://login.example.com", "https://login.example.com"),
    ],
)
def test_what_a_provider_needs_is_checked_when_it_is_answered(
    preset: str, name: str, wrong: str, right: str, tmp_path: Path
) -> None:
    """Not after the last question, when all answers would be lost."""
    read = new_settings.reader_of(name, PRESETS[preset], {}, tmp_path)
    with pytest.raises(ConfigError) as refused:
        read(wrong)
    assert refused.value.key == f"upstream.{name}"
    assert read(right) == right


def _until(terminal: int, words: str, seen: str) -> str:
    """Read from *terminal* until *words* are there; what comes after them."""
    deadline = time.monotonic() + 60
    while words not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096).decode().replace("\r\n", "\n")
    return seen.partition(words)[2]


async def test_what_it_writes_serves_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with FakeUpstream(time.time).running() as upstream:
        monkeypatch.setenv("UPSTREAM_SECRET", upstream.client_secret)
        monkeypatch.chdir(tmp_path)
        done = init(
            tmp_path, "--issuer", issuer, "--preset", "oidc",
            "--upstream", f"issuer={upstream.issuer}", "--client-id", upstream.client_id,
            "--allow", "everybody",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        async with (
            served(tmp_path / "mintage.toml", port),
            httpx2.AsyncClient(trust_env=False) as http,
            Browser(stop_at=(REDIRECT_URI,)) as browser,
        ):
            client = await OAuthClient(issuer, http, f"{issuer}/mcp").register()
            assert (await client.tokens(browser))["access_token"]


def test_the_end_of_input_ends_it_and_nothing_is_written(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "mintage", "init"],
        cwd=tmp_path, stdin=end, stdout=end, stderr=end, env=os.environ,
    )  # fmt: skip
    os.close(end)
    _until(terminal, "reach Mintage?", "")
    os.write(terminal, b"\x04")
    assert child.wait(timeout=30) == 130
    os.close(terminal)
    assert list(tmp_path.iterdir()) == []
