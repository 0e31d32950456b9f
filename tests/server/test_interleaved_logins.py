"""Two clients, two browsers and a provider, in any order, one of each an attacker's.

Whatever is tried, and however it is mixed up, what succeeds must be right: the same browser
consented and came back, the same client redeems with its own verifier, a code works once, and
what has ended stays ended.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule

from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import REDIRECT_URI, AuthorizationAttempt, OAuthClient, answer_of
from tests.support.stage import FULL, Stage

WHO = st.sampled_from(["victim", "attacker"])
RESOURCES = st.sampled_from(["/mcp", "/other"])


@dataclass(frozen=True)
class Attempt:
    """One authorization request."""

    client: str
    resource: str
    login: AuthorizationAttempt


@dataclass(eq=False)
class Grant:
    """One login that was finished, and what became of it."""

    attempt: Attempt
    redeemed: bool = False
    ended: bool = False
    generation: int = 0


@dataclass(frozen=True)
class Shown:
    attempt: Attempt
    browser: str
    page: Page = field(repr=False)


@dataclass(frozen=True)
class Returning:
    """A callback's address: whoever has it may open it in any browser."""

    attempt: Attempt
    consented_in: str
    url: str = field(repr=False)


@dataclass(frozen=True)
class Code:
    grant: Grant
    text: str = field(repr=False)


@dataclass(frozen=True)
class Tokens:
    grant: Grant
    generation: int
    access: str = field(repr=False)
    refresh: str = field(repr=False)


