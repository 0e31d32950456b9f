"""Who may log in: rules on what the provider says, at the login and whenever it is asked again."""

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import Page

from mintage.errors import ConfigError, NotAdmitted
from mintage.grants.admission import AllowRule, admit
from mintage.grants.states import Identity
from mintage.settings.load import parse
from mintage.testing.oauth_client import OAuthClient, answer_of
from tests.support.tab import screenshot
from tests.support.world import World

ALICE: dict[str, Any] = {
    "email": "Alice@Example.com",
    "email_verified": True,
    "groups": ["eng-core", "example/deployers"],
    "organizations": ["example"],
    "hd": "example.com",
}


def lets_in(rule: dict[str, Any], **claims: Any) -> bool:
    who = Identity(issuer="https://idp.example", subject="42", claims=ALICE | claims)
    try:
        admit([AllowRule(**rule)], who)
    except NotAdmitted:
        return False
    return True


@pytest.mark.parametrize(
    "rule",
    [
        {"emails": "alice@example.com"},
        {"emails": ("bob@example.com", "ALICE@example.com")},
        {"email_domains": "EXAMPLE.com"},
        {"subjects": "42"},
        {"groups": "eng-*"},
        {"organizations": ("other", "example")},
        {"teams": "example/deployers"},
        {"claims": {"/hd": "example.com"}},
        {"claims": {"/groups/0": "eng-core"}},
        {"email_domains": "example.com", "groups": "eng-core", "claims": {"/hd": "*.com"}},
    ],
)
def test_a_rule_that_fits_lets_in(rule: dict[str, Any]) -> None:
    assert lets_in(rule)


@pytest.mark.parametrize(
    "rule",
    [
        {"emails": "bob@example.com"},
        {"email_domains": "xample.com"},
        {"email_domains": "example.com.evil.example"},
        {"subjects": "4"},
        {"groups": "eng"},
        {"organizations": "EXAMPLE"},
        {"teams": "example/*s-of-another"},
        {"claims": {"/hd": "other.example"}},
        {"claims": {"/nothing/at/all": "*"}},
        {"claims": {"/groups/7": "*"}},
        {"email_domains": "example.com", "groups": "sales"},
    ],
)
def test_a_rule_of_which_one_part_does_not_fit_does_not(rule: dict[str, Any]) -> None:
    assert not lets_in(rule)


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_is_none(verified: object) -> None:
    rule = {"email_domains": "example.com"}
    assert not lets_in(rule, email_verified=verified)
    assert lets_in(rule | {"accept_unverified_emails": True}, email_verified=verified)


def test_an_address_whose_name_holds_another_is_of_its_own_domain() -> None:
    rule = {"email_domains": "example.com"}
    assert not lets_in(rule, email='"x@example.com"@evil.example')
    assert not lets_in(rule, email="")
    assert not lets_in({"emails": "*"}, email=None)


def test_without_rules_everybody_is_let_in_and_of_several_one_is_enough() -> None:
    who = Identity(issuer="i", subject="42")
    admit([], who)
    admit([AllowRule(subjects="7"), AllowRule(subjects="42")], who)


def test_what_each_rule_misses_is_said_without_a_word_about_the_user() -> None:
    who = Identity(issuer="i", subject="secret-subject", claims=ALICE)
    with pytest.raises(NotAdmitted) as caught:
        admit([AllowRule(subjects="7", groups="eng-*"), AllowRule(emails="x")], who)
    assert "rule 1 misses subjects; rule 2 misses emails" in str(caught.value)
    assert "secret-subject" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(max_size=4), more),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ALICE, "other"]), values), st.text(max_size=8))
def test_no_claims_break_a_rule_and_what_is_not_there_lets_nobody_in(
    claims: dict[str, Any], word: str
) -> None:
    names = ("emails", "email_domains", "groups", "organizations", "teams")
    any_word = "?*"
    rule = AllowRule(
        emails=any_word,
        email_domains=any_word,
        groups=any_word,
        organizations=any_word,
        teams=any_word,
        claims={f"/{word}": any_word},
    )
    who = Identity(issuer="i", subject="s", claims=claims)
    misses = rule.misses(who)
    if claims.get("email_verified") is not True:
        assert "emails" in misses
    if not claims:
        assert len(misses) == len(names) + 1


