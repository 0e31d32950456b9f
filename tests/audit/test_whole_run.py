"""A real server with everything that it writes: no secret in any of it, and each event once.

The server runs as ``mintage serve``, with the most detailed log, metrics and traces.
"""

import asyncio
import base64
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, approve
from mintage.testing.serving import serving
from tests.support.collector import collecting
from tests.support.command import mintage
from tests.support.planted import leaks, secrets_of_token

ROOT_SECRET = "qV8nX2rT5wZ1yB4cE7fH0jK3mN6pS9uA-root"
REGISTRATION = "a-registration-token-that-nobody-knows"
OF_A_CLIENT = "the-secret-of-a-configured-client-0123"
SIGNING = "the-secret-that-signs-what-a-webhook-gets"
FORGED = "eyJhbGciOiJub25lIn0.eyJqdGkiOiJmb3JnZWQtYnktYS1zdHJhbmdlciJ9.c2lnbmF0dXJlLW9mLW5vYm9keQ"

SETTINGS = """
issuer = "{issuer}"
store  = "sqlite://{directory}/mintage.db"
secret = "env:ROOT_SECRET"
allow  = [{{ subjects = "alice" }}]

[upstream]
issuer        = "{upstream}"
client_id     = "mintage"
client_secret = "env:UPSTREAM_SECRET"

[[resource]]
path       = "/mcp"
backend    = "{backend}/mcp"
scopes     = ["tools"]
credential = "upstream"

[[resource]]
path       = "/notes"
backend    = "{backend}/notes"
credential = "exchange"
optional_scopes = ["admin"]
[resource.exchange]
audience = "notes"
[[resource.rule]]
path   = "/admin"
scopes = ["admin"]

[[resource]]
path       = "/down"
backend    = "http://127.0.0.1:9/down"
credential = "none"

[[client]]
client_id     = "configured"
client_secret = "env:OF_A_CLIENT"
redirect_uris = ["{redirect_uri}"]

[registration]
mode  = "token"
token = "env:REGISTRATION"

[tokens]
refresh_grace = 0

[audit]
to       = "file:audit.jsonl"
refusals = "all"

[metrics]
listen = "127.0.0.1:{metrics}"

[opentelemetry]
metrics = true
"""


@dataclass
class Run:
    """What happened, by what was done to the server; and all that the server wrote."""

    issuer: str
    http: httpx2.AsyncClient
    upstream: FakeUpstream
    directory: Path
    caused: Counter[str] = field(default_factory=Counter)
    secrets: set[str] = field(default_factory=set)
    shown: dict[str, str] = field(default_factory=dict)
    """What others were given to see: the page of metrics, spans, and answers that refuse."""

    @property
    def records(self) -> list[dict[str, Any]]:
        lines = (self.directory / "audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def log(self) -> list[dict[str, Any]]:
        lines = (self.directory / "stderr").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def written(self) -> dict[str, str]:
        """By name, each thing that leaves the server for an operator's eyes."""
        names = ("audit.jsonl", "stderr", "stdout")
        return {name: (self.directory / name).read_text() for name in names} | self.shown

    def browser(self) -> Browser:
        return Browser(stop_at=(REDIRECT_URI,))

    def keep(self, browser: Browser) -> None:
        """Nothing that *browser* held may be seen."""
        self.secrets |= {cookie.value for cookie in browser.cookies.jar if cookie.value}

    async def client(self, path: str = "/mcp", **metadata: Any) -> OAuthClient:
        client = OAuthClient(self.issuer, self.http, self.issuer + path)
        body = {
            "client_name": "A test client",
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "client_secret_post",
        } | metadata
        headers = {"authorization": f"Bearer {REGISTRATION}"}
        answer = await self.http.post(f"{self.issuer}/register", json=body, headers=headers)
        self.caused["client_registered"] += 1
        registered = answer.raise_for_status().json()
        client.client_id, client.client_secret = (
            registered["client_id"],
            registered["client_secret"],
        )
        self.secrets.add(registered["client_secret"])
        return client

    async def log_in(self, client: OAuthClient, *, renewing: bool = False) -> dict[str, Any]:
        """*renewing*: its next refresh asks the provider for new tokens."""
        self.upstream.lifetime = 0 if renewing else 3600
        async with self.browser() as browser:
            login, code = await client.log_in(browser)
            self.keep(browser)
        self.secrets |= {code, login.state, login.verifier}
        self.caused.update(["consent_given", "login", "token_issued"])
        answer = await client.redeem(login, code)
        self.upstream.lifetime = 3600
        return self.tokens_in(answer)

    def tokens_in(self, answer: httpx2.Response) -> dict[str, Any]:
        tokens: dict[str, Any] = answer.raise_for_status().json()
        for name in ("access_token", "refresh_token"):
            self.secrets |= set(secrets_of_token(tokens[name]))
        return tokens

    async def refresh(self, client: OAuthClient, tokens: dict[str, Any]) -> dict[str, Any]:
        answer = await client.refresh(tokens["refresh_token"])
        self.caused.update(["token_refreshed", "upstream_renewed"])
        return self.tokens_in(answer)

    def refused(self, answer: httpx2.Response, status: int) -> None:
        assert answer.status_code == status, answer.text
        self.caused["request_refused"] += 1
        said = f"{answer.headers}\n{answer.text}\n"
        self.shown["refusals"] = self.shown.get("refusals", "") + said


async def a_backend(request: Request) -> Response:
    """It shows what it was sent, as a careless one does."""
    return PlainTextResponse(str(dict(request.headers)))


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Run]:
    port, backend_port, metrics_port = free_port(), free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(collecting())
        upstream = await stack.enter_async_context(FakeUpstream(time.time).running())
        upstream.exchanges = frozenset({"notes"})
        app = Starlette(routes=[Route("/{path:path}", a_backend, methods=["GET", "POST"])])
        config = uvicorn.Config(app, port=backend_port, log_config=None, lifespan="off")
        await stack.enter_async_context(serving(uvicorn.Server(config)))
        http = await stack.enter_async_context(
            httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30)
        )
        (directory / "mintage.toml").write_text(
            SETTINGS.format(
                issuer=issuer,
                directory=directory,
                upstream=upstream.issuer,
                backend=f"http://127.0.0.1:{backend_port}",
                redirect_uri=REDIRECT_URI,
                metrics=metrics_port,
            )
        )
        run = Run(issuer, http, upstream, directory)
        run.secrets |= {ROOT_SECRET, REGISTRATION, OF_A_CLIENT, upstream.client_secret}
        with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
            server = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mintage", "serve",
                "--config", str(directory / "mintage.toml"), "--port", str(port),
                "--log-level", "debug", "--log-format", "json", "--access-log",
                stdout=out, stderr=err,
                env=environ(upstream) | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
            )  # fmt: skip
        try:
            await up(server, http, issuer)
            run.caused["settings_loaded"] += 1
            yield run
            page = await http.get(f"http://127.0.0.1:{metrics_port}/metrics")
            run.shown["metrics"] = page.raise_for_status().text
        finally:
            if server.returncode is None:
                server.terminate()
            assert await server.wait() == 0
        run.shown["traces"] = b"".join(collector.traces).decode("latin-1")
        run.shown["exported metrics"] = b"".join(collector.metrics).decode("latin-1")
        run.secrets |= set(upstream.issued)
        for sent in (*upstream.forms, *upstream.queries):
            names = ("code", "code_verifier", "state", "nonce", "refresh_token", "subject_token")
            run.secrets |= {sent[name] for name in names if name in sent}