class Play(RuleBasedStateMachine):
    stage: ClassVar[Stage]

    attempts: Bundle[Attempt] = Bundle("attempts")
    pages: Bundle[Shown] = Bundle("pages")
    callbacks: Bundle[Returning] = Bundle("callbacks")
    codes: Bundle[Code] = Bundle("codes")
    tokens: Bundle[Tokens] = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.world = self.stage.world
        self.browsers: dict[str, Browser] = {
            who: Browser(stop_at=(REDIRECT_URI, self.world.upstream.url))
            for who in ("victim", "attacker")
        }
        self.clients: dict[str, OAuthClient] = {
            who: self.stage.run(self.world.client()) for who in ("victim", "attacker")
        }

    def teardown(self) -> None:
        for browser in self.browsers.values():
            self.stage.run(browser.__aexit__())

    def note(self, what: str) -> None:
        self.stage.succeeded[what] += 1

    @rule(target=attempts, client=WHO, resource=RESOURCES)
    def ask(self, client: str, resource: str) -> Attempt:
        party = self.clients[client]
        party.resource = self.world.issuer + resource
        return Attempt(client, resource, party.authorization())

    @rule(target=pages, attempt=attempts, browser=WHO)
    def open_the_consent_page(self, attempt: Attempt, browser: str) -> Shown:
        stored = self.world.stored()
        page = self.stage.run(self.browsers[browser].open(attempt.login.url))
        assert page.status == 200
        assert self.world.stored() <= stored, "nothing anonymous is stored"
        return Shown(attempt, browser, page)

    @rule(target=callbacks, shown=pages, browser=WHO)
    def approve(self, shown: Shown, browser: str) -> Any:
        """The form may be sent from another browser, or again."""
        stored = self.world.stored()
        landed = self.stage.run(self.browsers[browser].submit(shown.page, {"decision": "approve"}))
        assert self.world.stored() <= stored, "nothing anonymous is stored"
        if not landed.url.startswith(self.world.upstream.url):
            assert landed.status in (400, 403)
            return multiple()
        assert browser == shown.browser, "consent is the browser's that was asked"
        answer = self.stage.run(self.world.http.get(landed.url))
        self.note("consent")
        return Returning(shown.attempt, browser, answer.headers["location"])

    @rule(target=codes, callback=callbacks, browser=WHO)
    def come_back(self, callback: Returning, browser: str) -> Any:
        """In any browser, and as often as one likes."""
        landed = self.stage.run(self.browsers[browser].open(callback.url))
        if not landed.url.startswith(REDIRECT_URI):
            assert landed.status in (400, 403)
            return multiple()
        answer = answer_of(landed)
        assert answer["iss"] == self.world.issuer
        assert answer["state"] == callback.attempt.login.state
        if "code" not in answer:
            return multiple()
        assert browser == callback.consented_in, "only who consented comes back"
        self.note("login")
        return Code(Grant(callback.attempt), answer["code"])

    @rule(target=tokens, client=WHO, resource=RESOURCES, browser=WHO)
    def log_in_rightly(self, client: str, resource: str, browser: str) -> Any:
        attempt = self.ask(client, resource)
        shown = self.open_the_consent_page(attempt, browser)
        return self.redeem_rightly(self.come_back(self.approve(shown, browser), browser))

    @rule(target=tokens, code=codes, client=WHO, verifier=attempts, resource=RESOURCES)
    def redeem(self, code: Code, client: str, verifier: Attempt, resource: str) -> Any:
        """With any client's name, any verifier, for any resource."""
        return self._redeem(code, client, verifier.login, self.world.issuer + resource)

    @rule(target=tokens, code=codes)
    def redeem_rightly(self, code: Code) -> Any:
        attempt = code.grant.attempt
        return self._redeem(code, attempt.client, attempt.login, None)

    @rule(target=tokens, code=codes)
    def steal(self, code: Code) -> Any:
        """The other client has the code, and even its verifier."""
        thief = "attacker" if code.grant.attempt.client == "victim" else "victim"
        return self._redeem(code, thief, code.grant.attempt.login, None)

    @rule(held=tokens)
    def use_an_old_refresh_token(self, held: Tokens) -> None:
        """Two refreshes later, the first token is a stolen one."""
        newer = self.refresh(held, held.grant.attempt.client)
        if isinstance(newer, Tokens):
            newest = self.refresh(newer, held.grant.attempt.client)
            if isinstance(newest, Tokens):
                self.refresh(held, held.grant.attempt.client)

    def _redeem(
        self, code: Code, client: str, login: AuthorizationAttempt, resource: str | None
    ) -> Any:
        grant, attempt = code.grant, code.grant.attempt
        party = self.clients[client]
        answer = self.stage.run(party.redeem(login, code.text, resource=resource))
        if answer.status_code != 200:
            assert answer.json()["error"] in ("invalid_grant", "invalid_target")
            own = client == attempt.client and resource in (
                None, self.world.issuer + attempt.resource
            )  # fmt: skip
            if grant.redeemed or (own and login is not attempt.login):
                grant.ended = True  # a replay, or a guess at the verifier
            return multiple()
        assert client == attempt.client, "a code is its client's"
        assert login.verifier == attempt.login.verifier, "a code takes its verifier"
        assert not grant.redeemed, "a code works once"
        assert not grant.ended
        assert resource in (None, self.world.issuer + attempt.resource)
        grant.redeemed, grant.generation = True, 1
        self.note("redemption")
        return self._tokens(grant, answer.json())

    @rule(target=tokens, held=tokens, client=WHO)
    def refresh(self, held: Tokens, client: str) -> Any:
        grant = held.grant
        answer = self.stage.run(self.clients[client].refresh(held.refresh))
        if answer.status_code != 200:
            assert answer.json()["error"] == "invalid_grant"
            if client == grant.attempt.client:
                grant.ended = True
            return multiple()
        assert client == grant.attempt.client, "a refresh token is its client's"
        assert not grant.ended, "what has ended stays ended"
        assert held.generation in (grant.generation, grant.generation - 1)
        grant.generation = max(grant.generation, held.generation + 1)
        self.note("refresh")
        return self._tokens(grant, answer.json())

    @rule(held=tokens, client=WHO)
    def revoke(self, held: Tokens, client: str) -> None:
        answer = self.stage.run(self.clients[client].revoke(held.access))
        assert answer.status_code == 200
        if client == held.grant.attempt.client:
            held.grant.ended = True
            self.note("revocation")

    @rule(held=tokens, resource=RESOURCES)
    def call(self, held: Tokens, resource: str) -> None:
        headers = {"authorization": f"Bearer {held.access}"}
        url = self.world.issuer + resource
        answer = self.stage.run(self.world.http.get(url, headers=headers))
        if answer.status_code == 200:
            assert resource == held.grant.attempt.resource, "a token is for one resource"
            assert not held.grant.ended, "what has ended stays ended"
            self.note("call")
        else:
            assert answer.status_code == 401

    @rule(seconds=st.sampled_from([1, 30, 61, 700]))
    def wait(self, seconds: int) -> None:
        self.stage.clock.advance(seconds)

    def _tokens(self, grant: Grant, body: dict[str, Any]) -> Tokens:
        upstream = self.world.upstream.issued
        assert body["access_token"] not in upstream
        assert body["refresh_token"] not in upstream
        return Tokens(grant, grant.generation, body["access_token"], body["refresh_token"])


def test_whatever_is_played_what_succeeds_is_right(stage: Stage) -> None:
    Play.stage = stage
    Play.TestCase.settings = settings(
        max_examples=2000 if FULL else 50,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    Play.TestCase().runTest()
    names = {"consent", "login", "redemption", "refresh", "revocation", "call"}
    assert names <= stage.succeeded.keys(), stage.succeeded  # and it was no empty play
