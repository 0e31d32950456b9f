"""Several resources in one login (RFC 8707), each token for one of them; and what goes upstream."""

from typing import Any

import pytest

from mintage.testing.oauth_client import OAuthClient, answer_of, approve
from tests.server.ways_back import told
from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    backend = "http://127.0.0.1:9/"
    return {
        "resource": [
            {"path": "/a", "backend": backend, "scopes": ["read"], "optional_scopes": ["cal"]},
            {"path": "/b", "backend": backend, "scopes": ["other"], "token_claims": ["email"]},
            {"path": "/c", "backend": backend, "scopes": ["third"]},
        ],
        "scopes": {
            "implies": {"cal": ["read"]},
            "upstream": {"cal": ["https://idp.example/calendar"], "other": ["files"]},
        },
    }


class Desk:
    """A client that asks for what it is told to."""

    def __init__(self, world: World, client: OAuthClient) -> None:
        self.world, self.client = world, client
        self.a, self.b, self.c = (f"{world.issuer}/{name}" for name in "abc")

    async def log_in(self, *resources: str, **parameters: str) -> dict[str, str]:
        """The answer to an authorization request, with its verifier."""
        login = self.client.authorization(resource=None, **parameters)
        url = login.url + "".join(f"&resource={resource}" for resource in resources)
        async with self.world.browser() as browser:
            landed = await approve(browser, url)
        return answer_of(landed) | {"verifier": login.verifier}

    async def token(self, **parameters: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.world.http.post(
            f"{self.world.issuer}/token",
            data={"client_id": self.client.client_id} | parameters,
        )
        return answer.status_code, answer.json()

    async def redeem(self, answer: dict[str, str], *resources: str) -> tuple[int, dict[str, Any]]:
        return await self.token(
            grant_type="authorization_code",
            code=answer["code"],
            code_verifier=answer["verifier"],
            resource=list(resources),
        )

    async def refresh(self, token: str, *resources: str, **more: str) -> tuple[int, dict[str, Any]]:
        return await self.token(
            grant_type="refresh_token", refresh_token=token, resource=list(resources), **more
        )

    def audience(self, body: dict[str, Any]) -> str:
        return self.world.running.tokens.read_any(body["access_token"])[1].aud


@pytest.fixture
async def desk(world: World) -> Desk:
    return Desk(world, await world.client())


async def test_spec098_a_token_is_for_the_one_resource_that_its_request_names(desk: Desk) -> None:
    answer = await desk.log_in(desk.a, desk.b)
    _, body = await desk.redeem(answer, desk.b)
    assert (desk.audience(body), body["scope"]) == (desk.b, "other")
    _, body = await desk.refresh(body["refresh_token"], desk.a)
    assert (desk.audience(body), body["scope"]) == (desk.a, "read")


async def test_spec099_without_a_name_the_binding_stays_what_it_was(desk: Desk) -> None:
    answer = await desk.log_in(desk.a, desk.b)
    _, body = await desk.redeem(answer, desk.b)
    _, body = await desk.refresh(body["refresh_token"], desk.a)
    _, body = await desk.refresh(body["refresh_token"])
    assert desk.audience(body) == desk.b
    _, body = await desk.redeem(await desk.log_in(desk.a, desk.b))
    assert desk.audience(body) == desk.a
    _, body = await desk.redeem(await desk.log_in())
    assert desk.audience(body) == desk.a


async def test_spec098_what_was_not_agreed_to_is_no_target(desk: Desk) -> None:
    answer = await desk.log_in(desk.a, desk.b)
    for resources in ((desk.c,), (desk.a, desk.b), (desk.a, "https://nowhere.example")):
        status, body = await desk.redeem(answer, *resources)
        assert (status, body["error"]) == (400, "invalid_target")
    _, body = await desk.redeem(answer, desk.a)  # nothing was spent by asking wrongly
    assert (await desk.refresh(body["refresh_token"], desk.c))[1]["error"] == "invalid_target"


async def test_spec098_all_resources_are_known_or_none_is_granted(desk: Desk) -> None:
    login = desk.client.authorization(resource=None)
    url = f"{login.url}&resource={desk.a}&resource=https://nowhere.example"
    async with desk.world.browser() as browser:
        landed = await browser.open(url)
    assert told(landed)["error"] == "invalid_target"


async def test_attack_a09_a_token_of_a_login_for_two_opens_only_its_own(desk: Desk) -> None:
    _, body = await desk.redeem(await desk.log_in(desk.a, desk.b), desk.b)
    headers = {"authorization": f"Bearer {body['access_token']}"}
    assert (await desk.world.http.get(desk.a, headers=headers)).status_code == 401
    assert (await desk.world.http.get(desk.b, headers=headers)).status_code == 502


async def test_the_consent_page_names_every_resource(desk: Desk) -> None:
    url = f"{desk.client.authorization(resource=None).url}&resource={desk.a}&resource={desk.b}"
    async with desk.world.browser() as browser:
        page = await browser.open(url)
    assert desk.a in page.text
    assert desk.b in page.text


async def test_spec082_narrowing_a_refresh_is_for_that_answer_only(desk: Desk) -> None:
    _, body = await desk.redeem(await desk.log_in(desk.a, scope="read cal"))
    assert body["scope"] == "read cal"
    _, narrow = await desk.refresh(body["refresh_token"], scope="read")
    assert narrow["scope"] == "read"
    _, wide = await desk.refresh(narrow["refresh_token"])
    assert wide["scope"] == "read cal"


async def test_a_token_carries_the_claims_that_its_resource_asks_for(desk: Desk) -> None:
    _, body = await desk.redeem(await desk.log_in(desk.a, desk.b), desk.b)
    claims = desk.world.running.tokens.read_any(body["access_token"])[1]
    assert claims.upstream_claims == {"email": "alice@example.com"}
    _, body = await desk.refresh(body["refresh_token"], desk.a)
    assert desk.world.running.tokens.read_any(body["access_token"])[1].upstream_claims is None


class TestWhatGoesUpstream:
    async def test_scopes_here_ask_for_scopes_there(self, desk: Desk) -> None:
        await desk.log_in(desk.a, scope="cal")
        asked = desk.world.upstream.queries[-1]["scope"].split()
        assert "https://idp.example/calendar" in asked
        assert "files" not in asked

    async def test_wishes_of_the_client_are_passed_on(self, desk: Desk) -> None:
        await desk.log_in(desk.a, prompt="login", login_hint="alice@example.com")
        query = desk.world.upstream.queries[-1]
        assert (query["prompt"], query["login_hint"]) == ("login", "alice@example.com")
        await desk.log_in(desk.a)
        assert not {"prompt", "max_age", "login_hint"} & desk.world.upstream.queries[-1].keys()

    @pytest.mark.parametrize(
        ("parameters", "error"),
        [
            ({"prompt": "none"}, "login_required"),
            ({"prompt": "rm -rf"}, "invalid_request"),
            ({"max_age": "-1"}, "invalid_request"),
            ({"max_age": "soon"}, "invalid_request"),
            ({"login_hint": "x" * 321}, "invalid_request"),
        ],
    )
    async def test_wishes_that_make_no_sense_are_refused(
        self, desk: Desk, parameters: dict[str, str], error: str
    ) -> None:
        async with desk.world.browser() as browser:
            login = desk.client.authorization(resource=desk.a, **parameters)
            landed = await browser.open(login.url)
        assert told(landed)["error"] == error
