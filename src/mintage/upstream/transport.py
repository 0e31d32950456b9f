"""The only HTTP that leaves for the provider: one pool, bounded in time and size."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import urlsplit

import httpx2

from mintage.errors import UpstreamMisbehaved, UpstreamUnavailable
from mintage.tls import trusted
from mintage.upstream.protocol import HttpRequest, HttpResponse

MAX_BODY: Final = 1024 * 1024
_CONNECT_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3  # of a request that may be sent twice
_MAX_RETRY_AFTER: Final = 300

Sleep = Callable[[float], Awaitable[object]]


class HttpTransport:
    """*timeout* (seconds) is for a whole request: all its attempts, the answer's body included.

    Proxies and CA bundles are taken from the environment, as an operator expects of
    anything that goes out; redirects are not followed, since a provider's endpoints have none.
    """

    def __init__(
        self,
        *,
        timeout: float = 15.0,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.5),  # noqa: S311
    ) -> None:
        self._timeout = timeout
        self._sleep = sleep
        self._jitter = jitter
        self._client: httpx2.AsyncClient | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        where = urlsplit(request.url).netloc
        try:
            async with asyncio.timeout(self._timeout):
                return await self._attempts(request, where)
        except TimeoutError:
            raise UpstreamUnavailable(f"{where} did not answer in time") from None

    async def _attempts(self, request: HttpRequest, where: str) -> HttpResponse:
        attempts = _ATTEMPTS if request.safe else 1
        for attempt in range(1, attempts):
            try:
                return await self._once(request, where)
            except UpstreamUnavailable:
                await self._sleep(0.1 * 2**attempt * self._jitter())
        return await self._once(request, where)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _once(self, request: HttpRequest, where: str) -> HttpResponse:
        try:
            response = await self._exchange(request)
        except httpx2.InvalidURL:
            raise UpstreamMisbehaved("an endpoint is no URL") from None
        except httpx2.HTTPError as error:
            name = type(error).__name__
            raise UpstreamUnavailable(f"{where} can't be reached ({name})") from None
        return _judged(response, where)

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                verify=trusted(),
                timeout=httpx2.Timeout(self._timeout, connect=_CONNECT_SECONDS),
                # A cookie would come from one user's login and go along with another's.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                headers={"user-agent": "mintage", "accept": "application/json"},
            )
        async with self._client.stream(
            request.method,
            request.url,
            headers=dict(request.headers),
            data=None if request.form is None else dict(request.form),
            json=None if request.json is None else dict(request.json),
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    raise UpstreamMisbehaved(f"an answer larger than {MAX_BODY} bytes")
            return HttpResponse(
                status=response.status_code, headers=dict(response.headers), body=bytes(body)
            )


def _judged(response: HttpResponse, where: str) -> HttpResponse:
    """*response*, unless its status says by itself that there is no answer."""
    if response.status >= 500 or response.status == 429:  # noqa: PLR2004
        raise UpstreamUnavailable(
            f"{where} answered {response.status}", retry_after=_retry_after(response)
        )
    if 300 <= response.status < 400:  # noqa: PLR2004
        raise UpstreamMisbehaved(f"{where} answered with a redirect ({response.status})")
    return response


def _retry_after(response: HttpResponse) -> int:
    """``Retry-After`` in seconds, within reason; a date is not worth reading (RFC 9110 §10.2.3)."""
    value = response.headers.get("retry-after", "")
    if not value.isascii() or not value.isdigit() or len(value) > 6:  # noqa: PLR2004
        return 5
    return min(int(value), _MAX_RETRY_AFTER)
