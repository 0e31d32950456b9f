"""A backend whose tokens another authorization server issues for an ID-JAG."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse

from mintage.checks.other_servers import check_other_servers
from mintage.errors import ConfigError
from mintage.settings.load import parse
from mintage.testing.fake_upstream import FakeUpstream
from mintage.upstream.id_jag import ID_JAG
from mintage.vault.values import OpenGrant
from tests.support.other_server import CLIENT_ID, CLIENT_SECRET, OtherServer
from tests.support.world import THE_BACKEND, World


@pytest.fixture
async def other(upstream: FakeUpstream) -> AsyncIterator[OtherServer]:
    upstream.renews_id_tokens = True
    async with OtherServer(upstream).running() as running:
        upstream.id_jags[running.url] = CLIENT_ID
        yield running


@pytest.fixture
def more() -> dict[str, Any]:
    """Settings of ``[resource.id_jag]`` that a test wants otherwise: override this fixture."""
    return {}


@pytest.fixture
def overrides(other: OtherServer, more: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "other").write_text(CLIENT_SECRET)
    (tmp_path / "other").chmod(0o600)
    found = {
        "issuer": other.url,
        "client_id": CLIENT_ID,
        "client_secret": "file:other",
        "resource": f"{other.url}/mcp",
        "scope": "tickets.read",
    }
    return {
        "resource": [
            {
                "path": "/mcp",
                "backend": f"{other.url}/mcp",
                "scopes": ["tools"],
                "credential": "id_jag",
                "id_jag": found | more,
            },
            {"path": "/plain", "backend": THE_BACKEND, "credential": "none"},
        ]
    }


async def logged_in(world: World) -> str:
    client = await world.client()
    async with world.browser() as browser:
        token: str = (await client.tokens(browser))["access_token"]
    return token


async def call(world: World, token: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"}
    return await world.http.get(world.resource, headers=headers)


class TestTheWay:
    async def test_the_backend_gets_a_token_of_its_own_server(
        self, world: World, other: OtherServer
    ) -> None:
        """Spec 128: the client and the backend know nothing of it."""
        answer = await call(world, await logged_in(world))
        assert answer.status_code == 200, answer.text
        assert answer.json()["user"] == "alice"
        assert answer.json()["headers"]["x-forwarded-user"] == "alice"
        (asked,) = other.assertions
        assert asked["client_id"] == CLIENT_ID
        assert asked["resource"] == f"{other.url}/mcp"
        assert asked["scope"] == "tickets.read"

    async def test_the_other_server_may_be_one_where_nobody_logs_in(
        self, world: World, other: OtherServer
    ) -> None:
        """RFC 8414 §2: its metadata then names no authorization endpoint."""
        del other.metadata["authorization_endpoint"]
        assert (await call(world, await logged_in(world))).status_code == 200

    async def test_the_token_is_kept_until_shortly_before_its_end(
        self, world: World, other: OtherServer
    ) -> None:
        token = await logged_in(world)
        for _ in range(3):
            assert (await call(world, token)).status_code == 200
        assert other.seen["token"] == 1
        world.clock.advance(other.lifetime - 29)
        assert (await call(world, token)).status_code == 200
        assert other.seen["token"] == 2

    async def test_many_requests_at_once_ask_once(self, world: World, other: OtherServer) -> None:
        token = await logged_in(world)
        other.delay = 0.2
        answers = await asyncio.gather(*(call(world, token) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert other.seen["token"] == 1

    async def test_attack_f70_each_user_has_a_token_of_their_own(
        self, world: World, other: OtherServer
    ) -> None:
        first = await logged_in(world)
        world.upstream.user = "bob"
        second = await logged_in(world)
        calls = [(first, "alice"), (second, "bob")] * 3
        answers = await asyncio.gather(*(call(world, token) for token, _ in calls))
        assert [answer.json()["user"] for answer in answers] == [user for _, user in calls]
        assert other.seen["token"] == 2

    async def test_an_id_token_is_renewed_before_it_ends(
        self, world: World, other: OtherServer
    ) -> None:
        """Its ten minutes are over long before the provider's access token is."""
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert (await call(world, tokens["access_token"])).status_code == 200
        world.clock.advance(1800)
        assert (await call(world, tokens["access_token"])).status_code == 200
        assert other.seen["token"] == 2

    async def test_without_a_new_id_token_the_user_logs_in_again(
        self, world: World, other: OtherServer
    ) -> None:
        world.upstream.renews_id_tokens = False
        token = await logged_in(world)
        assert (await call(world, token)).status_code == 200
        world.clock.advance(1800)
        answer = await call(world, token)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
        assert (await call(world, await logged_in(world))).status_code == 200


