"""Every row of errors.toml, sent to a running server: the status, the code, the whole sentence.

And what goes with each: a reference that is ours, and a line in the log under the same
reference which names the stage, and the reason that the client is not told.
"""

import asyncio
import logging
import re
import tomllib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import pytest

from mintage.errors import StoreUnavailable
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import Endpoint, FakeUpstream, Fault
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import OAuthClient, answer_of
from mintage.vault.cache import GrantCache
from tests.server.ways_back import told
from tests.support.logout_tokens import logout_token
from tests.support.world import SECRET, World, opened_world

TABLE: dict[str, list[dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("errors.toml").read_text(encoding="utf-8")
)
ROWS = [
    pytest.param(endpoint, row, id=f"{endpoint}: {row['input']}")
    for endpoint, rows in TABLE.items()
    if endpoint != "connection"  # tests/serving sends those
    for row in rows
]


def alone(parameters: Any) -> bool:
    """Whether a row has settings, or a past, that no other row may share."""
    row = parameters.values[1]
    # A logout at the provider ends what the user began in the same second.
    return "settings" in row or not UNSHARED.isdisjoint(row.get("given", ()))


UNSHARED: Final = frozenset({"the provider is away", "sent before"})


# What tells the reader to do something, or what it takes.
ADVICE = re.compile(
    r"\b(use|send|write|try|log in|sign in|open (the page|it) again|register|must"
    r"|may hold|may have|may not go|leave|ask|correct|clear"
    r"|go back|allow|shorten|check|tell|name one|get a new one|are https)\b"
)
LATER: Final = {
    "ten minutes later": 601,
    "a day later": 86_400,
    "a year later": 400 * 86_400,
    "the provider's token expired": 601,
}
FAULTS: Final[dict[str, tuple[Endpoint, Fault]]] = {
    "the provider is away": ("discovery", "503"),
    "the provider's tokens are away": ("token", "503"),
    "the provider refuses": ("token", "invalid_grant"),
    "the provider refuses this server": ("token", "invalid_client"),
}
FAILURES: Final = {
    "the store is away": StoreUnavailable("the disk is gone"),
    "a bug": ZeroDivisionError("a detail"),
}
BEFORE: Final = {
    "finished before": "/callback",
    "redeemed before": "/token",
    "sent before": "/backchannel-logout",
    "refreshed before": "/token",
    "registered before": "/register",
    "pushed before": "/par",
    "asked before": "/device_authorization",
    "called before": "/mcp",
}
_LONG: Final = re.compile(r"<(\d+)(?: (.))?>")


def settings_of(row: dict[str, Any]) -> dict[str, Any]:
    backend: dict[str, Any] = {"backend": f"http://127.0.0.1:{free_port()}", "scopes": ["tools"]}
    rules = [
        {"path": "/write", "scopes": ["write"]},
        {"path": "/admin", "claims": {"groups": ["ops"]}},
        {"mcp_methods": ["tools/call"], "scopes": ["write"]},
    ]
    resources: list[dict[str, Any]] = [
        {"path": "/mcp", "credential": "upstream"},
        {"path": "/other", "scopes": ["other"]},
        {"path": "/down"},
        {"path": "/ruled", "optional_scopes": ["write"], "rule": rules},
        {"path": "/site", "browser": True, "rule": rules[1:2]},
    ]
    more: dict[str, Any] = row.get("settings", {})
    return {"resource": [backend | one for one in resources]} | more


@pytest.fixture
def overrides(row: dict[str, Any]) -> dict[str, Any]:
    return settings_of(row)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, World]]:
    """One server for all rows that need none of their own: starting one costs more than a row."""
    stack, clock = AsyncExitStack(), ManualClock(3_000_000_000)

    async def opened() -> World:
        upstream = await stack.enter_async_context(FakeUpstream(clock).running())
        directory = tmp_path_factory.mktemp("hall")
        return await stack.enter_async_context(
            opened_world(clock, upstream, directory, settings_of({}), {})
        )

    with asyncio.Runner() as runner:
        yield runner, runner.run(opened())
        runner.run(stack.aclose())
        runner.run(asyncio.sleep(0.1))  # the servers' last connections are being closed


