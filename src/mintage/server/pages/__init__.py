"""The pages that a user sees: plain HTML, no script, nothing from other sites."""

import base64
import hashlib
import logging
from functools import partial
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from mintage.values import RandomBytes
from mintage.web.edge import Failure, Handler, guarded

_STYLE: Final = files(__name__).joinpath("style.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    # form-action may be this strict because no form here answers with a redirect:
    # Chromium applies it to every hop that follows a submitted form, and the hops of a
    # provider's login are not known.
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

_templates: Final = Environment(
    loader=PackageLoader("mintage.server", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(name: str, *, status: int = 200, **values: object) -> Response:
    """The page of template *name*; every value is escaped."""
    html = _templates.get_template(f"{name}.html").render(style=_STYLE, **values)
    return Response(html, status_code=status, headers=HEADERS, media_type="text/html")


def onward(url: str, *, to: str) -> Response:
    """A page from which the browser continues to *url*; *to* names the place for the user."""
    return page("onward", url=url, to=to)


def error_page(
    failure: Failure,
    *,
    retry: str | None = None,
    back: str | None = None,
    back_host: str | None = None,
    of_application: bool = False,
) -> Response:
    """What went wrong, what to do, and the reference for the operator's log.

    *retry*: where to try again; *back*: where the client waits for its response. *back_host*: the
    host of *back*, if the operator did not configure the client. *of_application*: an application
    made the request, so its developer can correct it and the user can't.
    """
    response = page(
        "error",
        status=failure.error.status,
        title=_TITLES.get(failure.error.code, "This login can't continue"),
        advice=failure.error.advice,
        reference=failure.reference,
        retry=retry,
        back=back,
        back_host=back_host,
        of_application=of_application and failure.error.code == "invalid_request",
    )
    for name, value in failure.headers.items():
        response.headers[name] = value
    return response


_TITLES: Final = {
    "temporarily_unavailable": "Not available at the moment",
    "server_error": "Something went wrong here",
    "access_denied": "Access denied",
    "invalid_client": "This application is not known here",
}


def for_browsers(
    handler: Handler, random_bytes: RandomBytes, *, of_application: bool = False
) -> Handler:
    """*handler* with its refusals as pages; *of_application*: see `error_page`."""
    answer = partial(error_page, of_application=of_application)
    return guarded(handler, random_bytes, answer, level=logging.WARNING)
