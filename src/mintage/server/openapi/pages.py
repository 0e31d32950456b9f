"""The pages of a person: the connected apps, and the sessions of browsers."""

from mintage.endpoints import ACCOUNT, SIGN_IN, SIGN_OUT
from mintage.server.openapi.shapes import TEXT, Json, form, html_pages, query
from mintage.site.site import Site


def paths(site: Site) -> Json:
    base = site.base_path
    found: Json = {}
    if site.account:
        found[f"{base}/{ACCOUNT.name}"] = {"get": _account(), "post": _account_post(site)}
    if any(resource.browser for resource in site.resources):
        found[f"{base}/{SIGN_IN.name}"] = {"get": _sign_in(site)}
        found[f"{base}/{SIGN_OUT.name}"] = {"get": _sign_out(), "post": _sign_out_post()}
    return found


def _account() -> Json:
    return {
        "summary": "The page of the person's connected apps",
        "responses": html_pages(200, refusals=(400, 503)),
    }


def _account_post(site: Site) -> Json:
    fields: Json = {
        "form": TEXT,
        "upstream": {"enum": list(site.upstreams)} if site.upstreams else TEXT,
        "grant": TEXT,
        "forget": TEXT,
        "action": {"enum": ["disconnect_all", "sign_out", "sign_out_at_provider"]},
    }
    return {
        "summary": "A button of that page: sign in, disconnect, forget an answer, sign out",
        "requestBody": form(fields, ("form",)),
        "responses": html_pages(200, 303, refusals=(400, 403, 502, 503)),
    }


def _sign_in(site: Site) -> Json:
    fields: Json = {
        "to": TEXT,
        "upstream": {"enum": list(site.upstreams)} if site.upstreams else TEXT,
        "account": {"const": "other"},
    }
    return {
        "summary": "A person signs in, and goes to the address `to` of a resource for browsers",
        "parameters": query(fields, ("to",)),
        "responses": html_pages(200, 303, refusals=(400, 502, 503)),
    }


def _sign_out() -> Json:
    return {
        "summary": "The page that asks whether to sign out, of all sessions of this browser",
        "responses": html_pages(200, refusals=(503,)),
    }


def _sign_out_post() -> Json:
    return {
        "summary": "The button of that page",
        "requestBody": form({"form": TEXT}, ("form",)),
        "responses": html_pages(200, refusals=(400, 403, 503)),
    }
