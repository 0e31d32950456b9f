"""Each security event of a running server: it is emitted once, and says who, what and where."""

import json
from typing import Any

import pytest

from mintage.clients.fetching import Fetched
from mintage.clients.policy import DocumentPolicy
from mintage.clients.published import Published
from mintage.events.clients import ClientFirstSeen, ClientRegistered
from mintage.events.event import Event, Subject
from mintage.events.grants import GrantEnded, RenewalRefused, RenewalUnknown, UpstreamRenewed
from mintage.events.logins import (
    ConsentDenied,
    ConsentForgotten,
    ConsentGiven,
    ConsentRemembered,
    LoggedIn,
    LoginRefused,
)
from mintage.events.requests import RequestRefused
from mintage.events.tokens import (
    TokenExchanged,
    TokenExchangeRefused,
    TokenIssued,
    TokenRefreshed,
    TokenReused,
)
from mintage.testing.clock import ManualClock
from mintage.testing.oauth_client import OAuthClient, approve
from tests.support.account import grants_on, sign_in
from tests.support.remembered_consent import APP, agree, answers_on, app_of
from tests.support.world import THE_BACKEND, World

URL = "https://client.example/oauth/client.json"


@pytest.fixture
def events(world: World) -> list[Event]:
    """What the world's server reports, as it comes."""
    found: list[Event] = []
    world.running.events.attach(found.append)
    return found


def actions(events: list[Event]) -> list[str]:
    return [event.action for event in events]


