"""A client's web server: real TLS on loopback, under names that only the tests resolve."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mintage.clients.addresses import Address
from mintage.clients.fetching import GuardedFetch
from mintage.network.proxies import Proxies
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support.certificates import builder, self_signed, signed_by

NAME = "client.example"  # and every name below it
OUTSIDE = "127.0.0.2"  # stands for the internet: the guard is told to let it through
DEAD = "127.0.0.3"  # "outside" too, and nobody there
INSIDE = "127.0.0.1"
_AUTHORITY = "The authority of the tests"
REDIRECT_URI = "https://client.example/callback"

Page = Response | Callable[[Request], Awaitable[Response]]


@dataclass
class ClientHost:
    """Serves *pages* by path; *seen* are the Host and path of each request."""

    port: int
    pages: dict[str, Page] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def url(self, path: str = "/client.json", host: str = NAME) -> str:
        return f"https://{host}:{self.port}{path}"

    def publish(
        self, path: str = "/client.json", headers: dict[str, str] | None = None, **members: Any
    ) -> str:
        """A document at *path*, with *members* over those of a public client; its URL."""
        body = {
            "client_id": self.url(path),
            "client_name": "A published client",
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        } | members
        sent = {name: value for name, value in body.items() if value is not None}
        self.pages[path] = JSONResponse(sent, headers=headers)
        return self.url(path)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.seen.append((request.headers["host"], scope["path"]))
        page = self.pages.get(scope["path"], Response(status_code=404))
        response = page if isinstance(page, Response) else await page(request)
        await response(scope, receive, send)


@dataclass
class Names:
    """A resolver that answers what it is told, and differently each time if told so."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, _: int) -> Sequence[Address]:
        self.asked.append(host)
        answers = self.answers.get(host, [[OUTSIDE]])
        return [ip_address(a) for a in (answers.pop(0) if len(answers) > 1 else answers[0])]


@asynccontextmanager
async def client_host(directory: Path) -> AsyncIterator[ClientHost]:
    """One host on the "internet"."""
    async with two_hosts(directory) as (outside, _):
        yield outside


@asynccontextmanager
async def two_hosts(directory: Path) -> AsyncIterator[tuple[ClientHost, ClientHost]]:
    """(outside, inside): the same port on two addresses, of which only one is allowed."""
    certificate = directory / "host.pem"
    certificate.write_bytes(_host_pem())
    port = free_port()
    hosts = ClientHost(port), ClientHost(port)
    servers = [
        uvicorn.Server(
            uvicorn.Config(
                host, host=address, port=port, ssl_certfile=str(certificate), log_config=None,
                lifespan="off", timeout_graceful_shutdown=1,
            )
        )
        for host, address in zip(hosts, (OUTSIDE, INSIDE), strict=True)
    ]  # fmt: skip
    async with serving(*servers):
        yield hosts


def fetch_from_tests(
    names: Names, *, seconds: float = 20.0, proxies: Proxies | None = None
) -> GuardedFetch:
    """The guard as in production, but for the resolver, our authority, and two addresses.

    It has more time than there: a busy machine may take seconds for TLS.
    """
    tls = ssl.create_default_context(cadata=authority_pem())
    return GuardedFetch(
        resolve=names,
        tls=tls,
        proxies=proxies,
        seconds=seconds,
        also_connect_to_these_networks_in_tests=[IPv4Network(f"{OUTSIDE}/31")],
    )


def authority_pem() -> str:
    return _authority()[0].public_bytes(Encoding.PEM).decode()


@cache
def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    return self_signed(_AUTHORITY, key), key


@cache
def _host_pem() -> bytes:
    _, authority_key = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.DNSName(f"*.{NAME}")])
    certificate = (
        builder(NAME, _AUTHORITY, key.public_key())
        .add_extension(names, critical=False)
        .add_extension(signed_by(authority_key), critical=False)
        .sign(authority_key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)
