"""A scripted browser: cookies, redirects, refreshing pages and forms. It runs no scripts.

It is for end-to-end tests and the demo, where a person would click. One object is one browser
with its own cookies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final, Self
from urllib.parse import urljoin

import httpx2

from mintage.network.tls import trusted

_MAX_HOPS: Final = 20
_CHOICES: Final = ("checkbox", "radio")


@dataclass(slots=True)
class Form:
    """A form of a page.

    Args:
        action: Where it is sent, as the page spells it.
        method: ``get`` or ``post``.
        fields: What would be sent if nothing were changed.
    """

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """The page at which the browser arrived.

    Args:
        url: Its URL.
        status: Its HTTP status. 0 if the browser stopped before it (`Browser`).
        headers: Its response headers.
        text: Its body.
        forms: Its forms.
        refresh: The target of its ``<meta http-equiv=refresh>``, if it has one.
    """

    url: str
    status: int
    headers: httpx2.Headers
    text: str
    forms: tuple[Form, ...] = ()
    refresh: str | None = None

    def form(self) -> Form:
        """The page's only form.

        Returns:
            The form.

        Raises:
            AssertionError: The page has none, or several.
        """
        if len(self.forms) != 1:
            raise AssertionError(f"{len(self.forms)} forms at {self.url}: {self.text[:500]}")
        return self.forms[0]


class Browser:
    """Follows redirects as a browser does. Use it as an asynchronous context manager.

    Args:
        stop_at: Beginnings of URLs that it does not open: there it stops, and returns the URL.
        on_response: Called with every response on the way.
        mounts: Transports for some addresses, as httpx2 takes them:
            ``https://auth.example.com`` → an ASGI application, say.
    """

    def __init__(
        self,
        *,
        stop_at: tuple[str, ...] = (),
        on_response: Callable[[httpx2.Response], None] | None = None,
        mounts: Mapping[str, httpx2.AsyncBaseTransport | None] | None = None,
    ) -> None:
        self.stop_at = stop_at
        self._on_response = on_response
        self._client = httpx2.AsyncClient(
            verify=trusted(),
            trust_env=False,
            mounts=mounts,
            timeout=30,
            headers={"accept": "text/html", "user-agent": "scripted-browser"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    @property
    def cookies(self) -> httpx2.Cookies:
        """The browser's cookies."""
        return self._client.cookies

    async def open(self, url: str, *, link_on: str | None = None) -> Page:
        """Open a URL, and follow its redirects.

        Args:
            url: The URL.
            link_on: The page of another site with the link that a person clicked. None: as if the
                person had typed the URL.

        Returns:
            The page at the end.

        Raises:
            AssertionError: There were more than 20 redirects.
        """
        site = "none" if link_on is None else "cross-site"
        return await self._go("GET", url, None, site=site, referer=link_on)

    async def submit(
        self, page: Page, fields: dict[str, str] | None = None, *, form: Form | None = None
    ) -> Page:
        """Send a form, and follow the redirects.

        Args:
            page: The page that has the form.
            fields: Fields to fill in or change.
            form: The form. None: the page's only one.

        Returns:
            The page at the end.

        Raises:
            AssertionError: The page has not exactly one form, or there were more than 20 redirects.
        """
        form = form or page.form()
        target = urljoin(page.url, form.action or page.url)
        return await self._go(
            form.method.upper(), target, form.fields | (fields or {}), site="same-origin"
        )

    async def _go(
        self,
        method: str,
        url: str,
        form: dict[str, str] | None,
        *,
        site: str,
        referer: str | None = None,
    ) -> Page:
        for _ in range(_MAX_HOPS):
            if url.startswith(self.stop_at) if self.stop_at else False:
                return Page(url, 0, httpx2.Headers(), "")
            page = await self._fetch(method, url, form, site, referer)
            onward = page.headers.get("location") if 300 <= page.status < 400 else page.refresh  # noqa: PLR2004
            if onward is None:
                return page
            if page.refresh is not None:
                referer = None  # the pages of Mintage send none
            method, url, form, site = "GET", urljoin(page.url, onward), None, "cross-site"
        raise AssertionError(f"more than {_MAX_HOPS} redirects, last to {url}")

    async def _fetch(
        self, method: str, url: str, form: dict[str, str] | None, site: str, referer: str | None
    ) -> Page:
        headers = {
            "sec-fetch-site": site,
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        } | ({} if referer is None else {"referer": referer})
        if method == "GET":
            response = await self._client.get(url, params=form, headers=headers)
        else:
            response = await self._client.post(url, data=form, headers=headers)
        if self._on_response is not None:
            self._on_response(response)
        parser = _PageParser()
        if "html" in response.headers.get("content-type", ""):
            parser.feed(response.text)
        return Page(
            str(response.url),
            response.status_code,
            response.headers,
            response.text,
            tuple(parser.forms),
            parser.refresh,
        )


class _PageParser(HTMLParser):
    """Finds forms and a ``<meta http-equiv=refresh>``."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.refresh: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                self.forms.append(Form(values.get("action", ""), values.get("method", "get")))
            case "input" if values.get("type") in _CHOICES and "checked" not in values:
                pass
            case "input" if self.forms and values.get("name"):
                self.forms[-1].fields[values["name"]] = values.get("value", "")
            case "meta" if values.get("http-equiv", "").lower() == "refresh":
                _, _, target = values.get("content", "").partition("url=")
                self.refresh = target or None
