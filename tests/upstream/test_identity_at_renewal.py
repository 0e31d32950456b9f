"""Who the user is at a renewal: asked again, stored and used; and what an unknown answer costs."""

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of
from mintage.upstream.presets import PRESETS
from mintage.upstream.presets.github import PRESET
from tests.support.world import THE_BACKEND, World, opened_world

RECHECK = 600
UNANSWERED = 3600


class Quota(FakeUpstream):
    """Answers some paths with *limit* instead of the truth."""

    limit: tuple[int, dict[str, str], Any] | None = None
    paths: frozenset[str] = frozenset()

    async def _document(self, request: Request) -> Response:
        if self.limit is not None and request.url.path in self.paths:
            status, headers, body = self.limit
            at = str(int(self.clock()) + 900)
            told = {
                name: at if value == "in 900 seconds" else value for name, value in headers.items()
            }
            return JSONResponse(body, status, headers=told)
        return await super()._document(request)


@pytest.fixture
async def upstream(clock: Any) -> Any:
    async with Quota(clock, lifetime=None, refreshable=False).running() as running:
        running.documents = {
            "/api/user": {"id": 1, "login": "alice", "name": "A"},
            "/api/user/emails": [{"email": "alice@example.com", "primary": True, "verified": True}],
            "/api/user/orgs": [{"login": "example"}],
            "/api/user/teams": [{"organization": {"login": "example"}, "slug": "core"}],
        }
        running.shape = lambda body: body | {"scope": "read:user,user:email,read:org"}
        yield running


