"""The keys of a trusted issuer: from the settings, or fetched over TLS and cached for a while."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from mintage.errors import BadKeySet, UpstreamError, UpstreamMisbehaved
from mintage.jwt.jwk_sets import read_key_set
from mintage.trust.assertions import Assertion, UnknownSigner, verify
from mintage.trust.issuer import TrustedIssuer
from mintage.upstream.answers import believed, to_a_document
from mintage.upstream.id_token import read_keys
from mintage.upstream.members import Member, members, text, url
from mintage.upstream.protocol import HttpRequest, Transport
from mintage.values import Clock

if TYPE_CHECKING:
    from joserfc import jwk

_T = TypeVar("_T")

_KEYS_SECONDS: Final = 3600
_REFETCH_SECONDS: Final = 10  # between two looks for a key that the set does not hold
_FAILURE_SECONDS: Final = 2  # without another try after one has failed


class IssuerKeys:
    """The keys of one issuer. *clock* cannot be set.

    They say who may have a token, so they are never used past their time, and an outage of the
    issuer is one here. Assertions under unknown keys cause a fetch in ten seconds at most.
    """

    def __init__(self, issuer: TrustedIssuer, transport: Transport, clock: Clock) -> None:
        self._issuer = issuer
        self._transport = transport
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fetched: tuple[float, jwk.KeySet] | None = None
        self._failure: tuple[float, UpstreamError] | None = None
        self._fixed = None if issuer.jwks is None else fixed_keys(issuer.jwks)

    async def verified(self, assertion: str, issuer: TrustedIssuer, *, now: float) -> Assertion:
        """The valid *assertion* of *issuer*, whose rules may be newer than the keys.

        Raises `BadAssertion`; `UpstreamUnavailable` or `UpstreamMisbehaved` if the keys can't be
        had.
        """
        keys = await self.keys()
        try:
            return verify(assertion, keys, issuer, now=now)
        except UnknownSigner:
            newer = await self.keys(newer_than=keys)
            if newer is keys:
                raise
            return verify(assertion, newer, issuer, now=now)

    async def keys(self, *, newer_than: "jwk.KeySet | None" = None) -> "jwk.KeySet":
        """The keys. Callers at the same time share one fetch, and only those wait that need it.

        *newer_than*: fetch them again if these are the last ones, unless that was just done.
        """
        if (held := self._held(newer_than)) is not None:
            return held
        async with self._lock:
            if (held := self._held(newer_than)) is not None:
                return held
            if self._failure is not None and self._clock() < self._failure[0]:
                raise self._failure[1]
            try:
                keys = await self._document(await self._jwks_uri(), read_keys)
            except UpstreamError as error:
                self._failure = (self._clock() + _FAILURE_SECONDS, error)
                raise
            self._fetched, self._failure = (self._clock(), keys), None
            return keys

    def _held(self, newer_than: "jwk.KeySet | None") -> "jwk.KeySet | None":
        """The keys that need no fetch; None if there are none."""
        if self._fixed is not None or self._fetched is None:
            return self._fixed
        at, keys = self._fetched
        age = self._clock() - at
        known = keys is not newer_than or age < _REFETCH_SECONDS
        return keys if age < _KEYS_SECONDS and known else None

    async def close(self) -> None:
        await self._transport.close()

    async def _jwks_uri(self) -> str:
        if self._issuer.jwks_uri is not None:
            return self._issuer.jwks_uri
        where = f"{self._issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
        return await self._document(where, lambda body: _jwks_uri_in(body, self._issuer.issuer))

    async def _document(self, where: str, read: Callable[[dict[str, Any]], _T]) -> _T:
        request = HttpRequest(method="GET", url=where, about="keys", safe=True)
        return read(believed(to_a_document(await self._transport.send(request), where)))


def fixed_keys(jwks: bytes) -> "jwk.KeySet":
    """The keys of a JWK set in the settings. Raises `BadKeySet`."""
    try:
        return read_key_set(msgspec.json.decode(jwks))
    except msgspec.DecodeError:
        raise BadKeySet("a JWKS that is not JSON") from None


def _jwks_uri_in(body: dict[str, Any], issuer: str) -> str:
    """Where the keys of *issuer* are, by its discovery document (OpenID Connect Discovery §4.3).

    The document must be of exactly this issuer.
    """
    local = issuer.startswith("http://")
    rules = (
        Member("issuer", text, needed=True),
        Member("jwks_uri", url(plain=local), needed=True),
    )
    found = members(body, rules, of="the discovery document (endpoints are https URLs)")
    if found["issuer"] != issuer:
        raise UpstreamMisbehaved(f"discovery is of {found['issuer'][:200]!r}, not of {issuer!r}")
    where: str = found["jwks_uri"]
    return where
