"""The provider's metadata and keys: read strictly, cached for a while, shared by all callers."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from mintage.errors import UpstreamError, UpstreamMisbehaved, UpstreamUnavailable
from mintage.upstream import id_token
from mintage.upstream.answers import Answered, believed, to_a_document
from mintage.upstream.members import Member, flag, members, text, url, words
from mintage.upstream.protocol import About, HttpRequest, Transport
from mintage.upstream.upstream import Upstream
from mintage.values import Clock

if TYPE_CHECKING:
    from joserfc import jwk

T = TypeVar("T")

log = logging.getLogger("mintage.upstream")

_DISCOVERY_SECONDS: Final = 3600
_STALE_SECONDS: Final = 60
# How many seconds a provider that answered counts as there, when a browser is to be sent to it. If
# longer, more people end at a dead address; if shorter, more logins wait for its document.
_HEARD_SECONDS: Final = 30
_ASK_SECONDS: Final = 4.0  # for that document: ``/readyz`` itself may take 5
_FAILURE_SECONDS: Final = 2  # without another try after one has failed
_KEYS_SECONDS: Final = 3600
_REFETCH_SECONDS: Final = 10  # between two looks for a key that the set does not hold


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's metadata that Mintage uses (OpenID Connect Discovery §3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    end_session_endpoint: str | None = None
    backchannel_logout_supported: bool = False
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


def read_discovery(
    body: dict[str, Any],
    issuer: str,
    *,
    template: str | None = None,
    keys: bool = True,
    plain: bool = False,
) -> Metadata:
    """Raises `UpstreamMisbehaved` unless *body* is the metadata of exactly *issuer*.

    *template*: the issuer that a provider of many tenants may have instead. *keys*: whether it must
    name its keys. *plain*: endpoints may be http URLs.
    """
    local = issuer.startswith("http://")
    endpoint = url(plain=plain or local)
    rules = (
        Member("issuer", text, needed=True),
        Member("authorization_endpoint", url(plain=local), needed=True),
        Member("token_endpoint", endpoint, needed=True),
        Member("jwks_uri", endpoint, needed=keys),
        Member("userinfo_endpoint", endpoint),
        Member("revocation_endpoint", endpoint),
        Member("end_session_endpoint", url(plain=local)),
        Member("backchannel_logout_supported", flag),
        Member("token_endpoint_auth_methods_supported", words),
        Member("authorization_response_iss_parameter_supported", flag),
    )
    found = Metadata(**members(body, rules, of="the discovery document (endpoints are https URLs)"))
    if found.issuer not in (issuer, template):
        raise UpstreamMisbehaved(f"discovery is of {found.issuer[:200]!r}, not of {issuer!r}")
    return found


class Documents:
    """The documents that *upstream* publishes, fetched when they are needed.

    It is no `FetchCache`. Keys are never used past their time, because an id_token's signature says
    who logs in. Discovery documents are used throughout an outage.
    """

    def __init__(self, upstream: Upstream, transport: Transport, clock: Clock) -> None:
        self._upstream = upstream
        self._transport = transport
        self._clock = clock
        self._configured = None if upstream.discovery else _configured(upstream)
        self._lock = asyncio.Lock()
        self._keys_lock = asyncio.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._heard_until = 0.0
        self._away = False
        self._failures: dict[str, tuple[float, UpstreamError]] = {}
        self._keys: tuple[float, jwk.KeySet] | None = None

    async def metadata(self) -> Metadata:
        """The provider's metadata; without discovery, from the configuration alone."""
        if self._configured is not None:
            return self._configured
        if (known := self._known()) is not None:
            return known
        async with self._lock:
            if (known := self._known()) is not None:  # somebody else has fetched it meanwhile
                return known
            try:
                return await self._fetch()
            except UpstreamError as failure:
                if self._metadata is None:
                    raise
                # Endpoints hardly ever change: an outage of this document stops no login.
                return self._go_on(self._metadata[1], failure)

    async def heard(self) -> Metadata:
        """As `metadata`, of a provider that answered just now: a browser may be sent there.

        Raises `UpstreamUnavailable` if it can't be reached. One without discovery is not asked.
        """
        if self._clock() < self._heard_until and self._metadata is not None:
            return self._metadata[1]
        if self._configured is not None:
            return self._configured
        async with self._lock:
            if self._clock() < self._heard_until and self._metadata is not None:
                return self._metadata[1]
            known = self._metadata
            try:
                return await self._fetch(None if known is None else _ASK_SECONDS)
            except (UpstreamMisbehaved, Answered) as failure:
                if known is None:
                    raise
                self._heard()  # it is there, though the document is not
                return self._go_on(known[1], failure)

    async def _fetch(self, limit: float | None = None) -> Metadata:
        """The document, fetched anew, within *limit* seconds."""
        try:
            found = await self._discovered(limit)
        except UpstreamUnavailable as failure:
            if not self._away and not isinstance(failure, Answered):
                self._away = True
                log.warning(
                    "provider %s: %s; until it answers, nobody is sent there to log in",
                    self._upstream.name,
                    failure,
                )
            raise
        self._metadata = (self._clock() + _DISCOVERY_SECONDS, found)
        self._heard()
        return found

    def _heard(self) -> None:
        self._heard_until = self._clock() + _HEARD_SECONDS
        if self._away:
            self._away = False
            log.info("provider %s: it answers again", self._upstream.name)

    def _go_on(self, known: Metadata, failure: UpstreamError) -> Metadata:
        log.warning("discovery: %s; going on with what is known", failure)
        self._metadata = (self._clock() + _STALE_SECONDS, known)
        return known

    def _known(self) -> Metadata | None:
        """What was fetched, while that is fresh."""
        if self._metadata is None or self._clock() >= self._metadata[0]:
            return None
        return self._metadata[1]

    async def keys(self, *, newer_than: "jwk.KeySet | None") -> "tuple[jwk.KeySet, bool]":
        """(keys, whether they were fetched just now).

        Callers at the same time share one fetch, and only those wait that need it.
        """
        found = await self.metadata()
        if (held := self._held(newer_than)) is not None:
            return held, False
        async with self._keys_lock:
            if (held := self._held(newer_than)) is not None:
                return held, False
            keys = await self._document(str(found.jwks_uri), id_token.read_keys, "keys")
            self._keys = (self._clock(), keys)
            return keys, True

    async def verified(self, verify: Callable[["jwk.KeySet"], T]) -> T:
        """What *verify* returns. If no key fits, the keys are fetched again, once."""
        keys, fresh = await self.keys(newer_than=None)
        while True:
            try:
                return verify(keys)
            except id_token.UnknownKid:
                if fresh:
                    raise
            keys, _ = await self.keys(newer_than=keys)
            fresh = True

    def _held(self, newer_than: "jwk.KeySet | None") -> "jwk.KeySet | None":
        """The keys that need no fetch; None if there are none."""
        if self._keys is None:
            return None
        fetched_at, keys = self._keys
        age = self._clock() - fetched_at
        known = keys is not newer_than or age < _REFETCH_SECONDS
        return keys if age < _KEYS_SECONDS and known else None

    async def _discovered(self, limit: float | None) -> Metadata:
        upstream = self._upstream
        usual = f"{upstream.issuer.rstrip('/')}/.well-known/openid-configuration"
        return await self._document(
            upstream.discovery_url or usual,
            lambda body: read_discovery(
                body | _said(upstream),
                upstream.issuer,
                template=upstream.quirks.issuer_template,
                keys=upstream.id_token,
                plain=upstream.plain,
            ),
            "discovery",
            limit,
        )

    async def _document(
        self,
        where: str,
        read: Callable[[dict[str, Any]], T],
        about: About,
        limit: float | None = None,
    ) -> T:
        """What *read* makes of the document at *where*, which must come within *limit* seconds.

        Callers that queue behind a failing fetch need not each wait for the same outage: for a
        moment they get the same failure.
        """
        until, failure = self._failures.get(where, (0.0, None))
        if failure is not None and self._clock() < until:
            raise failure
        try:
            request = HttpRequest(method="GET", url=where, about=about, safe=True)
            try:
                async with asyncio.timeout(limit):
                    response = await self._transport.send(request)
            except TimeoutError:
                host = urlsplit(where).netloc
                raise UpstreamUnavailable(f"{host} did not answer in time") from None
            return read(believed(to_a_document(response, where)))
        except UpstreamError as error:
            self._failures[where] = (self._clock() + _FAILURE_SECONDS, error)
            raise


def _configured(upstream: Upstream) -> Metadata:
    endpoints = upstream.endpoints
    return Metadata(
        issuer=upstream.issuer,
        authorization_endpoint=str(endpoints.authorization),
        token_endpoint=str(endpoints.tokens),
        jwks_uri=endpoints.jwks,
        userinfo_endpoint=endpoints.userinfo,
        revocation_endpoint=endpoints.revocation,
    )


def _said(upstream: Upstream) -> dict[str, str]:
    """What the operator configured, by the names that a discovery document uses."""
    known = upstream.endpoints
    named = {
        "authorization_endpoint": known.authorization,
        "token_endpoint": known.tokens,
        "jwks_uri": known.jwks,
        "userinfo_endpoint": known.userinfo,
        "revocation_endpoint": known.revocation,
    }
    return {name: said for name, said in named.items() if said is not None}