@pytest.mark.parametrize(
    ("allow", "key"),
    [
        ([{}], "allow[0]"),
        ([{"accept_unverified_emails": True}], "allow[0]"),
        ([{"subjects": ["x"]}, {"claims": {"groups": "x"}}], "allow[1].claims"),
        ([{"teams": ["deployers"]}], "allow[0].teams"),
        ([{"mail": "x"}], "allow.mail"),
    ],
)
def test_rules_that_cannot_be_meant(allow: list[dict[str, Any]], key: str) -> None:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp"}],
        "allow": allow,
    }
    with pytest.raises(ConfigError) as caught:
        parse(data, base=Path(), environ={})
    assert caught.value.key.replace("[]", "") in (key, key.replace("allow.", "allow[0]."))


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {
        "allow": [{"email_domains": ["example.com"]}, {"subjects": ["root"]}],
        "branding": {"support": "the help desk (help@example.com)"},
    }


async def test_whom_a_rule_fits_logs_in(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        assert await client.tokens(browser)


async def test_whom_none_fits_is_told_whom_to_ask_and_leaves_nothing_behind(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.upstream.claims["email"] = "alice@elsewhere.example"
    client = await world.client()
    with caplog.at_level(logging.INFO):
        async with world.browser() as browser:
            login = client.authorization()
            page = await browser.submit(await browser.open(login.url), {"decision": "approve"})
    assert page.status == 403
    assert "help desk (help@example.com)" in page.text
    assert world.stored() == 1  # the claim that makes a callback work once
    reference = page.headers["x-request-id"]
    assert reference in page.text
    (line,) = [r.getMessage() for r in caplog.records if reference in r.getMessage()]
    assert "rule 1 misses email_domains; rule 2 misses subjects" in line
    assert "alice" not in line
    await world.running.revoker.drain()
    assert not any(map(world.upstream.is_live, world.upstream.issued))


async def test_the_client_hears_of_it_from_the_person(
    world: World, tab: Page, landing_client: OAuthClient
) -> None:
    """Its wait ends when the person goes back: with ``access_denied`` and its state."""
    world.upstream.claims["email_verified"] = False
    login = landing_client.authorization()
    await tab.goto(login.url)
    await tab.get_by_role("button", name="Allow and log in").click()
    await tab.get_by_role("link", name="Back to the app").wait_for()
    await screenshot(tab, "not-admitted")
    await tab.get_by_role("link", name="Back to the app").click()
    await tab.wait_for_url(f"{landing_client.redirect_uri}?**")
    answer = answer_of(tab.url)
    assert (answer["error"], answer["state"]) == ("access_denied", login.state)


async def test_who_no_longer_fits_is_out_when_the_provider_is_asked_again(world: World) -> None:
    world.upstream.lifetime = 600
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.upstream.claims["email"] = "alice@elsewhere.example"
    world.upstream.profile["email"] = "alice@elsewhere.example"
    world.clock.advance(601)
    answer = await client.call(tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    refused = await client.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    await world.running.revoker.drain()
    assert not any(map(world.upstream.is_live, world.upstream.issued))


async def test_who_still_fits_stays(world: World) -> None:
    world.upstream.lifetime = 600
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.clock.advance(601)
    assert (await client.call(tokens["access_token"])).status_code == 200
    assert world.upstream.seen["refresh_token"] == 1


async def test_a_provider_that_cannot_say_who_it_is_ends_no_login(world: World) -> None:
    world.upstream.lifetime = 600
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    world.upstream.claims["email"] = "alice@elsewhere.example"
    world.upstream.faults["userinfo"] = "503"
    world.upstream.faults["jwks"] = "503"
    world.clock.advance(601)
    assert (await client.call(tokens["access_token"])).status_code == 200