def environ(upstream: FakeUpstream) -> dict[str, str]:
    return os.environ | {
        "ROOT_SECRET": ROOT_SECRET,
        "REGISTRATION": REGISTRATION,
        "OF_A_CLIENT": OF_A_CLIENT,
        "UPSTREAM_SECRET": upstream.client_secret,
    }


async def up(server: asyncio.subprocess.Process, http: httpx2.AsyncClient, issuer: str) -> None:
    async with asyncio.timeout(60):
        while True:
            assert server.returncode is None, "the server ended"
            try:
                await http.get(f"{issuer}/healthz")
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def logins_and_tokens(run: Run) -> None:
    client = await run.client()
    tokens = await run.log_in(client, renewing=True)
    newer = await run.refresh(client, tokens)
    assert "authorization" in (await client.call(newer["access_token"])).text
    # A refresh token that was used up.
    run.refused(await client.refresh(tokens["refresh_token"]), 400)
    run.caused.update(["token_reused", "grant_ended"])
    run.refused(await client.refresh(newer["refresh_token"]), 400)
    run.refused(await client.call(newer["access_token"]), 401)
    # A code that comes again.
    async with run.browser() as browser:
        login, code = await client.log_in(browser)
        run.keep(browser)
    run.secrets |= {code, login.state, login.verifier}
    run.tokens_in(await client.redeem(login, code))
    run.caused.update(["consent_given", "login", "token_issued"])
    run.refused(await client.redeem(login, code), 400)
    run.caused.update(["token_reused", "grant_ended"])
    # A client that ends its own grant, twice.
    tokens = await run.log_in(client)
    await client.revoke(tokens["access_token"])
    await client.revoke(tokens["access_token"])
    run.caused["grant_ended"] += 1


