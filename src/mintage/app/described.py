"""Grants and clients as operators see them: in commands, in the admin API and on its page."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Any

import msgspec

from mintage.app.client_denials import ClientDenials
from mintage.clients.client import Client
from mintage.clients.denied import places_of
from mintage.clients.documents import is_document_url
from mintage.clients.registration import ClientIds
from mintage.grants.browser_sessions import CLIENT_PREFIX
from mintage.settings.load import Config
from mintage.values import ClientId
from mintage.vault.values import Listed
from mintage.vault.vault import Vault


class Described(msgspec.Struct, frozen=True):
    """Describes what *vault* has. Nothing secret is in it: no description has a token."""

    config: Config
    vault: Vault
    client_ids: ClientIds

    async def find(self, subject: str | None, client: str | None) -> AsyncGenerator[Listed, None]:
        """Grants by user and client. *subject* is looked for at every issuer."""
        of_client = None if client is None else ClientId(client)
        listing = self.vault.listing
        if subject is None:
            async for found in listing.find(subject=None, client=of_client):
                yield found
            return
        for issuer in self._issuers():
            async for found in listing.find(subject=(issuer, subject), client=of_client):
                yield found
        if self._has_tenants:
            async for found in listing.find(client=of_client):
                if _is_of(found, subject) and not self._is_looked_up(found):
                    yield found

    async def page(
        self, subject: str | None, client: str | None, *, after: str | None, limit: int
    ) -> tuple[list[Listed], str | None]:
        """A page of `find`, and where the next one begins (see `Listing.page`)."""
        subjects, matches = None, None
        if subject is not None and self._has_tenants:
            matches = partial(_is_of, subject=subject)
        elif subject is not None:
            subjects = [(issuer, subject) for issuer in self._issuers()]
        return await self.vault.listing.page(
            subjects=subjects,
            client=None if client is None else ClientId(client),
            matches=matches,
            after=after,
            limit=limit,
        )

    def _issuers(self) -> list[str]:
        """Who may have named a subject: a provider, another issuer, or Mintage, for clients."""
        config = self.config
        providers = (name for one in config.upstreams for name in one.names_of(one.issuer))
        others = (one.issuer for one in config.trusted_issuers)
        return sorted({config.issuer, *providers, *others})

    @property
    def _has_tenants(self) -> bool:
        """Whether a subject may be named by an issuer that no setting names."""
        return any(one.has_tenants for one in self.config.upstreams)

    def _is_looked_up(self, grant: Listed) -> bool:
        """Whether the issuer that named the user of *grant* is one of `_issuers`."""
        return grant.summary is not None and grant.summary.issuer in self._issuers()

    def row(self, grant: Listed) -> dict[str, Any]:
        """*grant* in a list."""
        row: dict[str, Any] = {"grant": grant.id, "until": self.vault.lifetimes.lasts_until(grant)}
        if grant.foreign:
            row["needs_secret"] = grant.sealed_under.hex()
        if grant.unread is not None:
            row["unread"] = grant.unread
        if (who := grant.summary) is None:
            return row
        client = self.client(who.client_id)
        return row | {
            "subject": who.subject,
            "name": who.name,
            "client": None if client is None else client.name,
            "client_id": who.client_id,
            "since": who.created_at,
        }

    def whole(self, grant: Listed) -> dict[str, Any]:
        """All that is known of *grant* without a token of its client.

        Its state at the provider is not: the record that has it decrypts only with such a token.
        """
        row = self.row(grant)
        if (who := grant.summary) is None:
            return row
        provider = next((each for each in self.config.upstreams if each.issuer == who.issuer), None)
        return row | {
            "state": self._state(grant),
            "issuer": who.issuer,
            "provider": None if provider is None else provider.name,
            "resources": list(who.resources),
            "scopes": list(who.scopes),
            "refreshed": max(who.created_at, self.vault.lifetimes.renewed_at(grant)),
            "sealed_under": grant.sealed_under.hex() or None,
            "signed_with": grant.signed_with.hex() or None,
        }

    def _state(self, grant: Listed) -> str:
        """``pending``: the client has not redeemed its code yet."""
        who = grant.summary
        if who is not None and grant.expires_at - who.created_at <= self.config.lifetimes.code:
            return "pending"
        return "active"

    def client(self, client_id: str) -> Client | None:
        """The client, if Mintage knows it without a request to another server."""
        configured = (one for one in self.config.clients if one.client_id == client_id)
        return next(configured, None) or self.client_ids.read(client_id)

    async def clients(self, denials: ClientDenials) -> list[dict[str, Any]]:
        """The configured clients, those with live grants, and what is denied besides."""
        names = {one.name: one for one in await denials.look()}
        grants: Counter[str] = Counter()
        async for grant in self.vault.listing.find():
            if grant.summary is not None:
                grants[grant.summary.client_id] += 1
        ids = dict.fromkeys((*(one.client_id for one in self.config.clients), *sorted(grants)))
        rows = [self._client_row(client_id, grants[client_id], denials) for client_id in ids]
        used = {row["denied_as"] for row in rows}
        others: Iterable[str] = (name for name in names if name not in used)
        rows += [
            {
                "client_id": None,
                "kind": "none",
                "name": None,
                "redirects_to": [],
                "grants": 0,
                "denied_as": name,
            }
            for name in others
        ]
        for row in rows:
            denial = names.get(row["denied_as"])
            row["denied_since"] = None if denial is None else denial.since
            row["denied_by"] = None if denial is None else denial.by
        return rows

    def _client_row(self, client_id: str, grants: int, denials: ClientDenials) -> dict[str, Any]:
        client = self.client(client_id)
        return {
            "client_id": client_id,
            "kind": _kind(client_id, client),
            "name": None if client is None else client.name,
            "redirects_to": [] if client is None else list(places_of(client)),
            "grants": grants,
            "denied_as": denials.denied.name_covering(ClientId(client_id)),
        }


def _is_of(grant: Listed, subject: str) -> bool:
    return grant.summary is not None and grant.summary.subject == subject


def _kind(client_id: str, client: Client | None) -> str:
    """How the client registered. ``unknown``: under a secret that is not here any more.

    ``browser``: it is none, but the sessions of people with a browser at one resource.
    """
    if client_id.startswith(CLIENT_PREFIX):
        return "browser"
    if client is not None:
        return "configured" if client.vouched else "registered"
    return "document" if is_document_url(client_id) else "unknown"
