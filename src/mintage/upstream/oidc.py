"""OpenID Connect: discovery, keys, and the calls of `Upstream` tied to a transport."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from joserfc import jwk

from mintage.errors import UpstreamError, UpstreamMisbehaved
from mintage.grant import Identity, UpstreamTokens
from mintage.upstream import id_token, oauth2
from mintage.upstream.preset import AuthMethod, Preset
from mintage.upstream.protocol import HttpRequest, LoginRequest, Transport
from mintage.upstream.settings import UpstreamSettings
from mintage.values import Clock

T = TypeVar("T")

log = logging.getLogger("mintage.upstream")

_DISCOVERY_SECONDS: Final = 3600
_STALE_SECONDS: Final = 60
_FAILURE_SECONDS: Final = 2  # without another try after one has failed
_KEYS_SECONDS: Final = 3600
_REFETCH_SECONDS: Final = 10  # between two looks for a key that the set does not hold


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's metadata, as far as it matters here (OpenID Connect Discovery §3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


def read_discovery(body: dict[str, Any], issuer: str) -> Discovery:
    """Raises `UpstreamMisbehaved` unless *body* is the metadata of *issuer*, to the letter."""
    try:
        found = msgspec.convert(body, Discovery)
    except msgspec.ValidationError as error:
        raise UpstreamMisbehaved(f"discovery: {error}") from None
    if found.issuer != issuer:
        raise UpstreamMisbehaved(f"discovery is of {found.issuer[:200]!r}, not of {issuer!r}")
    endpoints = (
        found.authorization_endpoint, found.token_endpoint, found.jwks_uri,
        found.userinfo_endpoint, found.revocation_endpoint,
    )  # fmt: skip
    for url in endpoints:
        if url is not None and not _is_endpoint(url, plain=issuer.startswith("http://")):
            raise UpstreamMisbehaved("discovery names an endpoint that is no https URL")
    return found


def _is_endpoint(url: str, *, plain: bool) -> bool:
    """An https URL without a fragment (RFC 6749 §3.1); *plain*: http will do, on this machine."""
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and parts.port != 0 and "#" not in url
    except ValueError:
        return False
    printable = url.isascii() and url.isprintable() and " " not in url
    return (
        well_formed
        and printable
        and (parts.scheme == "https" or (plain and parts.scheme == "http"))
    )


class OIDCUpstream:
    """One OpenID provider, found by discovery."""

    def __init__(
        self, settings: UpstreamSettings, preset: Preset, transport: Transport, clock: Clock
    ) -> None:
        issuer = settings.issuer or preset.issuer
        if issuer is None:
            raise ValueError("the upstream needs an issuer")
        self._issuer = issuer
        self._settings = settings
        self._preset = preset
        self._transport = transport
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys_lock = asyncio.Lock()
        self._discovery: tuple[float, Discovery] | None = None
        self._failures: dict[str, tuple[float, UpstreamError]] = {}
        self._keys: tuple[float, jwk.KeySet] | None = None

    @property
    def name(self) -> str:
        return urlsplit(self._issuer).netloc

    async def authorization_url(self, login: LoginRequest) -> str:
        found = await self._discover()
        return oauth2.authorization_url(
            found.authorization_endpoint,
            self._settings.client_id,
            login,
            self._settings.scopes,
            dict(self._preset.authorization_parameters),
        )

    async def check_issuer(self, iss: str | None) -> None:
        promised = (await self._discover()).authorization_response_iss_parameter_supported
        if iss != self._issuer and (iss is not None or promised):
            raise UpstreamMisbehaved("the callback comes from another server (RFC 9207)")

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        found = await self._discover()
        request = oauth2.code_request(found.token_endpoint, self._credentials(found), code, login)
        tokens, body = oauth2.read_tokens(await self._transport.send(request), now=now)
        claims = await self._verify(body.get("id_token"), login.nonce, tokens, now)
        userinfo = await self._userinfo(found, tokens, claims)
        return tokens, id_token.identity(claims, userinfo)

    async def refresh(self, tokens: UpstreamTokens, *, now: int) -> UpstreamTokens:
        if tokens.refresh_token is None:
            raise ValueError("there is no refresh token to refresh with")
        found = await self._discover()
        request = oauth2.refresh_request(
            found.token_endpoint, self._credentials(found), tokens.refresh_token
        )
        # An id_token that comes along adds nothing: it came over TLS from the endpoint that
        # gave the tokens, and who logged in was settled at the login.
        renewed, _ = oauth2.read_tokens(await self._transport.send(request), now=now, before=tokens)
        return renewed

    async def revoke(self, tokens: UpstreamTokens) -> None:
        found = await self._discover()
        if found.revocation_endpoint is None:
            return
        request = oauth2.revocation_request(
            found.revocation_endpoint, self._credentials(found), tokens
        )
        response = await self._transport.send(request)
        if response.status != 200:  # noqa: PLR2004
            raise UpstreamMisbehaved(f"revocation was answered with {response.status}")

    async def check(self) -> None:
        await self._discover()

    async def close(self) -> None:
        await self._transport.close()

    def _credentials(self, found: Discovery) -> oauth2.Credentials:
        supported = found.token_endpoint_auth_methods_supported
        method: AuthMethod = "client_secret_basic"
        if "client_secret_basic" not in supported and "client_secret_post" in supported:
            method = "client_secret_post"
        return oauth2.Credentials(
            self._settings.client_id,
            self._settings.client_secret,
            self._preset.auth_method or method,
        )

    async def _userinfo(
        self, found: Discovery, tokens: UpstreamTokens, claims: dict[str, Any]
    ) -> dict[str, Any]:
        """What the userinfo endpoint adds, asked only where the id_token lacks the e-mail."""
        wanted = self._preset.userinfo and "email" in self._settings.scopes
        if found.userinfo_endpoint is None or not wanted or "email" in claims:
            return {}
        request = HttpRequest(
            method="GET",
            url=found.userinfo_endpoint,
            headers={"authorization": f"Bearer {tokens.access_token}"},
            safe=True,
        )
        response = await self._transport.send(request)
        return oauth2.read_json(response) if response.status == 200 else {}  # noqa: PLR2004

    async def _verify(
        self, token: object, nonce: str, tokens: UpstreamTokens, now: int
    ) -> dict[str, Any]:
        """The id_token's claims; the keys are fetched anew, once, where none of them fits."""
        keys, fresh = await self._key_set(newer_than=None)
        while True:
            try:
                return id_token.verify(
                    token, keys, issuer=self._issuer, client_id=self._settings.client_id,
                    nonce=nonce, access_token=tokens.access_token, now=now,
                )  # fmt: skip
            except id_token.UnknownKid:
                if fresh:
                    raise
            keys, _ = await self._key_set(newer_than=keys)
            fresh = True

    async def _discover(self) -> Discovery:
        async with self._lock:
            if self._discovery is not None and self._clock() < self._discovery[0]:
                return self._discovery[1]
            url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                found = await self._document(url, lambda body: read_discovery(body, self._issuer))
            except UpstreamError as failure:
                if self._discovery is None:
                    raise
                # Endpoints hardly ever move: an outage of this one document stops nobody.
                log.warning("discovery: %s; going on with what is known", failure)
                found = self._discovery[1]
                self._discovery = (self._clock() + _STALE_SECONDS, found)
            else:
                self._discovery = (self._clock() + _DISCOVERY_SECONDS, found)
            return found

    async def _key_set(self, *, newer_than: jwk.KeySet | None) -> tuple[jwk.KeySet, bool]:
        """(keys, whether they were fetched just now). Callers at once share one fetch."""
        found = await self._discover()
        async with self._keys_lock:
            if self._keys is not None:
                fetched_at, keys = self._keys
                age = self._clock() - fetched_at
                known = keys is not newer_than or age < _REFETCH_SECONDS
                if age < _KEYS_SECONDS and known:
                    return keys, False
            keys = await self._document(found.jwks_uri, id_token.read_keys)
            self._keys = (self._clock(), keys)
            return keys, True

    async def _document(self, url: str, read: Callable[[dict[str, Any]], T]) -> T:
        """What *read* makes of the document at *url*.

        Those who queue behind a call that fails need not each wait out the same outage:
        for a moment they get the same failure.
        """
        until, failure = self._failures.get(url, (0.0, None))
        if failure is not None and self._clock() < until:
            raise failure
        try:
            response = await self._transport.send(HttpRequest(method="GET", url=url, safe=True))
            if response.status != 200:  # noqa: PLR2004
                raise UpstreamMisbehaved(f"{url} was answered with {response.status}")
            return read(oauth2.read_json(response))
        except UpstreamError as error:
            self._failures[url] = (self._clock() + _FAILURE_SECONDS, error)
            raise