class Desk:
    """Makes a good request to each endpoint, and whatever is to be wrong about it."""

    def __init__(self, world: World, row: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
        self.world, self.row, self.patch = world, row, patch
        self.form: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.values = {"issuer": world.issuer}
        self.tokens: dict[str, Any] = {}
        self.method = "POST"
        world.upstream.lifetime = 600

    async def send(self, endpoint: str) -> httpx2.Response:
        async with self.world.browser() as browser:
            await getattr(self, endpoint.replace("-", "_"))(browser)
            for state in self.row.get("given", ()):
                await self.happen(state)
            return await self._changed(self.row.get("path", f"/{endpoint}"))

    async def authorize(self, _: Browser) -> None:
        await self._client()
        self.method = "GET"
        self.form = dict(httpx2.URL(self.client.authorization().url).params)

    async def par(self, browser: Browser) -> None:
        await self.authorize(browser)
        self.method = "POST"

    async def device_authorization(self, _: Browser) -> None:
        await self._client()
        self.form = {"client_id": self.client.client_id}

    async def consent(self, browser: Browser) -> None:
        await self._client()
        page = await browser.open(self.client.authorization().url)
        self.form = page.form().fields | {"decision": "approve"}
        self.headers = self.world.cookies_of(browser)

    async def account(self, browser: Browser) -> None:
        page = await browser.open(f"{self.world.issuer}/account")
        self.form = page.form().fields | {"upstream": "oidc"}
        self.headers = self.world.cookies_of(browser)

    async def callback(self, browser: Browser) -> None:
        await self._client()
        browser.stop_at = (f"{self.world.issuer}/callback",)
        page = await browser.open(self.client.authorization().url)
        landed = await browser.submit(page, {"decision": "approve"})
        self.method, self.form = "GET", answer_of(landed)
        self.headers = self.world.cookies_of(browser)

    async def token(self, browser: Browser) -> None:
        await self._client()
        if "logged in" in self.row.get("given", ()):
            await self._log_in(browser)
        login, code = await self.client.log_in(browser)
        self.form = {
            "client_id": self.client.client_id,
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": login.verifier,
            "redirect_uri": self.client.redirect_uri,
        }

    async def backchannel_logout(self, _: Browser) -> None:
        self.form = {"logout_token": logout_token(self.world.upstream)}

    async def revoke(self, browser: Browser) -> None:
        await self._client()
        await self._about_a_token(browser)

    async def introspect(self, browser: Browser) -> None:
        await self._client(token_endpoint_auth_method="client_secret_post")
        await self._about_a_token(browser)

    async def _about_a_token(self, browser: Browser) -> None:
        if "logged in" in self.row.get("given", ()):
            await self._log_in(browser)
        token = self.tokens.get("refresh_token", "x")
        self.form = {"client_id": self.client.client_id, "token": token}
        if self.client.client_secret is not None:
            self.form["client_secret"] = self.client.client_secret

    async def register(self, _: Browser) -> None:
        self.form = {"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}
        self.headers = {"content-type": "application/json"}

    async def documents(self, _: Browser) -> None:
        self.row.setdefault("path", "/.well-known/oauth-authorization-server")

    async def sign_in(self, _: Browser) -> None:
        self.method, self.form = "GET", {"to": "/site/x"}
        self.row.setdefault("path", "/mintage/sign-in")

    async def sign_out(self, browser: Browser) -> None:
        await self._session(browser)
        page = await browser.open(f"{self.world.issuer}/mintage/sign-out")
        self.form, self.headers = page.form().fields, self.world.cookies_of(browser)
        self.row.setdefault("path", "/mintage/sign-out")

    async def site(self, browser: Browser) -> None:
        await self._session(browser)
        self.method, self.headers = "GET", self.world.cookies_of(browser)
        self.row.setdefault("path", "/site/x")

    async def _session(self, browser: Browser) -> None:
        self.world.clock.advance(60)  # the store may have failed a moment ago
        browser.stop_at = (f"{self.world.issuer}/site",)
        await browser.open(f"{self.world.issuer}/mintage/sign-in?to=/site/x")
        browser.stop_at = ()

    async def healthz(self, _: Browser) -> None:
        """Nothing is needed."""

    readyz = healthz

    async def anywhere(self, _: Browser) -> None:
        self.method = "GET"
        self.row.setdefault("path", "/healthz")

    async def resource(self, browser: Browser) -> None:
        await self._client()
        self.method = "GET"
        place = [state for state in self.row.get("given", ()) if state.startswith("for /")]
        if place:
            self.client.resource = self.world.issuer + place[0].removeprefix("for ")
        await self._log_in(browser)
        self.row.setdefault("path", "/mcp")
        self.headers = {"authorization": f"Bearer {self.tokens['access_token']}"}

    async def happen(self, state: str) -> None:
        """*state* of errors.toml."""
        self.world.clock.advance(LATER.get(state, 0))
        if state in FAULTS:
            endpoint, fault = FAULTS[state]
            self.world.upstream.faults[endpoint] = fault
        if state in FAILURES:
            self._without_store(FAILURES[state])
        if state in BEFORE:
            await self._changed(BEFORE[state])
        if (special := getattr(self, "_" + state.replace(" ", "_"), None)) is not None:
            await special()

    async def _another_browser(self) -> None:
        self.headers.pop("cookie")

    async def _another_client(self) -> None:
        self.form["client_id"] = (await self.world.client()).client_id

    async def _refreshed_twice_since(self) -> None:
        newer = (await self.client.refresh(self.tokens["refresh_token"])).json()
        self.world.clock.advance(120)
        await self.client.refresh(newer["refresh_token"])
        self.world.clock.advance(120)

    async def _revoked(self) -> None:
        await self.client.revoke(self.tokens["refresh_token"])

    async def _another_signature(self) -> None:
        self.headers["authorization"] = self.headers["authorization"][:-8] + "AAAAAAAA"

    async def _for_another_resource(self) -> None:
        self.row["path"] = "/other"

    async def _long_addresses(self) -> None:
        noise = ["".join(sha256(bytes([n, m])).hexdigest() for m in range(6)) for n in range(9)]
        self.form["redirect_uris"] = [f"https://a.example/{text}" for text in noise]

    async def _many_headers(self) -> None:
        self.headers = {f"x-{n}": "1" for n in range(201)}

    async def _large_headers(self) -> None:
        self.headers = {f"x-{n}": "1" * 4000 for n in range(17)}

    def _without_store(self, error: Exception) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise error

        for name in ("load", "insert", "replace"):
            self.patch.setattr(self.world.running.store, name, fail)
        memory, empty = self.world.running.vault._memory, GrantCache(clock=self.world.clock)
        self.patch.setattr(memory, "cache", empty)

    async def _client(self, **metadata: Any) -> None:
        wanted = metadata | self._filled(self.row.get("client", {}))
        self.client: OAuthClient = await self.world.client(**wanted)

    async def _log_in(self, browser: Browser) -> None:
        self.tokens = await self.client.tokens(browser)
        self.values |= {name: self.tokens[name] for name in ("access_token", "refresh_token")}

    async def _changed(self, path: str) -> httpx2.Response:
        """The request with the row's changes."""
        row = self._filled(self.row)
        form = {
            name: value
            for name, value in (self.form | row.get("form", {})).items()
            if name not in row.get("without", ())
        }
        headers = {
            name: value
            for name, value in (self.headers | row.get("headers", {})).items()
            if name not in row.get("drop", ())
        }
        pairs = [*form.items()]
        again = form | row.get("second", {})
        pairs += [(name, again[name]) for name in row.get("twice", ())]
        method = row.get("method", self.method)
        query, content = row.get("raw_query"), row.get("body", "").encode()
        if headers.get("content-type") == "application/json" and path == "/register":
            content = content or httpx2.Request("POST", "http://a", json=form).content
        elif method == "GET" or (self.method == "GET" and path != "/authorize"):
            query = query if query is not None else urlencode(pairs)
        else:
            content = content or urlencode(pairs).encode()
            headers.setdefault("content-type", "application/x-www-form-urlencoded")
        url = self.world.issuer + self._filled(path) + (f"?{query}" if query else "")
        sent = [*headers.items(), *row.get("repeat", {}).items()]
        return await self.world.http.request(method, url, content=content, headers=sent)

    def _filled(self, value: Any) -> Any:
        match value:
            case str():
                filled = _LONG.sub(lambda found: (found[2] or "a") * int(found[1]), value)
                for name, known in self.values.items():
                    filled = filled.replace("{" + name + "}", known)
                return filled
            case dict():
                return {name: self._filled(inner) for name, inner in value.items()}
            case list():
                return [self._filled(inner) for inner in value]
            case _:
                return value


def refusal_in(answer: httpx2.Response, kind: str) -> tuple[str | None, str]:
    """(code, sentence) of an answer of that kind. A page shows the sentence alone."""
    match kind:
        case "json":
            assert answer.headers["content-type"] == "application/json"
            body = answer.json()
            assert body.keys() == {"error", "error_description"}
            return body["error"], body["error_description"]
        case "link":
            assert "location" not in answer.headers
            assert answer.headers["x-request-id"] in answer.text, "the page shows its reference"
            said = told(answer)
        case "redirect":
            said = answer_of(answer.headers["location"])
        case "onward":
            found = re.search(r'url=([^"]+)"', answer.text)
            assert found is not None
            said = answer_of(found[1].replace("&amp;", "&"))
        case _:
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            found = re.search(r'<p class="advice"[^>]*>(.*?)\.</p>', answer.text)
            assert found is not None
            assert answer.headers["x-request-id"] in answer.text, "the page shows its reference"
            said_here = found[1].replace("&#39;", "'")
            return None, said_here[0].lower() + said_here[1:]
    return said["error"], said["error_description"]


@pytest.mark.parametrize(("endpoint", "row"), [row for row in ROWS if not alone(row)])
def test_a_wrong_request_is_told_what_to_do(
    hall: tuple[asyncio.Runner, World],
    endpoint: str,
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner, world = hall
    world.upstream.faults.clear()
    runner.run(refused(world, endpoint, row, monkeypatch, caplog))


@pytest.mark.parametrize(("endpoint", "row"), [row for row in ROWS if alone(row)])
async def test_so_is_one_that_needs_a_server_of_its_own(
    world: World,
    endpoint: str,
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await refused(world, endpoint, row, monkeypatch, caplog)


async def refused(
    world: World,
    endpoint: str,
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Send the row, and compare every part of the answer."""
    caplog.set_level(logging.INFO, "mintage.server")
    desk = Desk(world, dict(row), monkeypatch)
    answer = await desk.send(endpoint)
    kind = row.get("kind", "json")
    assert answer.status_code == row["status"], answer.text
    code, sentence = refusal_in(answer, kind)
    reference = answer.headers["x-request-id"]
    says = row["says"].format(issuer=world.issuer, reference=reference)
    if kind in ("page", "developer"):
        says = says[0].lower() + says[1:]
    assert code in (None, row["error"])
    assert sentence == says
    challenge = row.get("challenge")
    assert answer.headers.get("www-authenticate") == (
        None if challenge is None else challenge.replace("{issuer}", world.issuer)
    )
    assert re.fullmatch("[0-9a-f]{12}", reference)
    [line] = [text for text in caplog.messages if text.startswith(reference)]
    assert f" {row['error']}" in line or row["status"] in (500, 502, 503)
    assert f"stage {row.get('stage', '')}" in line or row["status"] == 500
    assert row.get("reason", "") in line
    assert SECRET not in caplog.text


def test_each_sentence_says_what_to_do() -> None:
    for rows in TABLE.values():
        for row in rows:
            assert ADVICE.search(row["says"]), row["says"]


def test_the_reference_is_ours_and_what_was_sent_stays_in_its_line(
    hall: tuple[asyncio.Runner, World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mintage.server")
    runner, world = hall
    headers = {"x-request-id": "mine"}
    url = f"{world.issuer}/nothing%0A000000000000%20forged"
    answer = runner.run(world.http.get(url, headers=headers))
    assert answer.headers["x-request-id"] != "mine"
    assert "\n" not in caplog.text.strip()
    assert answer.headers["x-request-id"] in caplog.text


def test_a_good_answer_has_a_reference_too(hall: tuple[asyncio.Runner, World]) -> None:
    runner, world = hall
    first, second = (runner.run(world.http.get(f"{world.issuer}/healthz")) for _ in range(2))
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
