"""What an application with Mintage inside writes into its logs, under uvicorn's usual settings."""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from mintage.network.tls import trusted
from mintage.server.queries import kept_from_logs, shown
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, approve
from tests.support.world import SECRET

ROOT = Path(__file__).parents[2]
KINDS = ["starlette", "fastmcp", "fastmcp mounted", "mcp_sdk", "the application itself"]
LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@asynccontextmanager
async def embedded(
    kind: str, upstream: FakeUpstream, log: Path, *, loud: bool
) -> AsyncIterator[str]:
    """The application in a process of its own; its issuer. *log* gets all that it prints."""
    port = free_port()
    environ = {**os.environ, "UPSTREAM_SECRET": upstream.client_secret}
    with log.open("wb") as printed:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integrations.embedded", kind, str(port), upstream.issuer,
            cwd=ROOT, stdout=printed, stderr=printed,
            env=environ | ({"LOUD": "1"} if loud else {}),
        )  # fmt: skip
        try:
            await answering(f"http://127.0.0.1:{port}", child)
            yield f"http://127.0.0.1:{port}"
        finally:
            if child.returncode is None:
                child.terminate()
            await child.wait()


async def answering(url: str, child: asyncio.subprocess.Process) -> None:
    async with httpx2.AsyncClient(verify=trusted(), trust_env=False) as http:
        while child.returncode is None:
            try:
                await http.get(f"{url}/.well-known/oauth-authorization-server")
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError("the application ended at its start")


class Witness:
    """Every secret that passes by, and every reference that a person is shown."""

    def __init__(self) -> None:
        self.secrets: set[str] = {SECRET}
        self.references: set[str] = set()

    def __call__(self, response: httpx2.Response) -> None:
        for url in (str(response.url), response.headers.get("location", "")):
            self.url(url)
        self.secrets |= set(re.findall(r'name="request" value="([^"]+)"', response.text))
        self.secrets |= {cookie.partition(";")[0].partition("=")[2]
                         for cookie in response.headers.get_list("set-cookie")}  # fmt: skip
        self.references |= set(re.findall(r"Reference: <bdi>(\w+)</bdi>", response.text))
        self.secrets |= set(re.findall(r"[?&;](?:code|state|nonce)=([\w.~-]{16,})", response.text))

    def url(self, url: str) -> None:
        for name, value in parse_qsl(urlsplit(url).query):
            if name in ("code", "state", "nonce", "code_verifier"):
                self.secrets.add(value)


async def life(issuer: str, upstream: FakeUpstream, witness: Witness) -> None:
    """A login, what comes of it, and what goes wrong on the way."""
    async with (
        httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30) as http,
        Browser(stop_at=(REDIRECT_URI,), on_response=witness) as browser,
        Browser(stop_at=(REDIRECT_URI,), on_response=witness) as stranger,
    ):
        client = OAuthClient(issuer, http, f"{issuer}/mcp")
        await client.register(token_endpoint_auth_method="client_secret_post")
        login, code = await client.log_in(browser)
        tokens = (await client.redeem(login, code)).raise_for_status().json()
        await http.post(
            f"{issuer}/mcp", json=LISTING,
            headers={"authorization": f"Bearer {tokens['access_token']}"},
        )  # fmt: skip
        renewed = (await client.refresh(tokens["refresh_token"])).raise_for_status().json()
        await client.refresh("not.a.token")
        await client.token(grant_type="authorization_code", code=code, code_verifier="v" * 43)
        await client.revoke(renewed["refresh_token"])
        witness.secrets |= {login.verifier, login.state, code, client.client_secret or "-"}
        for answer in (tokens, renewed):
            witness.secrets |= {answer["access_token"], answer["refresh_token"]}
        await browser.open(client.authorization(prompt="none", login_hint="a@b.example").url)
        await stranger.open(f"{issuer}/callback?code={'c' * 40}&state={'s' * 40}&{'k' * 40}")
        witness.secrets |= {"c" * 40, "s" * 40, "k" * 40, "a@b.example", "a%40b.example"}
        upstream.claims["nonce"] = "of another login"
        await approve(browser, client.authorization().url)
        upstream.claims.clear()
    witness.secrets |= {upstream.client_secret, *upstream.issued}
    witness.secrets.discard("")


@pytest.fixture
async def provider() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(time.time).running() as running:
        yield running


@pytest.mark.parametrize(
    ("kind", "loud"),
    [*((kind, False) for kind in KINDS), ("starlette", True), ("fastmcp", True)],
)
async def test_attack_e21_no_line_holds_a_secret_and_each_reference_is_found(
    kind: str, provider: FakeUpstream, tmp_path: Path, *, loud: bool
) -> None:
    witness, log = Witness(), tmp_path / "printed.log"
    async with embedded(kind, provider, log, loud=loud) as issuer:
        await life(issuer, provider, witness)
    lines = log.read_text().splitlines()
    assert len(witness.secrets) > 15
    told = [(secret, line) for line in lines for secret in witness.secrets if secret in line]
    assert not told
    assert any("/callback?code=-&state=-" in line for line in lines), "uvicorn's own log is on"
    assert len(witness.references) >= 3
    for reference in witness.references:
        assert any(reference in line for line in lines), "a person has nothing else to tell"


def cases() -> Iterator[tuple[bytes, bytes]]:
    yield b"code=abc&state=def", b"code=-&state=-"
    yield b"client_id=x&scope=a+b&state=s", b"client_id=x&scope=a+b&state=-"
    yield b"%63ode=abc", b"-=-"
    yield b"abc", b"-"
    yield b"CODE=abc&=abc&code", b"-=-&-=-&-"
    yield b"error=access_denied&error_description=alice", b"error=access_denied&-=-"


@pytest.mark.parametrize(("query", "expected"), list(cases()))
def test_attack_e21_what_of_a_query_is_shown(query: bytes, expected: bytes) -> None:
    assert shown(query) == expected
    scope = {"query_string": query}
    assert kept_from_logs(scope)["query_string"] == query
    assert scope["query_string"] == expected
