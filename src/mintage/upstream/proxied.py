"""Requests to the provider through the proxy that the environment names. httpx2 makes them."""

import re
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import urlsplit

import httpx2

from mintage.errors import (
    UpstreamError,
    UpstreamMisbehaved,
    UpstreamMisconfigured,
    UpstreamUnavailable,
)
from mintage.network.tls import trusted
from mintage.upstream.connection_faults import failure, not_http
from mintage.upstream.protocol import HttpRequest, HttpResponse

# A proxy's words for an outage behind it: of HTTP's (RFC 9110 §15.6), and SOCKS's (RFC 1928 §6).
_BEHIND_THE_PROXY: Final = re.compile(
    r"50[234]\b|.*: (General SOCKS server failure|(Network|Host) unreachable|Connection refused"
    r"|TTL expired)"
)


class ProxiedConnections:
    """*timeout* and *connect_seconds* are httpx2's; *max_body*: bytes of a response."""

    def __init__(self, *, timeout: float, connect_seconds: float, max_body: int) -> None:
        self._max_body = max_body
        try:
            self._client = httpx2.AsyncClient(
                verify=trusted(),
                timeout=httpx2.Timeout(timeout, connect=connect_seconds),
                # A cookie would come from one user's login and go along with another's.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                headers={"user-agent": "mintage", "accept": "application/json"},
            )
        except (ImportError, ValueError, OSError) as error:
            # The proxy variables of the environment are read here, and the CA bundle.
            raise UpstreamMisconfigured(
                f"no connection to the provider can be made: {error}"
            ) from None

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """The whole response. Raises `UpstreamError` if there is none."""
        try:
            return await self._exchange(request)
        except httpx2.InvalidURL:
            raise UpstreamMisbehaved("an endpoint is no URL") from None
        except (httpx2.HTTPError, OSError) as error:
            raise _failure(error, urlsplit(request.url).netloc) from None

    async def close(self) -> None:
        await self._client.aclose()

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
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
                if len(body) > self._max_body:
                    raise UpstreamMisbehaved(f"an answer larger than {self._max_body} bytes")
            return HttpResponse(
                status=response.status_code, headers=dict(response.headers), body=bytes(body)
            )


def _failure(error: Exception, where: str) -> UpstreamError:
    found = failure(error, where)
    if isinstance(found, UpstreamMisconfigured):
        return found  # a certificate that is not trusted
    match error:
        case httpx2.ProxyError() if _BEHIND_THE_PROXY.match(str(error)):
            return UpstreamUnavailable(
                f"{where} can't be reached: the proxy does not get there ({error})"
            )
        case httpx2.ProxyError():
            return UpstreamMisconfigured(
                f"the proxy on the way to {where} refuses ({error}): check HTTP_PROXY, "
                "HTTPS_PROXY, ALL_PROXY and NO_PROXY in the environment"
            )
        case httpx2.UnsupportedProtocol():
            return not_http(where)
        case _:
            return found
