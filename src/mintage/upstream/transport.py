"""The only HTTP client for the provider: one pool, with limits on time and size."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from mintage.concurrency.backoff import pause
from mintage.errors import UpstreamUnavailable
from mintage.network.http1 import HttpFault
from mintage.network.proxies import names_a_proxy
from mintage.upstream.answers import Answered, about_the_status, believed
from mintage.upstream.connection_faults import failure
from mintage.upstream.direct import DirectConnections
from mintage.upstream.protocol import HttpRequest, HttpResponse
from mintage.values import Clock

if TYPE_CHECKING:
    from mintage.upstream.proxied import ProxiedConnections

MAX_BODY: Final = 1024 * 1024
_CONNECT_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3  # of a request that may be sent twice
_FIRST_PAUSE: Final = 0.13  # seconds; doubled before the second attempt already

Sleep = Callable[[float], Awaitable[object]]
Exchange = Callable[[HttpRequest], Awaitable[HttpResponse]]


class RateLimited(Answered):
    """The provider answered 429."""


class HttpTransport:
    """*timeout* (seconds) is for a whole request: all its attempts, and the response's body.

    Proxies and CA bundles are taken from the environment, as an operator expects of outgoing
    connections. Redirects are not followed, because a provider's endpoints have none. Where the
    environment names a proxy, httpx2 makes the requests, otherwise `DirectConnections`.
    """

    def __init__(
        self,
        *,
        timeout: float = 15.0,
        sleep: Sleep = asyncio.sleep,
        clock: Clock = time.time,
    ) -> None:
        self._timeout = timeout
        self._sleep = sleep
        self._clock = clock
        self._proxied: ProxiedConnections | None = None
        self._exchange: Exchange | None = None  # chosen at the first request
        self._direct = DirectConnections(connect_seconds=_CONNECT_SECONDS, max_body=MAX_BODY)

    async def send(self, request: HttpRequest) -> HttpResponse:
        where = urlsplit(request.url).netloc
        send = self._attempts if request.safe else self._once
        try:
            async with asyncio.timeout(self._timeout):
                return await send(request, where)
        except TimeoutError:
            raise UpstreamUnavailable(f"{where} did not answer in time") from None

    async def _attempts(self, request: HttpRequest, where: str) -> HttpResponse:
        for attempt in range(1, _ATTEMPTS):
            try:
                return await self._once(request, where)
            except RateLimited:
                raise  # asking again at once makes it worse
            except UpstreamUnavailable:
                await self._sleep(pause(attempt, random.random, first=_FIRST_PAUSE))
        return await self._once(request, where)

    async def close(self) -> None:
        self._direct.close()
        if self._proxied is not None:
            await self._proxied.close()

    async def _once(self, request: HttpRequest, where: str) -> HttpResponse:
        if self._exchange is None:
            proxied = names_a_proxy(os.environ)
            self._exchange = self._open_proxied().exchange if proxied else self._direct.exchange
        try:
            response = await self._exchange(request)
        except (HttpFault, OSError) as error:
            raise failure(error, where) from None
        unknown = about_the_status(response, where, now=int(self._clock()))
        if unknown is not None:
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise RateLimited(unknown.reason, retry_after=unknown.retry_after or 5)
            if response.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Answered(unknown.reason, retry_after=unknown.retry_after or 5)
            believed(unknown)
        return response

    def _open_proxied(self) -> "ProxiedConnections":
        from mintage.upstream.proxied import ProxiedConnections

        self._proxied = ProxiedConnections(
            timeout=self._timeout, connect_seconds=_CONNECT_SECONDS, max_body=MAX_BODY
        )
        return self._proxied