async def logged_in(world: World) -> tuple[OAuthClient, dict[str, Any]]:
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def test_a_refresh_whose_response_was_lost_says_that_it_is_a_repetition(
    world: World, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    client, tokens = await logged_in(world)
    caplog.set_level("INFO", "mintage.events")
    caplog.clear()
    first, second = [await client.refresh(tokens["refresh_token"]) for _ in range(2)]
    assert first.json() == second.json()
    refreshed = [event for event in events if isinstance(event, TokenRefreshed)]
    assert [event.repeated for event in refreshed] == [False, True]
    first_line, second_line = caplog.messages
    assert second_line == f"{first_line}, repeated"


async def test_a_login_from_registration_to_refresh(world: World, events: list[Event]) -> None:
    client, tokens = await logged_in(world)
    await client.call(tokens["access_token"])
    await client.refresh(tokens["refresh_token"])
    registered, consented, login, issued, refreshed = events
    assert actions(events) == [
        "client_registered",
        "consent_given",
        "login",
        "token_issued",
        "token_refreshed",
    ]
    assert isinstance(registered, ClientRegistered)
    assert registered.redirect_hosts == ("127.0.0.1:43117",)
    assert isinstance(consented, ConsentGiven)
    assert isinstance(login, LoggedIn)
    assert isinstance(issued, TokenIssued)
    assert issued.grant_type == "authorization_code"
    assert isinstance(refreshed, TokenRefreshed)
    for event in events:
        assert event.party.client_id == client.client_id
        assert event.origin.address == "127.0.0.1"
        assert event.origin.reference
    assert login.party.subject == Subject(world.upstream.issuer, "alice")
    assert login.party.grant is not None
    assert login.party == issued.party == refreshed.party
    assert login.party.provider == "oidc"
    assert login.party.resource == world.resource


async def test_a_reused_refresh_token_is_reported_once_and_ends_the_grant(
    world: World, events: list[Event]
) -> None:
    client, tokens = await logged_in(world)
    newer = (await client.refresh(tokens["refresh_token"])).json()
    await client.refresh(newer["refresh_token"])
    events.clear()
    for _ in range(3):
        refused = await client.refresh(tokens["refresh_token"])
        assert refused.status_code == 400
    reused, ended, *rest = events
    assert reused == TokenReused(party=reused.party, origin=reused.origin, kind="refresh_token")
    assert isinstance(ended, GrantEnded)
    assert (ended.by, ended.reason) == ("reuse", "refresh_token_reused")
    assert actions(rest) == ["request_refused"] * 3
    assert reused.party == ended.party
    assert reused.party.grant is not None
    assert reused.origin.reference == refused.headers["x-request-id"] or reused.origin.reference


async def test_a_replayed_code_is_reported_with_the_reference_that_the_client_got(
    world: World, events: list[Event]
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    await client.redeem(login, code)
    events.clear()
    refused = await client.redeem(login, code)
    reused, ended, refusal = events
    assert isinstance(reused, TokenReused)
    assert reused.kind == "code"
    assert isinstance(ended, GrantEnded)
    assert isinstance(refusal, RequestRefused)
    assert (refusal.endpoint, refusal.stage, refusal.code) == ("token", "grant", "invalid_grant")
    assert {event.origin.reference for event in events} == {refused.headers["x-request-id"]}


async def test_a_client_ends_its_grant(world: World, events: list[Event]) -> None:
    client, tokens = await logged_in(world)
    events.clear()
    await client.revoke(tokens["refresh_token"])
    await client.revoke(tokens["refresh_token"])
    (ended,) = events
    assert isinstance(ended, GrantEnded)
    assert (ended.by, ended.reason) == ("client", "revoked_by_client")


async def test_a_user_ends_a_grant_at_the_account_page(world: World, events: list[Event]) -> None:
    client = await world.client()
    async with world.browser() as browser:
        await client.tokens(browser)
        page = await sign_in(world, browser)
        (grant,) = grants_on(page)
        await browser.submit(page, {"grant": grant})
    signed_in, ended = events[-2:]
    assert isinstance(signed_in, LoggedIn)
    assert signed_in.purpose == "account"
    assert isinstance(ended, GrantEnded)
    assert ended.by == "user"
    assert ended.party.grant == grant
    assert ended.party.subject == signed_in.party.subject
    assert ended.party.provider == signed_in.party.provider


async def test_an_operator_ends_a_grant(world: World, events: list[Event]) -> None:
    await logged_in(world)
    events.clear()
    async for grant in world.running.vault.listing.find():
        await world.running.vault.revocation.end(grant)
        await world.running.vault.revocation.end(grant)
    (ended,) = events
    assert isinstance(ended, GrantEnded)
    assert ended.by == "operator"
    assert ended.origin.reference is None


async def test_a_person_denies_access(world: World, events: list[Event]) -> None:
    client = await world.client()
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url)
        events.clear()
        await browser.submit(page, {"decision": "deny"})
    denied, refused = events
    assert isinstance(denied, ConsentDenied)
    assert denied.party.client_id == client.client_id
    assert isinstance(refused, RequestRefused)
    assert (refused.endpoint, refused.stage) == ("consent", "consent")


class TestUpstream:
    async def test_renews_its_tokens(self, world: World, events: list[Event]) -> None:
        client, tokens = await logged_in(world)
        events.clear()
        world.clock.advance(3600)
        await client.refresh(tokens["refresh_token"])
        renewed, refreshed = events
        assert isinstance(renewed, UpstreamRenewed)
        assert isinstance(refreshed, TokenRefreshed)
        assert renewed.party == refreshed.party
        assert renewed.origin == refreshed.origin

    async def test_refuses_and_the_grant_ends(self, world: World, events: list[Event]) -> None:
        client, tokens = await logged_in(world)
        events.clear()
        world.clock.advance(3600)
        world.upstream.end_all()
        await client.refresh(tokens["refresh_token"])
        refused, ended, _ = events
        assert isinstance(refused, RenewalRefused)
        assert refused.reason == "invalid_grant"
        assert isinstance(ended, GrantEnded)
        assert ended.by == "provider"

    async def test_does_not_answer(self, world: World, events: list[Event]) -> None:
        client, tokens = await logged_in(world)
        events.clear()
        world.clock.advance(3600)
        world.upstream.faults["token"] = "503"
        await client.refresh(tokens["refresh_token"])
        unknown, refused = events
        assert isinstance(unknown, RenewalUnknown)
        assert unknown.reason == "unavailable"
        assert isinstance(refused, RequestRefused)
        assert (refused.stage, refused.status) == ("upstream", 503)


class TestRules:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"allow": [{"emails": "bob@example.com"}]}

    async def test_a_user_whom_no_rule_admits(self, world: World, events: list[Event]) -> None:
        client = await world.client()
        async with world.browser() as browser:
            page = await approve(browser, client.authorization().url)
        (refused,) = [event for event in events if isinstance(event, LoginRefused)]
        assert refused.stage == "login"
        assert "no rule lets this user in" in refused.reason
        assert refused.party.subject == Subject(world.upstream.issuer, "alice")
        assert refused.origin.reference is not None
        assert refused.origin.reference in page.text


