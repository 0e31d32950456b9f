"""Connections to the provider: proxies of the environment, and faults that an operator must fix."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mintage.errors import UpstreamMisconfigured, UpstreamUnavailable
from mintage.settings.environment import check_environment
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import approve
from mintage.testing.serving import serving
from mintage.upstream.preset import Preset, Quirks
from mintage.upstream.presets import PRESETS
from mintage.upstream.protocol import HttpRequest
from mintage.upstream.transport import HttpTransport
from tests.support.certificates import Authority
from tests.support.forward_proxy import Proxy, without_proxies
from tests.support.servers import program
from tests.support.world import World, opened_world


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)


async def told(url: str) -> Any:
    transport = HttpTransport(timeout=5)
    try:
        answer = await transport.send(HttpRequest(method="GET", url=url))
    finally:
        await transport.close()
    return answer.body


@asynccontextmanager
async def served(certificate: Path | None = None) -> AsyncIterator[str]:
    """A server that says hello; with *certificate* over TLS."""

    async def hello(_: Request) -> JSONResponse:
        return JSONResponse({"hello": 1})

    port = free_port()
    config = uvicorn.Config(
        Starlette(routes=[Route("/", hello)]), port=port, log_config=None, lifespan="off",
        ssl_certfile=certificate, timeout_graceful_shutdown=1,
    )  # fmt: skip
    async with serving(uvicorn.Server(config)):
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}/"


async def test_http_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    async with served() as url, proxy.running() as address:
        monkeypatch.setenv("HTTP_PROXY", address)
        assert b"hello" in await told(url)
        assert proxy.seen == [f"GET {url}"]


async def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, "ca")
    proxy = Proxy()
    certificate = authority.sign("localhost", "127.0.0.1")
    async with served(certificate) as url, proxy.running() as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert b"hello" in await told(url)
        assert proxy.seen == [f"CONNECT {url.split('/')[2]}"]


async def test_no_proxy_names_who_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    async with served() as url, proxy.running() as address:
        monkeypatch.setenv("HTTP_PROXY", address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,.internal")
        assert b"hello" in await told(url)
        assert proxy.seen == []


async def test_a_proxy_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path, "ca")
    certificate = authority.sign("localhost", "127.0.0.1")
    async with (
        served(certificate) as url,
        Proxy(refuses="407 Proxy Authentication Required").running() as address,
    ):
        monkeypatch.setenv("HTTPS_PROXY", address)
        with pytest.raises(UpstreamMisconfigured, match="HTTPS_PROXY"):
            await told(url)


async def test_a_proxy_that_can_not_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:70")
    with pytest.raises(UpstreamMisconfigured, match="gopher"):
        await told("http://127.0.0.1:9/")


@asynccontextmanager
async def socks(directory: Path, *options: str) -> AsyncIterator[tuple[int, Path]]:
    """microsocks on loopback: its port, and the log of what it was asked for."""
    port, log = free_port(), directory / "socks.log"
    words = [program("microsocks"), "-i", "127.0.0.1", "-p", str(port), *options]
    with log.open("wb") as out:
        child = await asyncio.create_subprocess_exec(*words, stdout=out, stderr=out)
        try:
            async with asyncio.timeout(10):
                while not await _listens(port):
                    await asyncio.sleep(0.02)
            yield port, log
        finally:
            child.terminate()
            await child.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("over_tls", [False, True])
async def test_a_socks_proxy_carries_all_of_it(
    scheme: str,
    over_tls: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    authority = Authority.create(tmp_path, "ca")
    certificate = authority.sign("localhost", "127.0.0.1") if over_tls else None
    async with served(certificate) as url, socks(tmp_path) as (port, log):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        check_environment(os.environ)
        assert b"hello" in await told(url)
        assert f"connected to {url.split('/')[2]}" in log.read_text()


# httpcore2 leaves the connection of a refused handshake to the garbage collector.
refused_by_socks = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def litter_is_collected_here() -> Iterator[None]:
    yield
    gc.collect()


@refused_by_socks
@pytest.mark.usefixtures("litter_is_collected_here")
async def test_an_outage_behind_a_socks_proxy_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with socks(tmp_path) as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{port}")
        with pytest.raises(UpstreamUnavailable, match="the proxy does not get there"):
            await told(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable"])
async def test_an_outage_behind_a_proxy_is_one(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    async with Proxy(refuses=status).running() as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        with pytest.raises(UpstreamUnavailable, match="the proxy does not get there"):
            await told(f"https://127.0.0.1:{free_port()}/")


@refused_by_socks
@pytest.mark.usefixtures("litter_is_collected_here")
async def test_a_socks_proxy_with_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with served() as url, socks(tmp_path, "-u", "me", "-P", "private") as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"socks5://me:private@127.0.0.1:{port}")
        assert b"hello" in await told(url)
        for wrong in ("", "me:very-wrong@"):
            monkeypatch.setenv("ALL_PROXY", f"socks5://{wrong}127.0.0.1:{port}")
            with pytest.raises(UpstreamMisconfigured, match="ALL_PROXY") as raised:
                await told(url)
            assert "very-wrong" not in str(raised.value)


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    certificate = Authority.create(tmp_path, "ca").sign("localhost", "127.0.0.1")
    async with served(certificate) as url:
        with pytest.raises(UpstreamMisconfigured, match=r"certificate of .* is not trusted"):
            await told(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://127.0.0.1:{free_port()}/", "refuses connections"),
        ("http://no-such-name.invalid/", "is not found"),
    ],
    ids=lambda value: value.split("/")[0] if " " in value else "url",
)
async def test_an_outage_says_what_it_is(url: str, words: str) -> None:
    with pytest.raises(UpstreamUnavailable, match=words) as raised:
        await told(url)
    assert "ConnectError" not in str(raised.value)


@pytest.mark.parametrize("fault", ["invalid_client", "invalid_scope", "unauthorized_client"])
async def test_a_fault_that_stays_never_says_try_again(
    world: World, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.client()
    world.upstream.faults["token"] = fault
    async with world.browser() as browser:
        page = await approve(browser, client.authorization().url)
    assert page.status == 502
    assert "trying again does not help" in page.text
    assert "try again" not in page.text.lower().replace("trying again", "")
    assert "shortly" not in page.text
    line = next(record.getMessage() for record in caplog.records if "502" in record.getMessage())
    assert fault in line
    assert "client_secret" in line


class TestTokensThatReplaceEachOther:
    """GitLab ends the old token when it gives the new one."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"grants": {"cache_seconds": 0}}

    async def test_nobody_is_handed_a_token_that_is_being_replaced(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        world.clock.advance(3590)  # the old one holds for ten seconds yet
        world.upstream.delay = 0.3
        calls = [asyncio.create_task(client.call(tokens["access_token"])) for _ in range(20)]
        assert {(await call).status_code for call in calls} == {200}
        sent = {request.headers["authorization"] for request in world.backend.requests}
        (bearer,) = sent
        assert world.upstream.is_live(bearer.removeprefix("Bearer "))
        assert world.upstream.seen["refresh_token"] == 1


async def test_where_old_tokens_stay_good_nobody_waits(
    clock: Any, upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Preset(name="oidc", title="OIDC", quirks=Quirks(replaces_tokens=False))
    monkeypatch.setitem(PRESETS, "oidc", patient)
    async with opened_world(clock, upstream, tmp_path, {"store": "memory://"}, {}) as world:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        clock.advance(3590)
        upstream.faults["token"] = "hang"
        begin = time.monotonic()
        assert (await client.call(tokens["access_token"])).status_code == 200
        assert time.monotonic() - begin < 10  # the provider is given fifteen
        upstream.release.set()
