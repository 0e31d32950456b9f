"""Checks that the public address leads to this server, and which proxies are in between."""

import os
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx2

from mintage.checks.findings import Finding, error, ok, warning
from mintage.network.proxies import Proxies
from mintage.network.tls import trusted
from mintage.settings.load import Config

_SECONDS: Final = 5.0


async def check_addresses(
    config: Config, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Finding]:
    """The issuer of *config*, as clients see it, as far as this machine can tell."""
    for finding in _ways_out(os.environ if environ is None else environ):
        yield finding
    parts = urlsplit(config.issuer)
    host = parts.hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as failure:  # a label may be too long
        yield error(
            "issuer",
            f"the name {host} has no address: {failure}",
            "make a DNS record for it, or correct the issuer",
        )
        return
    yield await _metadata(config.issuer)
    if parts.scheme == "https" and not config.gateway.trusted_proxies:
        yield warning(
            "gateway.trusted_proxies",
            "the issuer is https, which another server in front of this one must end, and no "
            "proxy is trusted: logs and limits see that server's address for every client",
            'name its address: trusted_proxies = ["127.0.0.1"]',
        )


def _ways_out(environ: Mapping[str, str]) -> list[Finding]:
    proxies = Proxies.of(environ)
    if proxies.https is None:
        return []
    host = urlsplit(proxies.https).hostname  # its userinfo may hold a password
    return [ok(str(proxies.variable), f"https to providers goes through the proxy {host}")]


async def _metadata(issuer: str) -> Finding:
    """What a client gets at the URL of the server's metadata (RFC 8414 §3)."""
    parts = urlsplit(issuer)
    url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    try:
        async with httpx2.AsyncClient(verify=trusted(), timeout=_SECONDS) as client:
            response = await client.get(url)
            found = response.json().get("issuer") if response.status_code == 200 else None  # noqa: PLR2004
    except httpx2.ConnectError as failure:
        if "CERTIFICATE" in str(failure).upper():
            return error(
                "issuer",
                f"{url} has a certificate that this machine does not trust: {failure}",
                "install a certificate of a public authority, with its whole chain",
            )
        return warning(
            "issuer",
            f"nothing answers at {url}: {failure}",
            "that is fine before the start; once the server runs, clients must reach it there",
        )
    except (httpx2.HTTPError, ValueError, AttributeError) as failure:
        return error(
            "issuer",
            f"{url} did not give this server's metadata: {str(failure) or type(failure).__name__}",
            "let the proxy in front pass every path on to this server",
        )
    if found != issuer:
        return error(
            "issuer",
            f"{url} was answered with {response.status_code} and not with this server's metadata",
            "let the proxy in front pass every path on to this server, with its prefix",
        )
    return ok("issuer", f"{issuer} leads to a server with this issuer")
