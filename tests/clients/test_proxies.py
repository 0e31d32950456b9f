"""The guarded fetch through a proxy of the environment, and which hosts go through it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from mintage.errors import FetchFailed, FetchRefused
from mintage.network.proxies import Proxies
from mintage.network.tls import trusted
from tests.support.client_hosts import (
    NAME,
    OUTSIDE,
    ClientHost,
    Names,
    client_host,
    fetch_from_tests,
)
from tests.support.forward_proxy import Proxy, without_proxies


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ClientHost]:
    async with client_host(tmp_path) as one:
        one.pages["/a"] = JSONResponse({})
        yield one


def named(address: str, direct: str = "") -> Proxies:
    return Proxies.of({"HTTPS_PROXY": address, "NO_PROXY": direct})


async def test_goes_by_a_tunnel_that_is_asked_for_the_name(host: ClientHost) -> None:
    names, proxy = Names(), Proxy(addresses={NAME: OUTSIDE})
    async with proxy.running() as address:
        fetch = fetch_from_tests(names, proxies=named(address))
        assert (await fetch(host.url("/a"), limit=100)).body == b"{}"
    assert proxy.seen == [f"CONNECT {NAME}:{host.port}"]
    assert host.seen == [(f"{NAME}:{host.port}", "/a")]
    assert names.asked == []


async def test_no_proxy_goes_directly_and_is_guarded(host: ClientHost) -> None:
    names, proxy = Names({NAME: [[OUTSIDE], ["10.0.0.1"]]}), Proxy()
    async with proxy.running() as address:
        fetch = fetch_from_tests(names, proxies=named(address, f"other.example, .{NAME},{NAME}"))
        assert (await fetch(host.url("/a"), limit=100)).body == b"{}"
        with pytest.raises(FetchRefused, match="no public address"):
            await fetch(host.url("/a"), limit=100)
    assert proxy.seen == []


async def test_every_other_limit_holds_in_the_tunnel(host: ClientHost) -> None:
    async def slow(_: Request) -> Response:
        await asyncio.sleep(3600)
        return JSONResponse({})

    host.pages |= {
        "/large": Response(b" " * 101, media_type="application/json"),
        "/html": Response(b"{}", media_type="text/html"),
        "/elsewhere": RedirectResponse(host.url("/a")),
        "/forbidden": Response(status_code=403),
        "/slow": slow,
    }
    async with Proxy(addresses={NAME: OUTSIDE}).running() as address:
        fetch = fetch_from_tests(Names(), proxies=named(address))
        for path, words in (
            ("/large", "larger than 100 bytes"),
            ("/html", "not served as application/json"),
            ("/elsewhere", "answered 307"),
            ("/forbidden", "answered 403"),
        ):
            with pytest.raises(FetchRefused, match=words):
                await fetch(host.url(path), limit=100)
        hurried = fetch_from_tests(Names(), seconds=1, proxies=named(address))
        with pytest.raises(FetchFailed, match="in time"):
            await hurried(host.url("/slow"), limit=100)
        with pytest.raises(FetchRefused, match="IP address"):
            await fetch(f"https://{OUTSIDE}:{host.port}/a", limit=100)


async def test_the_certificate_is_that_of_the_name(host: ClientHost) -> None:
    async with Proxy(addresses={"elsewhere.example": OUTSIDE}).running() as address:
        fetch = fetch_from_tests(Names(), proxies=named(address))
        with pytest.raises(FetchFailed, match="over TLS through the proxy"):
            await fetch(host.url("/a", host="elsewhere.example"), limit=100)
    assert host.seen == []


async def test_a_proxy_that_refuses_is_named_and_its_password_is_not(
    host: ClientHost, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names()
    async with Proxy(refuses="407 Proxy Authentication Required").running() as address:
        fetch = fetch_from_tests(
            names, proxies=named(address.replace("//", "//user:hidden-password@"))
        )
        with pytest.raises(FetchFailed, match="makes no tunnel"):
            await fetch(host.url("/a"), limit=100)
    assert "407" in caplog.text
    assert "hidden-password" not in caplog.text
    assert (names.asked, host.seen) == ([], [])


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


_HOSTS = ("example.com", "a.example.com", "notexample.com", "localhost", "b.a.example.com")
_ENTRIES = st.sampled_from(
    ["", " ", "example.com", ".example.com", "*.example.com", "a.example.com", "EXAMPLE.com",
     "https://example.com", "http://example.com", "all://a.example.com", "localhost", "10.0.0.0/8",
     "::1", "[::1]", "example.com:8443", "com", "xample.com"],
)  # fmt: skip
_URLS = st.none() | st.sampled_from(["", "http://one.example:3128", "two.example:3128"])


@given(
    variables=st.fixed_dictionaries(
        dict.fromkeys(("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), _URLS)
    ),
    direct=st.none() | st.lists(_ENTRIES, max_size=3) | st.just(["a.example", "*"]),
    spelling=st.sampled_from(["no_proxy", "NO_PROXY"]),
    host=st.sampled_from(_HOSTS),
    port=st.sampled_from([None, 8443]),
)
def test_reads_the_environment_as_the_way_to_the_provider_does(
    environment: pytest.MonkeyPatch,
    variables: dict[str, str | None],
    direct: list[str] | None,
    spelling: str,
    host: str,
    port: int | None,
) -> None:
    environ = {name: value for name, value in variables.items() if value is not None}
    if direct is not None:
        environ[spelling] = ",".join(direct)
    without_proxies(environment)
    for name, value in environ.items():
        environment.setenv(name, value)
    client = httpx2.Client(verify=trusted())
    url = httpx2.URL(scheme="https", host=host, port=port, path="/")
    transport = client._transport_for_url(url)
    assert isinstance(transport, httpx2.HTTPTransport)
    found = getattr(transport._pool, "_proxy_url", None)
    theirs = None if found is None else found.host.decode()
    ours = Proxies.of(environ).towards(host, port)
    assert theirs == (None if ours is None else httpx2.URL(ours).host)