async def refusals(run: Run) -> None:
    client = await run.client()
    async with run.browser() as browser:
        page = await browser.open(client.authorization().url)
        await browser.submit(page, {"decision": "deny"})
        run.keep(browser)
    run.caused.update(["consent_denied", "request_refused"])
    run.upstream.user = "mallory"
    async with run.browser() as browser:
        await approve(browser, client.authorization().url)
        run.keep(browser)
    run.caused.update(["consent_given", "login_refused", "request_refused"])
    run.upstream.user, run.upstream.error = "alice", "access_denied"
    async with run.browser() as browser:
        await approve(browser, client.authorization().url)
        run.keep(browser)
    run.caused.update(["consent_given", "login_refused", "request_refused"])
    run.upstream.error = None
    get, post, issuer = run.http.get, run.http.post, run.issuer
    run.secrets |= set(secrets_of_token(FORGED)) | {"c2lnbmF0dXJlLW9mLW5vYm9keQ"}
    run.refused(await client.call(FORGED), 401)
    run.refused(await get(f"{issuer}/mcp?access_token={FORGED}"), 401)
    run.refused(
        await get(f"{issuer}/callback?code=a-stolen-code-1234&state=a-stolen-state-12"), 403
    )
    run.secrets |= {"a-stolen-code-1234", "a-stolen-state-12", "a-wrong-password-1234"}
    run.refused(await get(f"{issuer}/nothing?token={FORGED}"), 404)
    run.refused(await post(f"{issuer}/token?code=a-stolen-code-1234", data={"a": "b"}), 400)
    form = {"grant_type": "refresh_token", "refresh_token": FORGED}
    for password, status in ((OF_A_CLIENT, 400), ("a-wrong-password-1234", 401)):
        run.secrets.add(base64.b64encode(f"configured:{password}".encode()).decode())
        answer = await post(f"{issuer}/token", data=form, auth=("configured", password))
        run.refused(answer, status)
    wrong = {"authorization": "Bearer a-wrong-password-1234"}
    run.refused(await post(f"{issuer}/register", json={}, headers=wrong), 401)


async def gateway_calls(run: Run) -> None:
    client = await run.client("/notes")
    tokens = await run.log_in(client)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    for _ in range(3):
        assert (await client.call(tokens["access_token"])).status_code == 200
    run.caused["token_exchanged"] += 1
    run.refused(await run.http.get(f"{run.issuer}/notes/admin", headers=headers), 403)
    client = await run.client("/down")
    tokens = await run.log_in(client, renewing=True)
    run.refused(await client.call(tokens["access_token"]), 502)
    # The provider does not answer, and then refuses.
    run.upstream.faults["token"] = "503"
    run.refused(await client.refresh(tokens["refresh_token"]), 503)
    run.caused["upstream_unknown"] += 1
    run.upstream.faults.clear()
    client = await run.client()
    tokens = await run.log_in(client, renewing=True)
    run.upstream.end_all()
    run.refused(await client.refresh(tokens["refresh_token"]), 400)
    run.caused.update(["upstream_refused", "grant_ended"])


def commands(run: Run) -> None:
    """An operator ends the two grants that are left."""
    os.environ.update(environ(run.upstream))
    done = mintage("grants", "end", "--all", "--config", str(run.directory / "mintage.toml"))
    assert done.stdout == b"2 grants ended.\n", done.stderr
    run.caused.update(["grant_ended", "grant_ended", "admin_action"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All of it, once; the tests look at what was written."""

    async def whole() -> Run:
        async with running(tmp_path_factory.mktemp("run")) as run:
            await logins_and_tokens(run)
            await refusals(run)
            await gateway_calls(run)
            await asyncio.to_thread(commands, run)
        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        return asyncio.run(whole())


def test_attack_d07_no_secret_is_in_anything_that_was_written(run: Run) -> None:
    assert len(run.secrets) > 100
    assert len(run.written) == 7
    for name, text in run.written.items():
        assert len(text) > 1000 or name == "stdout", name
        assert leaks(text, run.secrets) == [], name


def test_the_search_finds_a_secret_in_each_spelling(run: Run) -> None:
    secret = max(run.secrets, key=len)
    for spelled in (secret, f"x{secret.encode().hex()}", f'{{"a": "{secret}"}}'):
        assert leaks(spelled, run.secrets)


def test_each_security_event_has_exactly_one_record(run: Run) -> None:
    assert Counter(record["event"]["action"] for record in run.records) == run.caused
    ids = [record["event"]["id"] for record in run.records]
    assert len(ids) == len(set(ids))


def test_each_record_is_of_the_schema_and_says_where_it_came_from(run: Run) -> None:
    for record in run.records:
        assert record["mintage"]["schema"] == 1
        assert "dropped" not in record["mintage"]
        by_operator = record["mintage"].get("by") == "operator"
        if record["event"]["action"] not in ("settings_loaded", "admin_action") and not by_operator:
            assert record["client"] == {"address": "127.0.0.1"}
            assert re.fullmatch("[0-9a-f]{12}", record["http"]["request"]["id"])


def test_the_log_has_the_reference_of_each_record_and_a_line_for_each_request(run: Run) -> None:
    logged = {line.get("request_id") for line in run.log}
    told = {record["http"]["request"]["id"] for record in run.records if "http" in record}
    assert told <= logged
    access = [line for line in run.log if line["logger"] == "mintage.access"]
    assert {line["request_id"] for line in access} >= told
    assert all(isinstance(line["status"], int) for line in access)