class TestFailures:
    async def test_the_provider_refuses(self, world: World, other: OtherServer) -> None:
        token = await logged_in(world)
        world.upstream.id_jags.clear()
        answer = await call(world, token)
        assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
        assert other.seen["token"] == 0
        assert other.seen["mcp"] == 0

    async def test_the_other_server_refuses(self, world: World, other: OtherServer) -> None:
        token = await logged_in(world)
        other.error = "invalid_grant"
        answer = await call(world, token)
        assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
        other.error = None
        assert (await call(world, token)).status_code == 200  # the login has not ended

    @pytest.mark.parametrize("down", ["provider", "other server"])
    async def test_an_outage_is_503_and_passes(
        self, world: World, other: OtherServer, down: str
    ) -> None:
        token = await logged_in(world)
        if down == "provider":
            world.upstream.faults["token"] = "503"
        else:
            other.fault = 503
        answer = await call(world, token)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        world.upstream.faults.clear()
        other.fault = None
        assert (await call(world, token)).status_code == 200

    async def test_the_other_server_does_not_know_this_one(
        self, world: World, other: OtherServer
    ) -> None:
        token = await logged_in(world)
        other.error = "invalid_client"
        answer = await call(world, token)
        assert answer.status_code == 502

    async def test_a_token_that_the_backend_takes_no_more_is_got_anew(
        self, world: World, other: OtherServer
    ) -> None:
        """The client is told to come back here, and not to log in at the other server."""
        token = await logged_in(world)
        assert (await call(world, token)).status_code == 200
        world.clock.advance(11)
        other.users.clear()  # it has lost its memory, or somebody there has revoked them
        answer = await call(world, token)
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_token"})
        challenge = answer.headers["www-authenticate"]
        assert f"{world.issuer}/.well-known/oauth-protected-resource/mcp" in challenge
        assert other.url not in challenge
        assert (await call(world, token)).status_code == 200
        assert other.seen["token"] == 2

    async def test_a_backend_that_takes_no_token_costs_the_provider_little(
        self, world: World, other: OtherServer
    ) -> None:
        token = await logged_in(world)
        other.refuses = True
        for _ in range(20):
            assert (await call(world, token)).status_code == 401
            world.clock.advance(1)
        assert other.seen["token"] <= 3

    @pytest.mark.parametrize(
        "said",
        [
            {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"},
            {"issued_token_type": ID_JAG, "token_type": "Bearer"},
            {},
        ],
    )
    async def test_attack_f71_another_kind_of_token_is_sent_to_nobody(
        self,
        world: World,
        other: OtherServer,
        monkeypatch: pytest.MonkeyPatch,
        said: dict[str, str],
    ) -> None:
        """An access token of the provider must not reach the other server as an assertion."""
        token = await logged_in(world)
        body = {"access_token": "an-access-token", "token_type": "N_A"} | said
        monkeypatch.setattr(world.upstream, "_id_jag", lambda _: JSONResponse(body))
        answer = await call(world, token)
        assert answer.status_code == 502
        assert other.seen["token"] == 0


class TestAnotherSubject:
    @pytest.fixture
    def more(self) -> dict[str, Any]:
        return {"subject_token": "refresh_token"}

    async def test_the_refresh_token_shows_who_it_is_and_no_id_token_is_kept(
        self, world: World, other: OtherServer
    ) -> None:
        token = await logged_in(world)
        answer = await call(world, token)
        assert answer.json()["user"] == "alice"
        asked = [form for form in world.upstream.forms if "subject_token" in form]
        assert asked[0]["subject_token_type"].endswith(":refresh_token")
        handle = world.running.tokens.read_access(token, world.resource).handle
        opened = await world.running.vault.live.authenticate(handle)
        assert opened.grant.upstream.id_token is None  # type: ignore[union-attr]

    async def test_it_comes_from_the_store_if_the_grant_is_in_memory(
        self, world: World, other: OtherServer
    ) -> None:
        token = await logged_in(world)
        handle = world.running.tokens.read_access(token, world.resource).handle
        assert isinstance(await world.running.vault.live.authenticate(handle), OpenGrant)
        answer = await call(world, token)
        assert answer.json()["user"] == "alice"
        assert other.seen["token"] == 1


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        ({"credential": "id_jag"}, "resource[0].id_jag"),
        ({"id_jag": {"issuer": "https://o.example", "client_id": "x"}}, "resource[0].id_jag"),
        (
            {
                "credential": "id_jag",
                "id_jag": {"issuer": "https://o.example", "client_id": "x"},
            },
            "resource[0].id_jag.client_secret",
        ),
        (
            {
                "credential": "id_jag",
                "id_jag": {
                    "issuer": "http://o.example",
                    "client_id": "x",
                    "client_secret": "env:A",
                },
            },
            "resource[0].id_jag.issuer",
        ),
    ],
)
def test_settings_that_cannot_be_meant(resource: dict[str, Any], key: str) -> None:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp"} | resource],
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, base=Path(), environ={"A": "a secret of sixteen"})
    assert caught.value.key == key


class TestMintageCheck:
    async def test_asks_the_other_server_with_the_credentials(
        self, world: World, other: OtherServer
    ) -> None:
        (found,) = [one async for one in check_other_servers(world.config)]
        assert (found.level, found.about) == ("ok", "resource[0].id_jag")
        other.error = "invalid_client"
        (found,) = [one async for one in check_other_servers(world.config)]
        assert (found.level, found.about) == ("error", "resource[0].id_jag.client_secret")
        other.error, other.fault = None, 503
        (found,) = [one async for one in check_other_servers(world.config)]
        assert found.level == "warning"
