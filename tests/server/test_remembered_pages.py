"""Pages that are rendered once for all requests that show the same but for one value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from mintage.server.pages import Pages
from mintage.server.pages.remembered import RememberedPages
from mintage.server.pages.texts import CATALOGUE, texts_for
from mintage.site.branding import Branding
from mintage.site.site import Site

ODD = """<b>"'&{{ 7*7 }}{app}\\"""
CONSENT: dict[str, Any] = {
    "action": "/consent",
    "remember_days": None,
    "app": "The app",
    "standing": "claimed",
    "claimed_name": None,
    "client_host": None,
    "redirect_uri": "https://app.example/callback",
    "redirect_host": "app.example",
    "redirect_scheme": "https",
    "loopback": False,
    "resources": [{"name": "Tools", "identifier": "https://server.example/mcp"}],
    "scopes": [{"name": "tools", "text": None}],
    "upstreams": [{"name": "oidc", "title": "A provider", "scopes": []}],
}
OTHERS: dict[str, Any] = {
    "action": "/other",
    "remember_days": 30,
    "app": ODD,
    "standing": "vouched",
    "claimed_name": "Other",
    "client_host": "other.example",
    "redirect_uri": f"https://app.example/{ODD}",
    "redirect_host": None,
    "redirect_scheme": "other",
    "loopback": True,
    "resources": [{"name": None, "identifier": "https://server.example/mcp"}],
    "scopes": [{"name": "tools", "text": "Use the tools"}],
    "upstreams": [{"name": "oidc", "title": "A provider", "scopes": ["mail"]}],
}


@pytest.fixture
def pages() -> Pages:
    return pages_with(Branding())


def pages_with(branding: Branding) -> Pages:
    return Pages(Site(issuer="https://server.example", resources=()), branding)


def request_in(language: str) -> Request:
    return Request({"type": "http", "headers": [(b"accept-language", language.encode())]})


def shown(
    pages: Pages, template: str, varying: str, values: Mapping[str, Any], language: str = "en"
) -> str:
    answer = pages.show(request_in(language), template, varying=varying, **values)
    assert answer.headers["content-language"] == language
    return bytes(answer.body).decode()


def rendered(pages: Pages, template: str, values: Mapping[str, Any], language: str = "en") -> str:
    return pages._render(template, texts_for(None, language), values)


@pytest.mark.parametrize("language", CATALOGUE)
@pytest.mark.parametrize("changed", [None, *CONSENT])
def test_each_consent_page_shows_its_own_values(
    pages: Pages, changed: str | None, language: str
) -> None:
    shown(pages, "consent", "sealed", CONSENT | {"sealed": "first"}, language)
    other = {} if changed is None else {changed: OTHERS[changed]}
    values = CONSENT | other | {"sealed": ODD}
    for _ in range(2):
        found = shown(pages, "consent", "sealed", values, language)
        assert found == rendered(pages, "consent", values, language)


@pytest.mark.parametrize("language", CATALOGUE)
@pytest.mark.parametrize("to", ["A provider", ODD])
@pytest.mark.parametrize("url", ["https://idp.example/authorize?a=b&c=d", f"https://x/{ODD}", ""])
def test_each_page_onward_leads_to_its_own_address(
    pages: Pages, url: str, to: str, language: str
) -> None:
    shown(pages, "onward", "url", {"url": "https://first.example/", "to": "A provider"}, language)
    values = {"url": url, "to": to}
    found = shown(pages, "onward", "url", values, language)
    assert found == rendered(pages, "onward", values, language)
    assert "first.example" not in found


@pytest.mark.parametrize("language", CATALOGUE)
@pytest.mark.parametrize("text", [None, "done.denied", "done.stopped"])
@pytest.mark.parametrize("app", [None, ODD])
def test_each_last_page_leads_to_its_own_client(
    pages: Pages, app: str | None, text: str | None, language: str
) -> None:
    values: dict[str, Any] = {
        "app": "An app",
        "title": "done.title",
        "text": None,
        "provider": "A provider",
    }
    shown(pages, "done", "url", values | {"url": "http://127.0.0.1:1/"}, language)
    values |= {"app": app, "text": text, "url": f"http://127.0.0.1:2/?{ODD}"}
    found = shown(pages, "done", "url", values, language)
    assert found == rendered(pages, "done", values, language)


def test_a_template_of_the_operator_may_look_at_the_value(tmp_path: Path) -> None:
    (tmp_path / "onward.html").write_text("{{ url|length }} {{ url|upper }}")
    pages = pages_with(Branding(templates=str(tmp_path)))
    for url in ("https://a", "https://other"):
        text = f"{len(url)} {url.upper()}"
        assert shown(pages, "onward", "url", {"url": url, "to": "x"}) == text


class TestMemory:
    def test_what_shows_the_same_is_rendered_once(self) -> None:
        remembered, calls = RememberedPages(), []

        def render(values: Mapping[str, object]) -> str:
            calls.append(values)
            return f"{values['same']} {values['url']}"

        for url in ("a", "<b>"):
            remembered.page(render, ("page", "en"), {"same": "x", "url": url}, "url")
        assert len(calls) == 1
        page = remembered.page(render, ("page", "en"), {"same": "x", "url": "<b>"}, "url")
        assert page == "x &lt;b&gt;"

    def test_it_is_bounded(self) -> None:
        remembered = RememberedPages()

        def render(values: Mapping[str, object]) -> str:
            return f"{values['same']} {values['url']}"

        for number in range(300):
            remembered.page(render, (), {"same": number, "url": ""}, "url")
        assert len(remembered._parts) == 100
        remembered.page(render, (), {"same": "x" * 5000, "url": ""}, "url")
        assert max(map(len, remembered._parts)) < 4096
