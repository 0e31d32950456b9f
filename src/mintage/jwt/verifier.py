"""Verifies an issuer's tokens in another program, with public keys and no secret (RFC 9068 §4).

The keys come from a JWK set. You give it once, or the verifier fetches it and keeps it as long as
its Cache-Control says. Callers that need the keys during a fetch wait for that one fetch. If a
token names a key that is not in the set, the issuer may have rotated its keys, so the verifier
fetches again, at most once in *refetch_after* seconds: a stranger's tokens can't cause more
requests than that. While the issuer can't be reached, the verifier uses the last keys for
*stale_for* seconds.

With *status_list* it also knows which tokens are revoked, some seconds after they were, and asks
nothing for each request: see `mintage.jwt.status_source`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mintage.errors import BadKeySet, KeysUnavailable, UnknownKey
from mintage.extras import needs
from mintage.jwt import claims as claims_
from mintage.jwt.algorithms import Verifier
from mintage.jwt.asymmetric import parse_jwks
from mintage.jwt.claims import Claims
from mintage.jwt.jws import open_token
from mintage.jwt.keyring import ACCESS_TOKEN, encode_header
from mintage.jwt.status_list import MAX_LIST, MEDIA_TYPE, STATUS_LIST, ReadList, check_status, read
from mintage.jwt.status_source import StatusSource
from mintage.network.cache_control import freshness
from mintage.values import Clock

MAX_JWKS: Final = 256 * 1024  # bytes
TIMEOUT: Final = 5.0  # seconds
DEFAULT_AGE: Final = 300  # seconds, where the answer does not say
MIN_AGE: Final = 30
MAX_AGE: Final = 24 * 3600
MAX_GRACE: Final = 600  # seconds


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to a request for a JWK set (RFC 7517 §5).

    Args:
        body: The document: at most 256 KiB of JSON.
        cache_control: The answer's ``Cache-Control`` header; empty if it had none.
    """

    body: bytes
    cache_control: str = ""


Fetch = Callable[[str], Awaitable[Fetched]]
"""Fetches the JWK set at a URL."""
Pins = Mapping[str, Verifier]


class _Keys(msgspec.Struct, frozen=True):
    """*pins* are of access tokens, *lists* of status lists: neither is taken for the other."""

    pins: Pins
    lists: Pins
    fresh_until: float

    @classmethod
    def of(cls, jwks: bytes, fresh_until: float) -> "_Keys":
        return cls(pins_of(jwks), pins_of(jwks, STATUS_LIST), fresh_until)


