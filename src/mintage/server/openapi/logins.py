"""The endpoints of a login: from the authorization request to the callback."""

from typing import Final

from mintage.endpoints import AUTHORIZE, CONSENT, PAR, logout_path
from mintage.server.openapi.shapes import (
    CLIENT_FIELDS,
    PROOF,
    REFERENCE,
    SECONDS,
    TEXT,
    Json,
    closed,
    form,
    html_pages,
    json_answers,
    json_refusals,
    query,
    with_nonce,
)
from mintage.site.site import Site

_AUTHORIZATION: Final[Json] = {
    "client_id": TEXT,
    "response_type": {"const": "code"},
    "redirect_uri": TEXT,
    "state": TEXT | {"maxLength": 1024},
    "code_challenge": TEXT | {"pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"const": "S256"},
    "scope": TEXT,
    "resource": TEXT,
    "dpop_jkt": TEXT | {"pattern": "^[A-Za-z0-9_-]{43}$"},
    "prompt": TEXT,
    "max_age": TEXT | {"pattern": "^[0-9]{1,9}$"},
    "login_hint": TEXT | {"maxLength": 320},
    "acr_values": TEXT,
    "ui_locales": TEXT,
}
_PUSHED: Final[Json] = {"request_uri": TEXT}
_ASKED: Final = ("response_type", "code_challenge", "code_challenge_method")


def paths(site: Site) -> Json:
    base = site.base_path
    if not site.logins:
        return {f"{base}/{AUTHORIZE.name}": _no_logins()}
    return {
        f"{base}/{AUTHORIZE.name}": {"get": _authorize_get(), "post": _authorize_post()},
        f"{base}/{PAR.name}": {"post": _par()},
        f"{base}/{CONSENT.name}": {"post": _consent(site)},
        **{base + path: {"get": _callback()} for path in site.callbacks},
        **{base + logout_path(path): {"post": _logout()} for path in site.callbacks},
    }


def _no_logins() -> Json:
    summary = "Refuse: nobody logs in at this server"
    return {"get": {"summary": summary, "responses": html_pages(refusals=(400,))}}


def _authorize_get() -> Json:
    return {
        "summary": "Begin a login (RFC 6749 §4.1.1, RFC 7636, RFC 8707, RFC 9126 §4)",
        "parameters": query(_AUTHORIZATION | _PUSHED, ("client_id",)),
        "responses": html_pages(200, 303, refusals=(400, 401, 503)),
    }


def _authorize_post() -> Json:
    return {
        "summary": "Begin a login with a request that is too long for a URL",
        "requestBody": form(_AUTHORIZATION | _PUSHED, ("client_id",)),
        "responses": html_pages(200, 303, refusals=(400, 401, 503)),
    }


def _par() -> Json:
    fields = _AUTHORIZATION | CLIENT_FIELDS
    answer = closed({"request_uri": TEXT, "expires_in": SECONDS})
    return {
        "summary": "Push an authorization request (RFC 9126)",
        "security": [{}, {"client": []}],
        "parameters": [PROOF],
        "requestBody": form(fields, _ASKED),
        "responses": with_nonce(json_answers(201, answer, refusals=(400, 401, 429, 503))),
    }


def _consent(site: Site) -> Json:
    fields: Json = {"request": TEXT, "decision": {"enum": ["approve", "deny"]}}
    needed = tuple(fields)
    fields["remember"] = {"const": "yes"}
    if site.upstreams:
        needed = ("request",)  # a provider's button means yes
        fields["upstream"] = {"enum": list(site.upstreams)}
    return {
        "summary": "The person's answer, from the page of /authorize",
        "requestBody": form(fields, needed),
        "responses": html_pages(200, refusals=(400, 403, 502, 503)),
    }


def _callback() -> Json:
    fields = {"state": TEXT, "code": TEXT, "iss": TEXT, "error": TEXT}
    return {
        "summary": "The person is back from the identity provider (RFC 6749 §4.1.2)",
        "parameters": query(fields, ("state",)),
        "responses": html_pages(200, 303, refusals=(400, 403, 502, 503)),
    }


def _logout() -> Json:
    done = {"description": "The logins that the token names have ended", "headers": REFERENCE}
    return {
        "summary": "The user has logged out at the provider (OpenID Connect Back-Channel Logout)",
        "requestBody": form({"logout_token": TEXT}, ("logout_token",)),
        "responses": {"200": done} | json_refusals((400, 502, 503)),
    }
