"""Checks each identity provider: it answers, is the right one, and knows Mintage's client."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from typing import Final

from mintage.checks.findings import Finding, error, ok, warning
from mintage.endpoints import logout_path
from mintage.errors import UpstreamError, UpstreamUnavailable
from mintage.settings.load import Config
from mintage.upstream.answers import No, Unknown, Yes
from mintage.upstream.client import HttpUpstreamClient
from mintage.upstream.opening import open_upstream
from mintage.upstream.protocol import HttpRequest, HttpResponse, Transport
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream

_CLOCKS_DIFFER: Final = 30.0  # seconds: a provider's Date header may be kept by a cache for some


class _Watched:
    """*transport*, and the seconds by which the provider's clock is behind."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.ahead: float | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        response = await self._transport.send(request)
        try:
            theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
        except ValueError:
            return response
        self.ahead = time.time() - theirs
        return response

    async def close(self) -> None:
        await self._transport.close()


async def check_upstreams(config: Config) -> AsyncIterator[Finding]:
    """Each provider of *config*: its address, its clock, and whether it accepts the credentials.

    One request has an invented code. A provider that knows the client refuses the code, and one
    that does not refuses the client (RFC 6749 §5.2).
    """
    for number, upstream in enumerate(config.upstreams):
        key = "upstream" if len(config.upstreams) == 1 else f"upstream[{number}]"
        async with aclosing(_check(config, upstream, key)) as findings:
            async for finding in findings:
                yield finding


async def _check(config: Config, upstream: Upstream, key: str) -> AsyncGenerator[Finding, None]:
    transport = _Watched(HttpTransport())
    client = open_upstream(upstream, transport, time.time)
    redirect_uri = config.issuer + upstream.callback
    try:
        try:
            await client.check()
        except UpstreamError as failure:
            yield error(
                f"{key}.issuer",
                f"the provider {upstream.title} does not answer as it should: {failure}",
                "check the address, the network and its proxies, and the certificates that this "
                "machine trusts (SSL_CERT_FILE)"
                if isinstance(failure, UpstreamUnavailable)
                else "write the issuer exactly as the provider's discovery document has it",
            )
            return
        if upstream.discovery:
            yield ok(key, f"{upstream.title} answers")
        yield await _credentials(client, upstream.title, redirect_uri, key)
        if transport.ahead is not None and abs(transport.ahead) > _CLOCKS_DIFFER:
            side = "ahead of" if transport.ahead > 0 else "behind"
            yield error(
                key,
                f"this machine's clock is {abs(transport.ahead):.0f} s {side} the provider's: "
                "logins fail, since id_tokens seem to be from another time",
                "set the clock (NTP)",
            )
        yield ok(key, f"register this redirect address at {upstream.title}: {redirect_uri}")
        if await client.sends_logouts():
            address = config.issuer + logout_path(upstream.callback)
            yield ok(key, f"and this back-channel logout address: {address}")
    finally:
        await client.close()


async def _credentials(
    client: HttpUpstreamClient, title: str, redirect_uri: str, key: str
) -> Finding:
    about = f"{key}.client_secret"
    try:
        answer = await client.check_client(redirect_uri)
    except UpstreamError as failure:
        return warning(
            about,
            f"nobody can tell whether {title} takes the credentials: {failure}",
            "check that this machine reaches the provider's token endpoint",
        )
    match answer:
        case Yes():
            return ok(about, f"{title} takes the client_id and its credentials")
        case No(word):
            return error(
                about,
                f"{title} refuses the client_id or its credentials ({word})",
                "copy both again from the provider's console, without spaces around them; a secret "
                "there has an end date, and auth_method must be what the provider expects",
            )
        case Unknown(reason):
            return warning(
                about,
                f"{title} did not say whether it takes the credentials: {reason}",
                f"log in once; and check that {redirect_uri} is registered there",
            )