class JWTVerifier:
    """Verifies the access tokens that an issuer signed with an asymmetric key (RFC 9068 §4).

    Give either *jwks* or *jwks_url*.

    Args:
        issuer: The ``iss`` that a token must have.
        audience: The ``aud`` that a token must have: this resource.
        jwks: The issuer's public keys (RFC 7517 §5): a dict, or JSON.
        jwks_url: The https URL of the keys. It needs the extra ``verifier``, or *fetch*.
        leeway: Seconds that this machine's clock may differ from the issuer's, 0 to 300.
        refetch_after: Seconds between two fetches for tokens that name an unknown key.
        stale_for: Seconds that keys are used after their time if no newer ones can be fetched.
        status_list: The https URL of the issuer's status list (draft-ietf-oauth-status-list). Each
            token must name this URL, and is refused once the list says that it is revoked. None:
            revoked tokens are accepted until they expire.
        status_grace: Seconds that the last list is used after its time if no newer one can be
            fetched, 0 to 600. A list made longer ago than this is not taken.
        fetch: Replaces the HTTP client: a coroutine function of a URL that returns `Fetched`. It
            may raise ``OSError`` or `KeysUnavailable`.
        clock: Called for the time, in seconds since the epoch. Tests pass their own.

    Raises:
        ValueError: An argument is empty or out of range, or not exactly one source is given.
        BadKeySet: *jwks* is no JWK set that can be used.
        MissingExtra: *jwks_url* is given without *fetch*, and httpx2 is not installed.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks: Mapping[str, Any] | bytes | str | None = None,
        jwks_url: str | None = None,
        leeway: float = 5,
        refetch_after: float = 30,
        stale_for: float = 24 * 3600,
        status_list: str | None = None,
        status_grace: float = 30,
        fetch: Fetch | None = None,
        clock: Clock = time.time,
    ) -> None:
        claims_.opening(issuer, audience)
        self.issuer, self.audience = issuer, audience
        self._leeway = claims_.check_leeway(leeway)
        self._clock = clock
        if (jwks is None) == (jwks_url is None):
            raise ValueError("give either jwks or jwks_url")
        self._keys = None if jwks is None else _Keys.of(_document(jwks), float("inf"))
        self._source = None
        if jwks_url is not None:
            self._source = _Source(
                check_url(jwks_url), fetch or _over_http(), refetch_after, stale_for, clock
            )

        self._status: StatusSource | None = None
        self._status_url = ""
        if status_list is not None:
            if not 0 <= status_grace <= MAX_GRACE:
                raise ValueError(f"status_grace is between 0 and {MAX_GRACE} seconds")
            self._status_url = check_url(status_list, "status_list")
            self._fetch_list = fetch or _list_over_http()
            self._status = StatusSource(
                self._get_list, grace=status_grace, leeway=self._leeway, clock=clock
            )

    def __repr__(self) -> str:
        return f"JWTVerifier(issuer={self.issuer!r}, audience={self.audience!r})"

    async def verify(self, token: str, *, key_thumbprint: str | None = None) -> Claims:
        """Verify an access token, and return its claims as a typed value.

        Args:
            token: The compact JWS. Any string is safe to pass.
            key_thumbprint: The thumbprint of the key whose DPoP proof came with the token, and was
                verified for this request (RFC 9449 §7.1). None: no proof came. A token that is
                bound to a key is then refused. `RequestVerifier` does both.

        Returns:
            The registered claims.

        Raises:
            TokenError: The token is refused. Its subclass says why. Answer 401.
            KeysUnavailable: The issuer's keys can't be fetched now. Answer 503, never 401. So is
                `StatusUnavailable`: it is unknown now whether the token is revoked.
        """
        return (await self._verify(token, key_thumbprint))[0]

    async def verify_token(
        self, token: str, *, key_thumbprint: str | None = None
    ) -> dict[str, Any]:
        """Verify an access token, and return all of its claims.

        Args:
            token: The compact JWS. Any string is safe to pass.
            key_thumbprint: As in `verify`.

        Returns:
            The claims by name, extra ones included.

        Raises:
            TokenError: As in `verify`.
            KeysUnavailable: As in `verify`.
        """
        claims, everything = await self._verify(token, key_thumbprint)
        return claims_.as_dict(claims) if everything is None else everything

    def verify_now(self, token: str, *, key_thumbprint: str | None = None) -> Claims:
        """`verify` for programs without an event loop. The verifier must have been given *jwks*.

        Args:
            token: The compact JWS. Any string is safe to pass.
            key_thumbprint: As in `verify`.

        Returns:
            The registered claims.

        Raises:
            TokenError: As in `verify`.
            ValueError: The verifier was given *jwks_url* or *status_list*.
        """
        if self._keys is None or self._status is not None:
            raise ValueError("without an event loop, give the keys as jwks, and no status_list")
        return self._read(token, self._keys.pins, key_thumbprint)[0]

    async def _verify(self, token: str, proven: str | None) -> tuple[Claims, dict[str, Any] | None]:
        parsed = await self._verify_claims(token, proven)
        if self._status is not None:
            # Last: only a token that is good otherwise makes this verifier fetch a list.
            check_status(parsed[1] or {}, await self._status.bits(), self._status_url)
        return parsed

    async def _get_list(self) -> ReadList:
        """The list, fetched and verified. Raises what `StatusSource` expects."""
        fetched = await self._fetch_list(self._status_url)
        token = fetched.body.decode("ascii", "replace").strip()

        def verified(keys: _Keys) -> ReadList:
            return read(token, keys.lists, issuer=self.issuer, uri=self._status_url)

        if self._source is None:
            assert self._keys is not None  # noqa: S101 - one of the two was given
            return verified(self._keys)
        keys = await self._source.keys()
        try:
            return verified(keys)
        except UnknownKey:
            newer = await self._source.newer_than(keys)
            if newer is None:
                raise
            return verified(newer)

    async def _verify_claims(
        self, token: str, proven: str | None
    ) -> tuple[Claims, dict[str, Any] | None]:
        if self._source is None:
            assert self._keys is not None  # noqa: S101 - one of the two was given
            return self._read(token, self._keys.pins, proven)
        keys = await self._source.keys()
        try:
            return self._read(token, keys.pins, proven)
        except UnknownKey:
            newer = await self._source.newer_than(keys)
            if newer is None:
                raise
            return self._read(token, newer.pins, proven)

    def _read(
        self, token: str, pins: Pins, proven: str | None
    ) -> tuple[Claims, dict[str, Any] | None]:
        parsed = claims_.parse(open_token(token, pins))
        claims_.check(
            parsed[0],
            self.issuer,
            self.audience,
            "access",
            self._clock(),
            self._leeway,
            self._leeway,
        )
        claims_.check_key(parsed[0], proven)
        return parsed


class _Source:
    """The keys at one URL: fetched when they are due, by one caller for all that wait.

    It is no `FetchCache`, because it runs in programs that have no other part of the server. It has
    one URL, which its operator chose, and fetches at most once in *refetch_after* seconds, whatever
    the result was.
    """

    def __init__(
        self, url: str, fetch: Fetch, refetch_after: float, stale_for: float, clock: Clock
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._refetch_after = refetch_after
        self._stale_for = stale_for
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: _Keys | None = None
        self._next_fetch = float("-inf")

    async def keys(self) -> _Keys:
        """The keys, fetched first if they are due. Raises `KeysUnavailable`."""
        kept = self._kept
        if kept is None or kept.fresh_until <= self._clock():
            await self._fetch_unless(lambda: self._kept is not kept)
        return self._usable()

    async def newer_than(self, keys: _Keys) -> _Keys | None:
        """Other keys than *keys*, if a fetch is allowed now and returns some."""
        await self._fetch_unless(lambda: self._kept is not None and self._kept is not keys)
        newer = self._usable()
        return None if newer is keys else newer

    async def _fetch_unless(self, done: Callable[[], bool]) -> None:
        async with self._turn:
            # The caller before may have fetched, or failed, for all that wait.
            if not done() and self._next_fetch <= self._clock():
                self._next_fetch = self._clock() + self._refetch_after
                try:
                    fetched = await self._fetch(self._url)
                    until = self._clock() + age_of(fetched.cache_control)
                    kept = _Keys.of(fetched.body, until)
                except (OSError, KeysUnavailable, BadKeySet):
                    return
                except asyncio.CancelledError:
                    # One caller went away. The next in line fetches for the others.
                    self._next_fetch = float("-inf")
                    raise
                self._kept = kept

    def _usable(self) -> _Keys:
        now = self._clock()
        if self._kept is None or self._kept.fresh_until + self._stale_for <= now:
            wait = max(1, round(self._next_fetch - now))
            raise KeysUnavailable("the issuer's public keys can't be fetched", retry_after=wait)
        return self._kept


def pins_of(jwks: bytes, typ: str = ACCESS_TOKEN) -> Pins:
    """The header of every token of type *typ* that a key of *jwks* can have signed. `BadKeySet`."""
    pins: dict[str, Verifier] = {}
    for alg, kid, verifier in parse_jwks(jwks):
        header = encode_header(alg=alg, kid=kid, typ=typ)
        pins.setdefault(header.decode(), verifier)
    return pins


def age_of(cache_control: str) -> int:
    """How many seconds a JWK set is fresh. Never 0: a set can't change that often."""
    return freshness(cache_control, least=MIN_AGE, usual=DEFAULT_AGE, most=MAX_AGE)


