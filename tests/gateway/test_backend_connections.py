"""Connections to a backend: Unix sockets, and TLS that trusts only the configured CA files."""

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mintage.gateway.http1.connection import BackendError
from mintage.gateway.http1.pool import Pool
from mintage.gateway.http1.request import BackendRequest, Body
from mintage.settings.resource_section import ResourceSection
from mintage.settings.resources import http_target
from mintage.site.targets import HttpTarget, Limits
from mintage.testing.nanoidp import free_port
from tests.gateway.scripted import OK, Scripted, scripted
from tests.support.certificates import Authority

ALICE = ("https://login.example.com", "alice")


async def nothing() -> Any:
    raise AssertionError("a request without a body is not asked for one")


async def answer(pool: Pool, method: str = "GET") -> bytes:
    """The body of the answer to one request, through *pool*, which is closed then."""
    body = Body(nothing, 0, more=False)
    head = pool.begin(method, pool.target.at("/x", b""), []).head([])
    request = BackendRequest(pool, method, head, body, ALICE)
    try:
        return await (await request.answer()).chunk()
    finally:
        request.end()
        pool.close()


def pool(backend: str, **settings: Any) -> Pool:
    section = ResourceSection(path="/mcp", backend=backend, **settings)
    return Pool(http_target(section, "resource", Path()))


async def test_a_unix_socket_is_a_backend(tmp_path: Path) -> None:
    backend, socket = Scripted(), tmp_path / "app.sock"
    async with scripted(backend, socket=socket):
        assert await answer(pool(f"unix:{socket}:/base")) == b"ok"
    assert backend.seen == [b"GET /base/x HTTP/1.1\r\nhost: localhost\r\n\r\n"]


async def test_a_socket_that_is_not_there_is_a_502(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="can't be reached") as caught:
        await answer(pool(f"unix:{tmp_path}/app.sock"))
    assert caught.value.status == 502


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path, "ours")


@pytest.fixture
def server(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.sign("backend.example", "127.0.0.1"))
    return context


async def test_a_backend_with_tls_is_believed_by_its_authority(
    authority: Authority, server: ssl.SSLContext
) -> None:
    port = free_port()
    async with scripted(Scripted(), port, tls=server):
        trusting = pool(f"https://127.0.0.1:{port}", backend_ca=str(authority.file))
        assert await answer(trusting) == b"ok"


@pytest.mark.parametrize("whose", ["the system's", "another's"])
async def test_a_backend_of_another_authority_gets_no_request(
    tmp_path: Path, server: ssl.SSLContext, whose: str
) -> None:
    backend, port = Scripted(), free_port()
    other = Authority.create(tmp_path, "theirs")
    ca = str(other.file) if whose == "another's" else None
    async with scripted(backend, port, tls=server):
        with pytest.raises(BackendError, match="certificate is not trusted"):
            await answer(pool(f"https://127.0.0.1:{port}", backend_ca=ca))
    assert backend.seen == []


async def test_a_certificate_for_another_name_gets_no_request(
    authority: Authority, server: ssl.SSLContext
) -> None:
    backend, port = Scripted(), free_port()
    async with scripted(backend, port, tls=server):
        with pytest.raises(BackendError, match="certificate is not trusted"):
            await answer(pool(f"https://localhost:{port}", backend_ca=str(authority.file)))
    assert backend.seen == []


async def test_a_backend_without_tls_gets_no_request(authority: Authority) -> None:
    backend, port = Scripted(), free_port()
    async with scripted(backend, port):
        with pytest.raises(BackendError) as caught:
            await answer(pool(f"https://127.0.0.1:{port}", connect_seconds=0.3))
    assert caught.value.status in (502, 504)
    assert backend.seen == []


async def test_a_backend_may_want_to_know_who_calls(
    authority: Authority, server: ssl.SSLContext
) -> None:
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority.file)
    mine, port = str(authority.sign("gateway.example")), free_port()
    settings = {"backend_ca": str(authority.file)}
    async with scripted(Scripted(), port, tls=server):
        url = f"https://127.0.0.1:{port}"
        assert await answer(pool(url, **settings, backend_certificate=mine)) == b"ok"
        with pytest.raises(BackendError):
            await answer(pool(url, **settings), method="POST")


async def test_a_connection_that_nobody_accepts_is_a_504() -> None:
    target = HttpTarget.parse(f"http://127.0.0.1:{free_port()}", "backend")
    with pytest.raises(BackendError) as caught:
        await answer(Pool(replace(target, limits=Limits(connect=1e-9))))
    assert caught.value.status == 504


async def test_a_connection_gets_cold_before_the_backend_hangs_up(tmp_path: Path) -> None:
    backend, socket = Scripted([OK]), tmp_path / "app.sock"
    async with scripted(backend, socket=socket):
        one = pool(f"unix:{socket}")
        for cold in (False, False, True):
            if cold:
                one._warm[0].idle_since -= 5
            body = Body(nothing, 0, more=False)
            head = one.begin("GET", b"/", []).head([])
            request = BackendRequest(one, "GET", head, body, ALICE)
            assert await (await request.answer()).chunk() == b"ok"
            request.end()
        one.close()
    assert backend.connections == 2
