"""Fetches documents and keys of clients from URLs that strangers choose.

The sender of a client_id chooses where this server connects. So it connects only to public
addresses, and to the very address that it checked. It uses TLS with the name in the URL and follows
no redirect. Time, size and the number of parallel fetches have limits.

httpx2 is imported at the first fetch, so that no start waits for it.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import msgspec

from mintage.clients.addresses import Address, Network, is_public
from mintage.clients.metadata import check_fetchable
from mintage.clients.names import Names
from mintage.concurrency.host_limits import HostConcurrencyLimit
from mintage.errors import FetchFailed, FetchRefused
from mintage.network.proxies import Proxies
from mintage.network.tls import trusted

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("mintage.clients")

_NO_SUCH_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]

SECONDS: Final = 5.0  # for everything: name, connection, TLS, answer
_STEP_SECONDS: Final = 1.5  # for TCP, and again for TLS, with one address of several
_ADDRESSES: Final = 3  # that are tried
_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)


class Fetched(msgspec.Struct, frozen=True):
    body: bytes
    cache_control: str


class GuardedFetch:
    """*resolve* is called once for each fetch. Its answer is checked, and then used to connect.

    *tls*: how servers are verified. The default is as for the provider, with ``SSL_CERT_FILE``.

    If *proxies* has a proxy for a host, the request is tunnelled through that proxy. The proxy
    resolves the name, so no address is checked here. `mintage.settings.clients.read_policy` refuses
    strangers' URLs then, unless the operator said that the proxy protects the internal network.
    """

    def __init__(
        self,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
        seconds: float = SECONDS,
        also_connect_to_these_networks_in_tests: Sequence[Network] = (),
    ) -> None:
        self._names = Names()
        self._resolve = resolve or self._names
        self._tls = tls
        self._proxies = proxies or Proxies()
        self._seconds = seconds
        self._turns = HostConcurrencyLimit()
        self._networks = tuple(also_connect_to_these_networks_in_tests)

    async def __call__(self, url: str, *, limit: int) -> Fetched:
        """The JSON at *url*, at most *limit* bytes.

        Raises `FetchRefused` if trying again does not help, and `FetchFailed` for an outage.
        """
        try:
            check_fetchable(url)
        except ValueError as error:
            raise FetchRefused(str(error)) from None
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(self._seconds) as all_of_it, self._turns.of(_host(parts)):
                deadline = all_of_it.when() or 0.0
                if proxy := self._proxies.towards(_host(parts), parts.port):
                    return await self._by_tunnel(proxy, parts, limit, deadline)
                return await self._from_any(await self._addresses(parts), parts, limit, deadline)
        except TimeoutError:
            raise FetchFailed("no answer in time") from None

    def close(self) -> None:
        self._names.close()

    async def _addresses(self, parts: SplitResult) -> Sequence[Address]:
        """The addresses of the name. If one of them is not public, all are refused."""
        try:
            found = await self._resolve(_host(parts), parts.port or 443)
        except OSError as error:  # the resolver's own faults say nothing about the name
            if not isinstance(error, socket.gaierror) or error.errno not in _NO_SUCH_NAME:
                raise FetchFailed("its host can't be looked up just now") from None
            found = ()
        except UnicodeError:  # a label of 64 characters, say
            found = ()
        refused = [address for address in found if not self._is_allowed(address)]
        if refused or not found:
            log.warning("%s leads to %s: not connected to", parts.hostname, refused or "nothing")
            # The same text for both: a stranger must not learn which names exist inside.
            raise FetchRefused("its host has no public address")
        return found

    def _is_allowed(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)

    async def _from_any(
        self, addresses: Sequence[Address], parts: SplitResult, limit: int, deadline: float
    ) -> Fetched:
        import httpx2

        most = _STEP_SECONDS if len(addresses) > 1 else None
        for address in addresses[:_ADDRESSES]:
            try:
                return await self._from(address, parts, limit, deadline, most=most)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                log.info("%s at %s: %s", parts.hostname, address, type(error).__name__)
            except httpx2.HTTPError as error:
                raise FetchFailed(f"its host broke off ({type(error).__name__})") from None
        raise FetchFailed("its host can't be reached over TLS")

    async def _by_tunnel(
        self, proxy: str, parts: SplitResult, limit: int, deadline: float
    ) -> Fetched:
        """Fetch through *proxy*. The proxy's URL is not logged: it may contain a password."""
        import httpx2

        try:
            return await self._from(_host(parts), parts, limit, deadline, proxy=proxy)
        except httpx2.ProxyError as error:
            log.warning("the proxy makes no tunnel to %s: %s", parts.hostname, error)
            raise FetchFailed("the proxy of this server makes no tunnel to its host") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            log.warning("%s through the proxy: %s", parts.hostname, type(error).__name__)
            raise FetchFailed(
                "its host can't be reached over TLS through the proxy of this server"
            ) from None
        except httpx2.HTTPError as error:
            raise FetchFailed(f"its host broke off ({type(error).__name__})") from None

    async def _from(
        self,
        place: Address | str,
        parts: SplitResult,
        limit: int,
        deadline: float,
        *,
        most: float | None = None,
        proxy: str | None = None,
    ) -> Fetched:
        """One GET to the address *place*, with the name of the URL; through *proxy*, if given.

        The connection is closed after this request. A pool would keep it under its address, and use
        it for another name without verifying the certificate. Its two steps, TCP and TLS, each get
        less than the time that is left, and at most *most* seconds: the transport closes the socket
        of a step that times out, and not that of one that is cancelled.
        """
        import httpx2

        step = min(most or self._seconds, 0.45 * (deadline - asyncio.get_running_loop().time()))
        host = f"[{place}]" if isinstance(place, IPv6Address) else str(place)
        request = httpx2.Request(
            "GET",
            httpx2.URL(
                scheme="https",
                host=host,
                port=parts.port or 443,
                raw_path=(parts.path + (f"?{parts.query}" if parts.query else "")).encode(),
            ),
            headers={
                "host": parts.netloc,
                "accept": "application/json",
                "accept-encoding": "identity",
                "user-agent": "mintage",
            },
            extensions={
                "sni_hostname": parts.hostname,
                "timeout": httpx2.Timeout(self._seconds, connect=max(step, 0.001)).as_dict(),
            },
        )
        if self._tls is None:
            self._tls = trusted()
        async with httpx2.AsyncHTTPTransport(
            verify=self._tls, trust_env=False, proxy=self._proxy(proxy)
        ) as transport:
            response = await transport.handle_async_request(request)
            try:
                _check(response, limit)
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > limit:
                        raise FetchRefused(f"it is larger than {limit} bytes")
            finally:
                await response.aclose()
        return Fetched(bytes(body), response.headers.get("cache-control", ""))

    def _proxy(self, url: str | None) -> "httpx2.Proxy | None":
        """A proxy that is contacted over TLS is verified like every other server."""
        import httpx2

        if url is None:
            return None
        return httpx2.Proxy(url, ssl_context=self._tls if url.startswith("https:") else None)


def _host(parts: SplitResult) -> str:
    return parts.hostname or ""  # never empty: `check_fetchable` wants one


def _check(response: "httpx2.Response", limit: int) -> None:
    """Only a 200 counts, and no redirect is followed (draft §4)."""
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:  # noqa: PLR2004
        raise FetchFailed(f"its host answered {status}")
    if status != HTTPStatus.OK:
        raise FetchRefused(f"its host answered {status} instead of 200")
    if not _JSON.fullmatch(response.headers.get("content-type", "").partition(";")[0].strip()):
        raise FetchRefused("it is not served as application/json")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchRefused("it is served compressed, which was not asked for")
    length = response.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and int(length[:20]) <= limit):
        raise FetchRefused(f"it is larger than {limit} bytes")
