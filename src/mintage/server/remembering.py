"""Remembers consents for users who want it, and finds out when the page can be left out."""

import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.client import Client
from mintage.errors import StoreError
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.logins import ConsentForgotten, ConsentRemembered
from mintage.grants.states import Identity
from mintage.server.consent_terms import began_at_the_client, terms_at_each
from mintage.server.cookies import PendingLogin
from mintage.server.remembered_cookie import PART_BYTES, Hint, HintCookie
from mintage.server.requests import AuthorizationRequest
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock
from mintage.vault.consents import Consents, RememberedConsent, StoredConsent

log = logging.getLogger("mintage.server")

DAY_SECONDS: Final = 86400
MOST_NAMES: Final = 4  # users who share a browser


class Known(msgspec.Struct, frozen=True):
    """This browser was told that a consent to *terms* at *upstream* is remembered as *names*."""

    upstream: RegisteredUpstream
    terms: bytes
    names: tuple[bytes, ...]


class Remembering(msgspec.Struct, frozen=True, kw_only=True):
    """*seconds*: how long a consent is remembered; 0: never."""

    seconds: int
    site: Site
    consents: Consents
    cookie: HintCookie
    clock: Clock
    emit: Emit = ignore

    @property
    def days(self) -> int:
        return self.seconds // DAY_SECONDS

    def terms(
        self, wanted: AuthorizationRequest, client: Client, offered: Sequence[RegisteredUpstream]
    ) -> tuple[bytes, ...]:
        """What a consent would be remembered for, at each of *offered*; empty: for nothing."""
        return terms_at_each(wanted, client, offered, self.site) if self.seconds else ()

    def known(
        self,
        request: Request,
        wanted: AuthorizationRequest,
        offered: Sequence[RegisteredUpstream],
        terms: Sequence[bytes],
    ) -> Known | None:
        """Where to send the browser without the page; None: ask.

        A request with a ``prompt`` wants the user to be asked for something. Where a consent is
        remembered at several providers, the user chooses one on the page.
        """
        if not terms or wanted.parameters.prompt is not None:
            return None
        if not began_at_the_client(request, wanted.redirect_uri):
            return None
        hints = self.cookie.read(request, now=self._now())
        found = []
        for upstream, each in zip(offered, terms, strict=True):
            names = tuple(hint.name for hint in hints if hint.terms == each[:PART_BYTES])
            if names:
                found.append(Known(upstream, each, names[-MOST_NAMES:]))
        return found[0] if len(found) == 1 else None

    async def agreed(self, login: PendingLogin, who: Identity) -> bool:
        """Whether the user who logged in has agreed to *login*: on the page, or before.

        Raises `StoreError` if the store can't tell.
        """
        if not login.remembered:
            return True
        if not self.seconds:
            return False
        for name in self.consents.names(who.issuer, who.subject, login.terms):
            # Only in a browser in which this very user agreed: not in one that an attacker gave
            # a cookie of the attacker's own.
            if name[:PART_BYTES] in login.remembered:
                consent = await self.consents.load(name)
                if consent is not None and self._lasts(consent):
                    return True
        return False

    async def keep(
        self, request: Request, response: Response, login: PendingLogin, who: Identity
    ) -> None:
        """Remember the consent that *login* began with, if the user wished so on the page."""
        if not login.terms or login.remembered or not self.seconds:
            return
        wanted, now = login.request, self._now()
        consent = RememberedConsent(
            issuer=who.issuer,
            subject=who.subject,
            terms=login.terms,
            client_id=wanted.client_id,
            redirect_uri=wanted.redirect_uri,
            resources=(wanted.resource, *wanted.more_resources),
            scopes=wanted.scopes,
            created_at=now,
            expires_at=now + self.seconds,
        )
        try:
            name = await self.consents.remember(consent)
        except StoreError as error:
            log.warning("a consent was not remembered: %s", error)  # the login goes on
            return
        hint = Hint(login.terms[:PART_BYTES], name[:PART_BYTES], consent.expires_at)
        self.cookie.add(request, response, hint, now=now)
        self.emit(ConsentRemembered(party=_party(consent), scopes=consent.scopes))

    async def forget(self, stored: StoredConsent) -> None:
        """Ask the user again, in every browser."""
        await self.consents.forget(stored)
        self.emit(ConsentForgotten(party=_party(stored.consent)))

    def forget_here(self, request: Request, response: Response, names: Sequence[bytes]) -> None:
        """Ask in this browser again, whatever the store says about the consents *names*."""
        self.cookie.drop(request, response, names, now=self._now())

    async def of(self, issuers: Sequence[str], subject: str) -> list[StoredConsent]:
        """What is remembered of one user, under each name of the provider; the newest first."""
        if not self.seconds:
            return []
        found = [one for issuer in issuers async for one in self.consents.of(issuer, subject)]
        lasting = (one for one in found if self._lasts(one.consent))
        return sorted(lasting, key=lambda one: one.consent.created_at, reverse=True)

    def ends(self, consent: RememberedConsent) -> int:
        """When *consent* ends: a shorter time in the settings counts for earlier ones too."""
        return min(consent.expires_at, consent.created_at + self.seconds)

    def _lasts(self, consent: RememberedConsent) -> bool:
        return self._now() < self.ends(consent)

    def _now(self) -> int:
        return int(self.clock())


def _party(consent: RememberedConsent) -> Party:
    return Party(
        subject=Subject(consent.issuer, consent.subject),
        client_id=consent.client_id,
        resource=consent.resources[0],
    )
