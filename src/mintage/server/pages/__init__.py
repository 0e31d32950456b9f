"""The pages that a person sees: plain HTML, no script, nothing from elsewhere."""

import base64
import hashlib
import logging
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mintage.endpoints import BRANDING
from mintage.server.pages.colors import readable_on, text_on
from mintage.server.pages.for_people import Explanation, explanation
from mintage.server.pages.remembered import RememberedPages
from mintage.server.pages.texts import CATALOGUE, Texts, texts_for
from mintage.site.branding import Branding
from mintage.site.site import Site
from mintage.values import RandomBytes
from mintage.web.edge import (
    Failure,
    Handler,
    guarded,
    header_of,
    html_response,
    minutes_of,
)
from mintage.web.forms import Form

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_STYLE: Final = files(__name__).joinpath("style.css").read_text(encoding="utf-8")
_ICON: Final = files(__name__).joinpath("icon.svg").read_text(encoding="utf-8")
# The lightest and the darkest background that text in the accent colour is on: see style.css.
_LIGHT, _DARK = "#ffffff", "#16191d"

# form-action may be this strict because no form here answers with a redirect: Chromium applies it
# to every hop that follows a submitted form, and nobody knows all the hops of somebody else's
# login. Pictures are the logo and the icon, which this server itself serves.
_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-{style}'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Pages:
    """The pages of one server, in its colours and in the language of each person."""

    def __init__(self, site: Site, branding: Branding) -> None:
        self.server_name = branding.name or site.host
        self._branding = branding
        self._templates: Environment | None = None
        self._known: dict[str, Template] = {}
        if branding.templates is not None:
            self._template("error.html")  # all of them, as they are at the start
        self._at = f"{site.base_path}/{BRANDING.name}"
        self._style = styled(branding.color)
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        headers = _HEADERS | {"content-security-policy": _POLICY.format(style=digest)}
        self._headers = {name: headers | {"content-language": name} for name in CATALOGUE}
        self._remembered = RememberedPages()

    def show(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        ui_locales: str | None = None,
        varying: str | None = None,
        **values: object,
    ) -> Response:
        """The page of *template*; each value is escaped. *ui_locales*: as the client asked.

        *varying*: the only one of the values that differs each time, if there is one. Mintage's own
        templates show it, and do nothing else with it; all others can be encoded as MessagePack.
        """
        texts = texts_for(ui_locales, header_of(request, b"accept-language"))
        render = partial(self._render, template, texts)
        if varying is None or self._branding.templates is not None:
            html = render(values)
        else:
            html = self._remembered.page(render, (template, texts.language), values, varying)
        headers = self._headers[texts.language]
        return html_response(html, status=status, headers=headers)

    def _render(self, template: str, texts: Texts, values: Mapping[str, object]) -> str:
        return self._template(f"{template}.html").render(
            t=texts,
            style=Markup(self._style),  # noqa: S704  (it is part of Mintage)
            server_name=self.server_name,
            logo=f"{self._at}/logo" if self._branding.logo else None,
            icon=f"{self._at}/icon.svg",
            support=self._support(),
            whom=self._support() or texts("common.operator"),
            **values,
        )

    def onward(
        self, request: Request, url: str, *, to: str, ui_locales: str | None = None
    ) -> Response:
        """A page from which the browser continues to *url*; *to* names the place."""
        return self.show(request, "onward", ui_locales=ui_locales, varying="url", url=url, to=to)

    def error(
        self,
        request: Request,
        failure: Failure,
        *,
        retry: str | None = None,
        repeat: Form | None = None,
        back: str | None = None,
        back_host: str | None = None,
        ui_locales: str | None = None,
        of_application: bool = False,
        kind: Explanation | None = None,
    ) -> Response:
        """What went wrong, what to do, and the reference for the operator's log.

        *retry*: where to try again. *repeat*: the form that this browser sent, to be sent again.
        *back*: where the client waits for its response. *back_host*: the host of *back*, if the
        operator did not configure the client. *of_application*: an application made the request, so
        its developer can correct it and the user can't. *kind*: the text for the person; None for
        the usual one of the refusal.
        """
        response = self.show(
            request,
            "error",
            status=failure.error.status,
            ui_locales=ui_locales,
            kind=kind or explanation(failure.error, of_application=of_application),
            minutes=minutes_of(getattr(failure.error, "retry_after", 0)),
            advice=failure.error.advice,
            reference=failure.reference,
            retry=retry,
            repeat=repeat,
            back=back,
            back_host=back_host,
        )
        return with_headers_of(failure, response)

    def _template(self, name: str) -> "Template":
        if self._templates is None:
            from mintage.server.pages.templates import templates

            self._templates = templates(self._branding.templates)
        template = self._known.get(name)
        if template is None:
            template = self._known[name] = self._templates.get_template(name)
            # Each page copies them, which takes a step for each if they are a chain of mappings.
            template.globals = dict(template.globals)
        return template

    def _support(self) -> Markup | None:
        """Whom to ask, as HTML; None if the operator did not say."""
        support, link = self._branding.support, self._branding.support_link
        if support is None:
            return None
        if link is None:
            return Markup("{}").format(support)
        return Markup('<a rel="noreferrer" href="{}">{}</a>').format(link, support)


def with_headers_of(failure: Failure, response: Response) -> Response:
    """*response* with the headers of *failure*: its reference, Retry-After and the like."""
    for name, value in failure.headers.items():
        response.headers[name] = value
    return response


def styled(color: str) -> str:
    """The style sheet with *color*; as the colour of text, as dark or light as people need it."""
    values = {
        "button-color": color,
        "on-button-color": text_on(color),
        "accent-light": readable_on(color, _LIGHT),
        "accent-dark": readable_on(color, _DARK),
    }
    style = _STYLE
    for name, value in values.items():
        style = style.replace(f"var(--{name})", value)
    return style


def icon(color: str) -> str:
    """The icon of the pages, an SVG image in *color*."""
    return _ICON.replace("#0b57d0", color)


def for_browsers(
    handler: Handler, random_bytes: RandomBytes, pages: Pages, *, of_application: bool = False
) -> Handler:
    """*handler* with its refusals as pages; *of_application*: see `Pages.error`."""
    answer = partial(_answer, pages, of_application)
    return guarded(handler, random_bytes, answer, level=logging.WARNING)


def _answer(pages: Pages, of_application: bool, failure: Failure, request: Request) -> Response:  # noqa: FBT001
    return pages.error(request, failure, of_application=of_application)
