"""What the pages say, to whom, in which language, and in which colours."""

import re
import string
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.clients.known import KNOWN_CLIENTS, known_client
from mintage.errors import (
    BadUpstream,
    ConfigError,
    InvalidClient,
    InvalidRequest,
    OAuthError,
    TemporarilyUnavailable,
)
from mintage.server.pages import styled
from mintage.server.pages.colors import READABLE, contrast, readable_on, text_on
from mintage.server.pages.for_people import Explanation, explanation
from mintage.server.pages.templates import templates
from mintage.server.pages.texts import CATALOGUE, texts_for
from mintage.settings.load import parse
from mintage.testing.oauth_client import approve
from mintage.web.edge import RightsUnknown
from mintage.web.preferences import wants_page, weighted
from tests.support.world import World

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


class TestCatalogue:
    @pytest.mark.parametrize("language", CATALOGUE)
    def test_every_language_has_every_text_with_the_same_values_and_tags(
        self, language: str
    ) -> None:
        english, other = CATALOGUE["en"].by_name, CATALOGUE[language].by_name
        assert other.keys() == english.keys()
        for name, text in english.items():
            assert placeholders(other[name]) == placeholders(text), name
            tags = re.findall("<[^>]*>", text)
            assert set(tags) <= {"<strong>", "</strong>"}, name
            assert re.findall("<[^>]*>", other[name]) == tags, name

    @pytest.mark.parametrize("language", [one for one in CATALOGUE if one != "en"])
    def test_every_text_is_translated(self, language: str) -> None:
        english, other = CATALOGUE["en"].by_name, CATALOGUE[language].by_name
        same = {name for name in english if english[name] == other[name]}
        assert same == {"about.claude", "about.vscode", "about.heading"}

    def test_one_language_is_written_from_right_to_left(self) -> None:
        assert {texts.direction for texts in CATALOGUE.values()} == {"ltr", "rtl"}

    @pytest.mark.parametrize(
        ("ui_locales", "accept", "language"),
        [
            (None, "", "en"),
            (None, "de", "de"),
            (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
            (None, "fr-CH, fr;q=0.9, ar;q=0.8, de;q=0.7", "ar"),
            (None, "de;q=0, *;q=0.5", "en"),
            (None, "de;q=wrong", "en"),
            (None, "xx", "en"),
            ("fr de", "ar", "de"),
            ("fr", "ar", "ar"),
        ],
    )
    def test_the_best_language_that_there_is(
        self, ui_locales: str | None, accept: str, language: str
    ) -> None:
        assert texts_for(ui_locales, accept).language == language

    def test_values_are_escaped(self) -> None:
        text = CATALOGUE["en"]("consent.calls_itself", name="<b>")
        assert text == "It calls itself <bdi>&lt;b&gt;</bdi>."


async def test_a_page_says_its_language_and_direction(world: World) -> None:
    url = (await world.client()).authorization().url
    page = await world.http.get(url, headers={"accept-language": "ar"})
    assert '<html lang="ar" dir="rtl">' in page.text
    assert page.headers["content-language"] == "ar"


async def test_the_language_that_the_client_asks_for_holds_to_the_end(world: World) -> None:
    client = await world.client(redirect_uris=["cursor://anysphere.cursor-mcp/oauth/callback"])
    client.redirect_uri = "cursor://anysphere.cursor-mcp/oauth/callback"
    seen: list[httpx2.Response] = []
    async with world.browser() as browser:
        browser.stop_at = ("cursor:",)
        browser._on_response = seen.append
        await approve(browser, client.authorization(ui_locales="de-CH en").url)
    ours = [page for page in seen if str(page.url).startswith(world.issuer)]
    assert {page.headers["content-language"] for page in ours} == {"de"}
    assert "Sie sind angemeldet" in ours[-1].text
    assert world.upstream.queries[-1]["ui_locales"] == "de-CH en"


async def test_languages_that_are_none_are_no_error(world: World) -> None:
    client = await world.client()
    for odd in ("d" * 100, "de_DE", "de;", " "):
        page = await world.http.get(client.authorization(ui_locales=odd).url)
        assert page.status_code == 200


COLORS = st.binary(min_size=3, max_size=3).map(lambda raw: f"#{raw.hex()}")


class TestColors:
    @given(COLORS, COLORS)
    def test_text_in_any_color_is_readable_on_any_other(self, color: str, ground: str) -> None:
        """WCAG 2.2 §1.4.3."""
        assert contrast(readable_on(color, ground), ground) >= READABLE
        assert contrast(text_on(ground), ground) >= READABLE

    def test_a_readable_color_stays_as_it_is(self) -> None:
        assert readable_on("#0b57d0", "#ffffff") == "#0b57d0"
        assert contrast("#000000", "#ffffff") == pytest.approx(21)

    @given(COLORS)
    def test_the_style_has_no_open_place(self, color: str) -> None:
        used, set_ = (
            set(re.findall(pattern, styled(color)))
            for pattern in (r"var\((--[a-z-]+)\)", r"(--[a-z-]+):")
        )
        assert used <= set_


class TestKnownClients:
    @pytest.mark.parametrize(
        ("uri", "name"),
        [
            ("cursor://anysphere.cursor-mcp/oauth/callback", "Cursor"),
            ("https://vscode.dev/redirect", "VS Code"),
            ("https://vscode.dev/redirect?x=1", "VS Code"),
            ("https://claude.ai/api/mcp/auth_callback", "Claude"),
            ("https://chatgpt.com/connector_platform_oauth_redirect", "ChatGPT"),
            ("https://chatgpt.com/connector/oauth/abc", "ChatGPT"),
            ("https://vscode.dev/redirect/other", None),
            ("https://vscode.dev.evil.example/redirect", None),
            ("https://claude.ai/share/abc", None),
            ("com.example.cursor:/cb", None),
            ("http://127.0.0.1/cursor", None),
        ],
    )
    def test_are_those_that_the_address_belongs_to(self, uri: str, name: str | None) -> None:
        assert known_client(uri) == name

    def test_each_address_is_one_clients(self) -> None:
        places = [place for one in KNOWN_CLIENTS for place in (*one.schemes, *one.uris)]
        assert len(set(places)) == len(places)

    async def test_are_named_whatever_they_call_themselves(self, world: World) -> None:
        uri = "https://claude.ai/api/mcp/auth_callback"
        client = await world.client(client_name="Your bank", redirect_uris=[uri])
        page = (await world.http.get(client.authorization(redirect_uri=uri).url)).text
        assert "<title>Allow Claude?</title>" in page
        assert "it belongs to <bdi>Claude</bdi>" in page
        assert "It calls itself <bdi>Your bank</bdi>." in page


class TestBranding:
    @pytest.fixture
    def overrides(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "logo.svg").write_bytes(LOGO)
        return {
            "branding": {
                "name": "Example & Sons",
                "logo": str(tmp_path / "logo.svg"),
                "support": "help@example.com",
                "color": "#ffcc00",
            },
            "scopes": {"texts": {"tools": "Use the <notes> server's tools"}},
        }

    async def test_is_on_the_page_and_the_logo_comes_from_here(self, world: World) -> None:
        page = await world.http.get((await world.client()).authorization().url)
        assert "to use <bdi>Example &amp; Sons</bdi> for you?" in page.text
        assert 'href="mailto:help@example.com">help@example.com</a>' in page.text
        assert '<img src="/branding/logo" alt="">' in page.text
        assert "--accent: #ffcc00" in page.text, "readable on dark as it is"
        logo = await world.http.get(f"{world.issuer}/branding/logo")
        assert (logo.content, logo.headers["content-type"]) == (LOGO, "image/svg+xml")
        assert "sandbox" in logo.headers["content-security-policy"]
        icon = await world.http.get(f"{world.issuer}/branding/icon.svg")
        assert "#ffcc00" in icon.text

    async def test_the_policy_is_as_strict(self, world: World) -> None:
        page = await world.http.get((await world.client()).authorization().url)
        policy = dict(
            part.strip().split(" ", 1)
            for part in page.headers["content-security-policy"].split(";")
        )
        style = policy.pop("style-src")
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", style)
        assert policy == {
            "default-src": "'none'",
            "img-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }

    async def test_a_scope_is_in_words(self, world: World) -> None:
        page = await world.http.get((await world.client()).authorization().url)
        assert "Use the &lt;notes&gt; server&#39;s tools" in page.text

    @pytest.mark.parametrize(
        ("settings", "key"),
        [
            ({"branding": {"color": "red"}}, "branding.color"),
            ({"branding": {"color": "#fff"}}, "branding.color"),
            ({"branding": {"logo": "logo.txt"}}, "branding.logo"),
            ({"branding": {"logo": "missing.png"}}, "branding.logo"),
            ({"branding": {"logo": "large.png"}}, "branding.logo"),
            ({"branding": {"nme": "x"}}, "branding.nme"),
            ({"scopes": {"texts": {"tolls": "x"}}}, "scopes.texts.tolls"),
        ],
    )
    def test_what_can_not_be_meant_is_refused(
        self, settings: dict[str, Any], key: str, tmp_path: Path
    ) -> None:
        (tmp_path / "large.png").write_bytes(bytes(257 * 1024))
        data = {
            "issuer": "https://auth.example",
            "store": "memory://",
            "upstream": {"issuer": "https://idp.example", "client_id": "x"},
            "resource": [{"path": "/mcp", "scopes": ["tools"]}],
        }
        with pytest.raises(ConfigError) as caught:
            parse(data | settings, base=tmp_path, environ={})
        assert caught.value.key == key


class TestOwnTemplates:
    @pytest.fixture
    def overrides(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "own").mkdir()
        (tmp_path / "own/onward.html").write_text(
            '{% extends "base.html" %}\n{% block head %}'
            '<meta http-equiv="refresh" content="0; url={{ url }}">{% endblock %}\n'
            "{% block main %}<h1>Off to {{ to }}</h1>{% endblock %}\n"
        )
        return {"branding": {"templates": str(tmp_path / "own")}}

    async def test_replace_a_page_and_the_policy_stays(self, world: World) -> None:
        client = await world.client()
        seen: list[httpx2.Response] = []
        async with world.browser() as browser:
            browser._on_response = seen.append
            await client.tokens(browser)
        (own,) = [page for page in seen if "Off to " in page.text]
        question = seen[0]
        assert "Allow and log in" in question.text
        name = "content-security-policy"
        assert own.headers[name] == question.headers[name]

    def test_are_read_anew_and_mintages_own_are_compiled_once(self, tmp_path: Path) -> None:
        assert templates(None).get_template("error.html") is templates(None).get_template(
            "error.html"
        )
        for content in ("before", "after"):
            (tmp_path / "error.html").write_text(content)
            assert templates(str(tmp_path)).get_template("error.html").render() == content

    @pytest.mark.parametrize(
        ("file", "content"),
        [("consnt.html", ""), ("consent.html", "{% if %}"), (None, "")],
    )
    def test_that_are_none_are_refused(
        self, file: str | None, content: str, tmp_path: Path
    ) -> None:
        own = tmp_path / "others"
        if file is not None:
            own.mkdir()
            (own / file).write_text(content)
        data = {
            "issuer": "https://auth.example",
            "store": "memory://",
            "upstream": {"issuer": "https://idp.example", "client_id": "x"},
            "resource": [{"path": "/mcp"}],
            "branding": {"templates": "others"},
        }
        with pytest.raises(ConfigError) as caught:
            parse(data, base=tmp_path, environ={})
        assert caught.value.key == "branding.templates"


class TestTheLastPage:
    """A program does not take the place of the form that the person sees; a web page does."""

    async def test_says_that_it_is_over_and_opens_the_program(self, world: World) -> None:
        uri = "cursor://anysphere.cursor-mcp/oauth/callback"
        page = await self.last(world, uri, "approve")
        assert page.status_code == 200
        assert "<h1>You are logged in</h1>" in page.text
        assert "Opening <bdi>Cursor</bdi>…" in page.text
        assert f'content="0; url={uri}?code=' in page.text
        assert f'href="{uri}?code=' in page.text
        assert "You may close this window." in page.text

    async def test_of_a_program_that_nobody_knows_names_none(self, world: World) -> None:
        page = await self.last(world, "com.example.app:/cb", "approve")
        assert "Opening <bdi>the app</bdi>…" in page.text
        assert "A test client" not in page.text

    async def test_a_web_page_is_gone_to_at_once(self, world: World) -> None:
        page = await self.last(world, "https://app.example/cb", "approve")
        assert page.status_code == 303
        assert page.headers["location"].startswith("https://app.example/cb?code=")

    @pytest.mark.parametrize("uri", ["cursor://x.y/cb", "https://app.example/cb"])
    async def test_of_a_denial(self, world: World, uri: str) -> None:
        page = await self.last(world, uri, "deny")
        assert "<h1>You denied access</h1>" in page.text
        assert "Nothing was shared." in page.text
        assert "error=access_denied" in page.text

    async def test_of_a_login_that_was_stopped_at_the_provider(self, world: World) -> None:
        world.upstream.error = "access_denied"
        page = await self.last(world, "cursor://x.y/cb", "approve")
        assert "<h1>You did not log in</h1>" in page.text
        world.upstream.error = "invalid_scope"
        page = await self.last(world, "cursor://x.y/cb", "approve")
        assert "<h1>The login did not work</h1>" in page.text

    async def last(self, world: World, uri: str, decision: str) -> httpx2.Response:
        client = await world.client(redirect_uris=[uri])
        seen: list[httpx2.Response] = []
        async with world.browser() as browser:
            browser.stop_at = (uri,)
            browser._on_response = seen.append
            page = await browser.open(client.authorization(redirect_uri=uri).url)
            await browser.submit(page, {"decision": decision})
        return seen[-1]


class TestWhoIsNotLetIn:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"allow": [{"subjects": ["root"]}], "branding": {"support": "https://help.example"}}

    async def test_is_told_as_whom_and_may_be_another(self, world: World) -> None:
        world.upstream.claims["email"] = "bob@example.com"
        client = await world.client()
        async with world.browser() as browser:
            login = client.authorization(prompt="login")
            page = await approve(browser, login.url)
            assert page.status == 403
            assert "as <strong><bdi>bob@example.com</bdi></strong>" in page.text
            assert 'href="https://help.example">https://help.example</a>' in page.text
            found = re.search(r'<a class="button" href="([^"]+)">Use another account', page.text)
            assert found is not None
            world.upstream.user = "root"
            again = await approve(browser, world.issuer + found[1].replace("&amp;", "&"))
        assert world.upstream.queries[-1]["prompt"] == "select_account"
        assert f"state={login.state}" in again.url


class TestABrowserThatOpensAnAddressForApps:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/", 200),
            ("/mcp", 401),
            ("/.well-known/oauth-authorization-server", 200),
            ("/.well-known/oauth-protected-resource/mcp", 200),
        ],
    )
    async def test_shows_what_it_is_and_how_to_use_it(
        self, world: World, path: str, status: int
    ) -> None:
        page = await world.http.get(world.issuer + path, headers={"accept": BROWSER})
        assert page.status_code == status
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert f"claude mcp add --transport http mcp {world.resource}" in page.text
        assert "&#34;mcpServers&#34;" in page.text

    async def test_clients_notice_nothing(self, world: World) -> None:
        for accept in ("*/*", "application/json", "application/json, text/event-stream", ""):
            headers = {"accept": accept}
            refused = await world.http.get(world.resource, headers=headers)
            document = await world.http.get(
                f"{world.issuer}/.well-known/oauth-protected-resource/mcp", headers=headers
            )
            missing = await world.http.get(world.issuer, headers=headers)
            for answer, status in ((refused, 401), (document, 200), (missing, 404)):
                assert answer.status_code == status
                assert answer.headers["content-type"] == "application/json"

    async def test_the_challenge_is_the_same(self, world: World) -> None:
        page = await world.http.get(world.resource, headers={"accept": BROWSER})
        refused = await world.http.get(world.resource)
        for name in ("www-authenticate", "access-control-allow-origin"):
            assert page.headers.get(name) == refused.headers.get(name), name

    async def test_only_a_navigation_without_a_token_gets_a_page(self, world: World) -> None:
        posted = await world.http.post(world.resource, headers={"accept": BROWSER})
        wrong = {"accept": BROWSER, "authorization": "Bearer x"}
        for answer in (posted, await world.http.get(world.resource, headers=wrong)):
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/json"

    async def test_finds_a_page_where_nothing_is(self, world: World) -> None:
        page = await world.http.get(f"{world.issuer}/nothing", headers={"accept": BROWSER})
        assert page.status_code == 404
        assert "There is nothing here" in page.text

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (BROWSER, True),
            ("text/html", True),
            ("application/json, text/html;q=0.9", False),
            ("text/html;q=0", False),
            ("*/*", False),
            ("", False),
        ],
    )
    def test_is_told_by_what_it_accepts(self, accept: str, *, expected: bool) -> None:
        assert wants_page("GET", accept) == expected

    @given(st.text())
    def test_any_header_can_be_read(self, header: str) -> None:
        weights = [weight for _, weight in weighted(header)]
        assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize("kind", get_args(Explanation))
def test_each_explanation_has_its_texts(kind: str) -> None:
    for texts in CATALOGUE.values():
        assert texts.plain(f"error.{kind}_title")
        assert texts(f"error.{kind}", support="x", minutes=2)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TemporarilyUnavailable("x"), "away"),
        (TemporarilyUnavailable("x", retry_after=90), "wait"),
        (RightsUnknown("x"), "rights"),
        (BadUpstream("x"), "setup"),
        (InvalidClient("x"), "unknown"),
        (InvalidRequest("x"), "restart"),
    ],
)
def test_an_outage_and_a_refusal_are_told_apart(error: OAuthError, kind: str) -> None:
    assert explanation(error, of_application=False) == kind


async def test_the_developers_sentence_is_folded_below_the_persons(world: World) -> None:
    client = await world.client()
    page = await world.http.get(client.authorization(redirect_uri="https://evil.example").url)
    person, _, developer = page.text.partition("<details>")
    assert "an address that it did not register" in person
    assert "redirect_uri" not in person.partition("<main>")[2]
    assert "Redirect_uri must be one that this client registered" in developer
