"""What ``/account`` says about each connected app. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mintage.clients.client import Client
from mintage.clients.documents import is_document_url
from mintage.clients.known import known_client
from mintage.clients.redirects import display_host
from mintage.grants.browser_sessions import is_of_browser
from mintage.partly_shown import PartlyShown
from mintage.site.site import Site
from mintage.values import Scopes
from mintage.vault.consents import RememberedConsent, StoredConsent
from mintage.vault.values import Listed, Summary


class ConnectedApp(msgspec.Struct, frozen=True):
    """A live grant of the user.

    *client*: None if Mintage does not know it any more, or would have to ask its host. *renewed_at*
    and *until* are in seconds since the epoch.
    """

    grant: Listed
    summary: Summary
    client: Client | None
    renewed_at: int
    until: int


class AccountPage(PartlyShown, frozen=True):
    """*scope_texts*: what scopes allow, in words."""

    not_shown = ("scope_texts",)

    site: Site
    scope_texts: Mapping[str, str]

    def rows(self, apps: Iterable[ConnectedApp], *, now: int) -> list[dict[str, Any]]:
        """The apps for the template, the newest first."""
        newest = sorted(apps, key=lambda app: app.summary.created_at, reverse=True)
        return [self._row(app, now) for app in newest]

    def remembered(
        self, found: Iterable[tuple[StoredConsent, Client | None, int]]
    ) -> list[dict[str, Any]]:
        """The remembered answers for the template: each with its client and its end."""
        return [
            _who_asks(one.consent, client)
            | self._access(one.consent.resources, one.consent.scopes)
            | {"id": one.id, "until": _time(end)}
            for one, client, end in found
        ]

    def _row(self, app: ConnectedApp, now: int) -> dict[str, Any]:
        summary = app.summary
        in_a_browser = is_of_browser(summary.client_id)
        known = summary.created_at <= app.renewed_at <= now
        return (
            _who(app)
            | self._access(summary.resources, summary.scopes)
            | {
                "id": app.grant.id,
                "since": _time(summary.created_at),
                "renewed": _time(app.renewed_at) if known and not in_a_browser else None,
                "used_from": summary.used_from,
                "until": _time(app.until),
            }
        )

    def _access(self, named: Scopes, scopes: Scopes) -> dict[str, Any]:
        resources = [self.site.resource(name) or name for name in named]
        return {
            "resources": [
                {"name": None, "identifier": each}
                if isinstance(each, str)
                else {"name": each.name, "identifier": each.identifier}
                for each in resources
            ],
            "scopes": [{"name": scope, "text": self.scope_texts.get(scope)} for scope in scopes],
        }


def _who(app: ConnectedApp) -> dict[str, Any]:
    """The app's name, how Mintage knows it, and the addresses that it registered."""
    client, client_id = app.client, app.summary.client_id
    if is_of_browser(client_id):
        return {"app": None, "standing": "browser", "addresses": []}
    if client is None:
        published = is_document_url(client_id)
        host = urlsplit(client_id).netloc if published else None
        return {
            "app": host,
            "standing": "published" if published else "unknown",
            "addresses": [client_id] if published else [],
        }
    uris = [uri.text for uri in client.redirect_uris]
    addresses = list(dict.fromkeys(map(display_host, uris)))
    if client.vouched:
        return {"app": client.name, "standing": "vouched", "addresses": addresses}
    names = {known_client(uri) for uri in uris}
    if len(names) == 1 and (name := names.pop()) is not None:
        return {"app": name, "standing": "known", "addresses": addresses}
    return {"app": client.name, "standing": "claimed", "addresses": addresses}


def _who_asks(consent: RememberedConsent, client: Client | None) -> dict[str, Any]:
    """The app's name as the consent page proves it, and where the answers go."""
    published = urlsplit(consent.client_id).netloc if is_document_url(consent.client_id) else None
    app = client.name if client is not None else known_client(consent.redirect_uri) or published
    return {"app": app, "addresses": [display_host(consent.redirect_uri)]}


def _time(seconds: int) -> dict[str, str]:
    """A time for people, in UTC, and for programs."""
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return {"shown": moment.strftime("%Y-%m-%d %H:%M UTC"), "exact": moment.isoformat()}