async def test_a_provider_that_refuses_a_login(world: World, events: list[Event]) -> None:
    world.upstream.error = "access_denied"
    client = await world.client()
    async with world.browser() as browser:
        await approve(browser, client.authorization().url)
    (refused,) = [event for event in events if isinstance(event, LoginRefused)]
    assert (refused.stage, refused.reason) == ("upstream", "the provider answered access_denied")


class TestResource:
    async def test_without_a_token(self, world: World, events: list[Event]) -> None:
        answer = await world.http.get(world.resource)
        (refused,) = events
        assert isinstance(refused, RequestRefused)
        assert (refused.endpoint, refused.stage, refused.status) == ("resource", "token", 401)
        assert refused.party.grant is None
        assert refused.origin.reference == answer.headers["x-request-id"]


class TestScopes:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        rule = {"methods": ["GET"], "scopes": ["admin"]}
        resource = {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["tools"], "rule": [rule]}
        return {"resource": [resource | {"optional_scopes": ["admin"]}]}

    async def test_a_valid_token_without_the_scope_names_its_grant(
        self, world: World, events: list[Event]
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope="tools")
        (login,) = [event for event in events if isinstance(event, LoggedIn)]
        events.clear()
        assert (await client.call(tokens["access_token"])).status_code == 403
        (refused,) = events
        assert isinstance(refused, RequestRefused)
        assert (refused.stage, refused.code) == ("scope", "insufficient_scope")
        assert refused.party == login.party


async def test_a_client_whose_document_is_fetched_for_the_first_time() -> None:
    seen = list[Event]()
    document = {"client_id": URL, "client_name": "x", "redirect_uris": ["https://client.example/"]}

    async def fetch(url: str, *, limit: int) -> Fetched:
        assert url == URL
        return Fetched(json.dumps(document).encode()[:limit], "max-age=60")

    clock = ManualClock()
    published = Published(fetch, policy=DocumentPolicy(), clock=clock, emit=seen.append)
    for _ in range(3):
        await published.client(URL)
        clock.advance(100)
    (event,) = seen
    assert isinstance(event, ClientFirstSeen)
    assert event.party.client_id == URL
    assert event.redirect_hosts == ("client.example",)


class TestExchange:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {
            "resource": [
                {
                    "path": "/mcp",
                    "backend": THE_BACKEND,
                    "credential": "exchange",
                    "exchange": {"audience": "notes"},
                }
            ]
        }

    async def test_is_reported_once_while_its_token_is_kept(
        self, world: World, events: list[Event]
    ) -> None:
        world.upstream.exchanges = frozenset({"notes"})
        client, tokens = await logged_in(world)
        events.clear()
        for _ in range(3):
            assert (await client.call(tokens["access_token"])).status_code == 200
        (exchanged,) = events
        assert isinstance(exchanged, TokenExchanged)
        assert exchanged.audience == "notes"
        assert exchanged.party.grant is not None

    async def test_that_is_refused(self, world: World, events: list[Event]) -> None:
        client, tokens = await logged_in(world)
        events.clear()
        assert (await client.call(tokens["access_token"])).status_code == 403
        refused, request = events
        assert isinstance(refused, TokenExchangeRefused)
        assert isinstance(request, RequestRefused)
        assert request.party.grant == refused.party.grant


async def test_a_listener_that_fails_stops_no_request_and_no_other(
    world: World, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(event: Event) -> None:
        raise RuntimeError(f"no room for {event.action}")

    later: list[Event] = []
    world.running.events.attach(fails)
    world.running.events.attach(later.append)
    await world.client()
    assert events == later
    assert len(later) == 1
    assert "a listener failed on client_registered" in caplog.text


class TestARememberedConsent:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"consent": {"remember_seconds": 86400}, "client": [APP]}

    async def test_is_reported_and_so_is_its_end(self, world: World, events: list[Event]) -> None:
        async with world.browser() as browser:
            await agree(world, browser, app_of(world).authorization().url)
            page = await sign_in(world, browser)
            (answer,) = answers_on(page)
            await browser.submit(page, {"forget": answer})
        (remembered,) = [event for event in events if isinstance(event, ConsentRemembered)]
        (forgotten,) = [event for event in events if isinstance(event, ConsentForgotten)]
        assert remembered.scopes == ("tools",)
        assert remembered.party == forgotten.party
        assert remembered.party.subject == Subject(world.upstream.issuer, "alice")
        assert (remembered.party.client_id, remembered.party.resource) == ("portal", world.resource)
