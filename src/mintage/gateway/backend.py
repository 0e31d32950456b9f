"""The connection pool to the backends. The only file here that knows the HTTP client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2

from mintage.errors import OAuthError
from mintage.gateway.headers import RawHeaders
from mintage.tls import trusted

_CONNECT_SECONDS: Final = 5.0
_HEAD_SECONDS: Final = 300.0  # a tool may think for long before it answers


class BackendError(OAuthError):
    """The backend gave no answer. *status* is what a gateway says then (RFC 9110 §15.6)."""

    stage = "backend"

    def __init__(self, status: int, advice: str, *, reason: str = "") -> None:
        super().__init__(advice, reason=reason)
        self.status = status


class Answer:
    """An answer whose head is here and whose body is still on its way."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: RawHeaders = response.headers.raw

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, still in its content coding."""
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx2.HTTPError as error:
            raise BackendError(502, "the backend broke off its answer") from error


class Backends:
    """One pool for all backends. Nothing is taken from the environment, no redirect followed."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(
            verify=trusted(),
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
            trust_env=False,
            # One user's cookies are not another's; they pass through and are not kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: str,
        headers: RawHeaders,
        body: AsyncIterator[bytes] | None,
    ) -> AsyncIterator[Answer]:
        """The backend's answer. Raises `BackendError`; leaving early hangs up on the backend."""
        request = httpx2.Request(method, url, headers=headers, content=body)
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                response = await self._client.send(request, stream=True)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise BackendError(
                504, "the backend did not answer in time; try again shortly", reason=_name(error)
            ) from error
        except httpx2.HTTPError as error:
            raise BackendError(
                502, "the backend can't be reached; try again shortly", reason=_name(error)
            ) from error
        try:
            yield Answer(response)
        finally:
            await response.aclose()

    async def close(self) -> None:
        await self._client.aclose()


def _name(error: Exception) -> str:
    """What went wrong, for our log: its text may hold what the user sent."""
    return type(error).__name__