def github(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The GitHub preset, on this machine: its addresses are https, and the provider's is not."""
    fields = {name: getattr(PRESET, name) for name in PRESET.__struct_fields__}
    here = tuple(
        type(lookup)(
            into=lookup.into,
            url=lookup.url.replace("https://{api}", f"{upstream.url}/api"),
            scopes=lookup.scopes,
            page_size=lookup.page_size,
        )
        for lookup in PRESET.lookups
    )
    monkeypatch.setitem(PRESETS, "github", type(PRESET)(**fields | {"lookups": here}))
    return {
        "preset": "github",
        "client_id": upstream.client_id,
        "client_secret": "env:UPSTREAM_SECRET",
        "authorization_endpoint": f"{upstream.url}/authorize",
        "token_endpoint": f"{upstream.url}/token",
        "revocation_endpoint": f"{upstream.url}/revoke/mintage",
        "scopes": ["read:user", "user:email", "read:org"],
        "recheck_seconds": RECHECK,
    }


@pytest.fixture
def overrides(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    rule = {"path": "/core", "claims": {"groups": "example/core"}}
    return {
        "upstream": github(upstream, monkeypatch),
        "allow": [{"organizations": ["example"]}],
        "grants": {"unanswered_seconds": UNANSWERED},
        "resource": [
            {"path": "/mcp", "backend": THE_BACKEND, "credential": "upstream", "rule": [rule]},
            {"path": "/me", "backend": THE_BACKEND, "credential": "identity"},
        ],
    }


async def logged_in(world: World) -> tuple[OAuthClient, dict[str, Any]]:
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def at(world: World, path: str, token: str) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    return await world.http.get(f"{world.issuer}{path}", headers=headers)


QUOTA = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "in 900 seconds"}
MESSAGE = {"message": "API rate limit exceeded for user ID 1."}
LIMITS = {
    "403 with a quota": (403, QUOTA, MESSAGE),
    "429": (429, {"retry-after": "120"}, MESSAGE),
    "404": (404, {}, {"message": "Not Found"}),
    "401 of nobody": (401, {}, {"message": "Log in to the proxy"}),
    "500": (500, {}, {}),
    "200 with another shape": (200, {}, {"orgs": []}),
    "200 with an error": (200, {}, {"ok": False, "error": "ratelimited"}),
}
WHERE = {
    "organizations": frozenset({"/api/user/orgs"}),
    "all": frozenset({"/api/user", "/api/user/orgs", "/api/user/emails", "/api/user/teams"}),
}


@pytest.mark.parametrize("paths", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_attack_e22_an_answer_that_says_nothing_ends_nothing(
    world: World, upstream: Quota, limit: Any, paths: frozenset[str]
) -> None:
    client, tokens = await logged_in(world)
    upstream.limit, upstream.paths = limit, paths
    world.clock.advance(RECHECK)
    assert (await client.call(tokens["access_token"])).status_code == 200
    tokens = (await client.refresh(tokens["refresh_token"])).json()
    for _ in range(5):
        world.clock.advance(UNANSWERED // 4)
        answer = await client.call(tokens["access_token"])
        assert answer.status_code in (200, 503, 401)
        answer = await client.refresh(tokens["refresh_token"])
        tokens = answer.json() if answer.status_code == 200 else tokens
    assert answer.status_code == 503  # it has been silent for too long
    assert int(answer.headers["retry-after"]) > 0
    upstream.limit = None
    world.clock.advance(400)
    tokens = (await client.refresh(tokens["refresh_token"])).json()
    assert (await client.call(tokens["access_token"])).status_code == 200
    await world.running.revoker.drain()
    assert upstream.seen["revoke"] == 0


@pytest.mark.parametrize("paths", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_attack_e22_a_new_login_waits(
    world: World, upstream: Quota, limit: Any, paths: frozenset[str]
) -> None:
    upstream.limit, upstream.paths = limit, paths
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        page = await browser.submit(page, {"decision": "approve"})
    assert page.status == 503
    assert "not among those" not in page.text
    if limit[0] == 403:
        assert "try again in 15 minutes" in page.text
    if limit[0] == 429:
        assert "try again in 2 minutes" in page.text


async def test_attack_e22_a_complete_list_without_the_organization_is_a_no(
    world: World, upstream: Quota
) -> None:
    client, tokens = await logged_in(world)
    upstream.documents["/api/user/orgs"] = [{"login": "another"}]
    world.clock.advance(RECHECK)
    assert (await client.call(tokens["access_token"])).status_code == 401
    refused = await client.refresh(tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert upstream.seen["revoke"] >= 1


async def test_attack_e22_half_a_list_is_no_no(world: World, upstream: Quota) -> None:
    """GitHub leaves out organizations that want single sign-on first, and says so in a header."""
    told = {"x-github-sso": "partial-results; organizations=21955855"}
    upstream.limit, upstream.paths = (200, told, [{"login": "another"}]), WHERE["organizations"]
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        page = await browser.submit(page, {"decision": "approve"})
        assert (page.status, "did not name all" in page.text) == (503, True)
        upstream.limit = (200, told, [{"login": "example"}])
        page = await browser.open(client.authorization().url)
        page = await browser.submit(page, {"decision": "approve"})
        assert page.url.startswith(REDIRECT_URI)


async def test_attack_e07_a_right_taken_away_is_gone_from_rules_and_headers(
    world: World, upstream: Quota
) -> None:
    client = await world.client()
    login = client.authorization(resource=None)
    url = login.url + "".join(f"&resource={world.issuer}{path}" for path in ("/mcp", "/me"))
    async with world.browser() as browser:
        page = await browser.open(url)
        page = await browser.submit(page, {"decision": "approve"})
    tokens = (await client.redeem(login, answer_of(page)["code"])).json()

    async def token_for(path: str) -> str:
        nonlocal tokens
        resource = f"{world.issuer}{path}"
        tokens = (await client.refresh(tokens["refresh_token"], resource=resource)).json()
        return str(tokens["access_token"])

    assert (await at(world, "/mcp/core", await token_for("/mcp"))).status_code == 200
    told = (await at(world, "/me", await token_for("/me"))).json()["headers"]
    assert told["x-forwarded-groups"] == "example/core"
    assert told["x-forwarded-email"] == "alice@example.com"
    upstream.documents["/api/user/teams"] = []
    upstream.documents["/api/user/emails"][0]["verified"] = False
    world.clock.advance(RECHECK)
    assert (await at(world, "/mcp/core", await token_for("/mcp"))).status_code == 403
    told = (await at(world, "/me", await token_for("/me"))).json()["headers"]
    assert not {"x-forwarded-groups", "x-forwarded-email"} & told.keys()


class TestHowLongASessionLasts:
    @pytest.fixture
    async def upstream(self, clock: Any) -> Any:
        async with FakeUpstream(clock).running() as running:
            yield running

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"grants": {"session_lifetime": 10_000}}

    async def test_attack_e07_a_session_ends_however_often_it_is_refreshed(
        self, world: World
    ) -> None:
        client, tokens = await logged_in(world)
        for _ in range(3):
            world.clock.advance(3000)
            tokens = (await client.refresh(tokens["refresh_token"])).json()
        assert tokens["expires_in"] == 1000  # no token outlives the session
        world.clock.advance(1010)
        assert (await client.call(tokens["access_token"])).status_code == 401
        refused = await client.refresh(tokens["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"


class TestWithoutARefreshToken:
    @pytest.fixture
    async def upstream(self, clock: Any) -> Any:
        async with FakeUpstream(clock, refreshable=False, lifetime=7200).running() as running:
            yield running

    @pytest.fixture
    def mode(self) -> str:
        return "ask"

    @pytest.fixture
    def overrides(self, upstream: FakeUpstream, mode: str) -> dict[str, Any]:
        return {
            "upstream": {
                "issuer": upstream.issuer,
                "client_id": upstream.client_id,
                "client_secret": "env:UPSTREAM_SECRET",
                "recheck_seconds": RECHECK,
                "without_refresh_token": mode,
            },
            "tokens": {"access_token_lifetime": RECHECK},
            "resource": [{"path": "/mcp", "backend": THE_BACKEND, "credential": "identity"}],
        }

    async def test_attack_e07_the_provider_is_asked_until_its_token_ends(
        self, world: World
    ) -> None:
        client, tokens = await logged_in(world)
        for _ in range(7200 // RECHECK - 1):
            world.clock.advance(RECHECK)
            tokens = (await client.refresh(tokens["refresh_token"])).json()
        assert world.upstream.seen["userinfo"] == 7200 // RECHECK - 1
        world.clock.advance(RECHECK)
        refused = await client.refresh(tokens["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"

    async def test_attack_e07_a_user_who_is_gone_is_out_at_the_next_question(
        self, world: World
    ) -> None:
        client, tokens = await logged_in(world)
        world.upstream.end_all()
        world.clock.advance(RECHECK)
        refused = await client.refresh(tokens["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"

    @pytest.mark.parametrize("mode", ["end"])
    async def test_or_it_ends_with_the_providers_token(self, world: World) -> None:
        client, tokens = await logged_in(world)
        world.clock.advance(7100)
        tokens = (await client.refresh(tokens["refresh_token"])).json()
        assert world.upstream.seen["userinfo"] == 0
        world.clock.advance(100)
        refused = await client.refresh(tokens["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"


class TestAnotherProvider:
    """The same store and secret, and in the place of the provider another one."""

    @pytest.fixture
    async def upstream(self, clock: Any) -> Any:
        async with FakeUpstream(clock).running() as running:
            yield running

    @pytest.fixture
    def world_store(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/mintage.db"

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {}

    async def test_nothing_of_its_logins_is_sent_to_the_new_one(
        self, clock: Any, upstream: FakeUpstream, tmp_path: Path, world_store: str
    ) -> None:
        store = {"store": world_store}
        async with opened_world(clock, upstream, tmp_path, store, {}) as world:
            client, tokens = await logged_in(world)
            port = world.port
        async with FakeUpstream(clock).running() as other:
            moved = settings_at(other, store)
            async with opened_world(clock, other, tmp_path, moved, {}, port=port) as world:
                client.http = world.http
                for seconds in (0, 3590, 10):
                    clock.advance(seconds)
                    answer = await client.call(tokens["access_token"])
                    assert answer.status_code == 503
                    answer = await client.refresh(tokens["refresh_token"])
                    assert answer.status_code == 503
                assert (await client.revoke(tokens["refresh_token"])).status_code == 200
                await world.running.revoker.drain()
            assert (other.forms, other.seen["revoke"], other.seen["userinfo"]) == ([], 0, 0)
        assert upstream.seen["revoke"] == 0

    async def test_unless_it_is_the_same_by_another_name(
        self, clock: Any, upstream: FakeUpstream, tmp_path: Path, world_store: str
    ) -> None:
        store = {"store": world_store}
        async with opened_world(clock, upstream, tmp_path, store, {}) as world:
            client, tokens = await logged_in(world)
            port = world.port
        before, upstream.issuer = upstream.issuer, upstream.url.replace("127.0.0.1", "localhost")
        moved = settings_at(upstream, store)
        moved["upstream"]["former_issuers"] = [before]
        async with opened_world(clock, upstream, tmp_path, moved, {}, port=port) as world:
            client.http = world.http
            clock.advance(3600)
            assert (await client.refresh(tokens["refresh_token"])).status_code == 200


def settings_at(upstream: FakeUpstream, more: dict[str, Any]) -> dict[str, Any]:
    """Settings with *upstream* as the one provider."""
    return more | {
        "upstream": {
            "issuer": upstream.issuer,
            "client_id": upstream.client_id,
            "client_secret": "env:UPSTREAM_SECRET",
        },
    }