def check_url(url: str, name: str = "jwks_url") -> str:
    """*url*, if keys may come from it: https, or http on this machine."""
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ValueError(f"{name} is an https URL")
    return url


def _document(jwks: Mapping[str, Any] | bytes | str) -> bytes:
    match jwks:
        case bytes():
            return jwks
        case str():
            return jwks.encode()
        case _:
            return msgspec.json.encode(jwks)


def _over_http() -> Fetch:
    """The HTTP client. Raises `MissingExtra` without one: now, not at the first token."""
    needs("verifier")
    return fetch_over_http


def _list_over_http() -> Fetch:
    """The same for status lists."""
    needs("verifier")
    return partial(fetch_over_http, accept=MEDIA_TYPE, most=MAX_LIST)


async def fetch_over_http(
    url: str, *, accept: str = "application/json", most: int = MAX_JWKS
) -> Fetched:
    """A JWK set over HTTP, or what *accept* says: no redirects, 5 seconds and *most* bytes."""
    import httpx2

    from mintage.network.tls import trusted

    try:
        async with (
            asyncio.timeout(TIMEOUT),
            httpx2.AsyncClient(
                verify=trusted(), follow_redirects=False, timeout=TIMEOUT, trust_env=False
            ) as client,
            client.stream("GET", url, headers={"accept": accept}) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise KeysUnavailable(f"the answer was {answer.status_code}", retry_after=1)
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > most:
                    raise KeysUnavailable("the answer is too long", retry_after=1)
            return Fetched(body, answer.headers.get("cache-control", ""))
    except httpx2.HTTPError as error:
        raise KeysUnavailable("the issuer can't be reached", retry_after=1) from error
