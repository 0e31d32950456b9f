"""Metadata documents where the environment names a proxy, with and without the operator's word."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.testing.oauth_client import OAuthClient
from tests.support.client_hosts import (
    NAME,
    OUTSIDE,
    REDIRECT_URI,
    ClientHost,
    authority_pem,
    client_host,
)
from tests.support.forward_proxy import Proxy, without_proxies
from tests.support.world import World


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ClientHost]:
    async with client_host(tmp_path) as one:
        yield one


@pytest.fixture
def proxy() -> Proxy:
    return Proxy(addresses={NAME: OUTSIDE})


@pytest.fixture
async def parts(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, Any]]:
    """The environment of a server behind *proxy*; nothing of Mintage is replaced."""
    without_proxies(monkeypatch)
    (tmp_path / "authority.pem").write_text(authority_pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with proxy.running() as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        yield {}


async def asked(world: World, url: str) -> httpx2.Response:
    client = OAuthClient(world.issuer, world.http, world.resource, url, redirect_uri=REDIRECT_URI)
    return await world.http.get(client.authorization().url)


async def are_advertised(world: World) -> bool:
    answer = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
    found: bool = answer.json()["client_id_metadata_document_supported"]
    return found


class TestWithoutTheOperatorsWord:
    async def test_documents_are_not_advertised_and_not_fetched(
        self, world: World, host: ClientHost, proxy: Proxy
    ) -> None:
        assert not await are_advertised(world)
        page = await asked(world, host.publish())
        assert page.status_code == 401
        assert "reads no metadata documents" in page.text
        assert (proxy.seen, host.seen) == ([], [])

    async def test_the_start_says_why_once(
        self, caplog: pytest.LogCaptureFixture, world: World
    ) -> None:
        assert not await are_advertised(world)
        lines = [each.getMessage() for each in caplog.get_records("setup")]
        (line,) = [each for each in lines if "no metadata documents are fetched" in each]
        assert line.startswith("no metadata documents are fetched: HTTPS_PROXY names a proxy")
        assert "cimd.the_environments_proxy_refuses_inner_addresses = true" in line


class TestWithTheOperatorsWord:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"cimd": {"the_environments_proxy_refuses_inner_addresses": True}}

    async def test_documents_come_through_the_proxy(
        self, world: World, host: ClientHost, proxy: Proxy
    ) -> None:
        assert await are_advertised(world)
        assert (await asked(world, host.publish())).status_code == 200
        assert proxy.seen == [f"CONNECT {NAME}:{host.port}"]
        assert len(host.seen) == 1


class TestWhereDocumentsAreOffAnyway:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"cimd": {"enabled": False}}

    async def test_the_proxy_is_not_mentioned(
        self, caplog: pytest.LogCaptureFixture, world: World
    ) -> None:
        assert not await are_advertised(world)
        assert "HTTPS_PROXY" not in "".join(
            each.getMessage() for each in caplog.get_records("setup")
        )
