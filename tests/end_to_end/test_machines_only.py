"""``mintage serve`` without an identity provider: machines get in, and nobody logs in."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from mintage.demo.backend import build
from mintage.demo.memory import Memory
from mintage.network.tls import trusted
from mintage.testing.assertion_issuer import ID_JAG, AssertionIssuer
from mintage.testing.nanoidp import free_port
from tests.support.command import mintage, served
from tests.support.mcp_servers import listening, whoami

SECRET: Final = "the secret of a machine 0123456789"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SETTINGS: Final = """
issuer = "{issuer}"
store  = "sqlite://mintage.db"

[[resource]]
path       = "/mcp"
backend    = "{backend}"
credential = "identity"
scopes     = ["tools"]

[grant_types.client_credentials]
[grant_types.jwt_bearer]

[[client]]
client_id     = "nightly-report"
client_secret = "file:machine"
grant_types   = ["client_credentials", "{jwt_bearer}"]
resources     = ["/mcp"]
scopes        = ["tools"]

[[trusted_issuer]]
name    = "acme"
issuer  = "{enterprise}"
purpose = "id_jag"

[[trusted_issuer]]
name    = "ci"
issuer  = "{platform}"
purpose = "workload"

[[trusted_issuer.rule]]
name      = "deploy"
claims    = {{ sub = "deploy" }}
resources = ["/mcp"]
scopes    = ["tools"]
"""


@dataclass(frozen=True)
class Site:
    issuer: str
    file: Path
    enterprise: AssertionIssuer
    platform: AssertionIssuer
    http: httpx2.AsyncClient

    async def token(self, *, as_client: bool = True, **form: str) -> str:
        auth = ("nightly-report", SECRET) if as_client else httpx2.USE_CLIENT_DEFAULT
        answer = await self.http.post(f"{self.issuer}/token", data=form, auth=auth)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def who(self, auth: httpx2.Auth | None = None, token: str = "") -> str:
        """Whom the MCP server behind sees."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx2.AsyncClient(
                verify=trusted(), auth=auth, headers=headers, trust_env=False, timeout=30
            ) as http,
            Client(streamable_http_client(f"{self.issuer}/mcp", http_client=http)) as client,
        ):
            return await whoami(client)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    port, file, secret = free_port(), tmp_path / "mintage.toml", tmp_path / "machine"
    issuer = f"http://127.0.0.1:{port}"
    secret.touch(0o600)
    secret.write_text(SECRET)
    async with (
        listening(build("http://127.0.0.1:9/userinfo")) as backend,
        AssertionIssuer(time.time).running() as enterprise,
        AssertionIssuer(time.time).running() as platform,
        httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30) as http,
    ):
        file.write_text(
            SETTINGS.format(
                issuer=issuer,
                backend=backend,
                jwt_bearer=JWT_BEARER,
                enterprise=enterprise.url,
                platform=platform.url,
            )
        )
        async with served(file, port):
            yield Site(issuer, file, enterprise, platform, http)


async def test_the_mcp_sdk_gets_in_by_the_documents_alone(site: Site) -> None:
    """It takes no metadata without an authorization endpoint, although nobody is to use it."""
    provider = ClientCredentialsOAuthProvider(
        f"{site.issuer}/mcp", Memory(), "nightly-report", SECRET, scope="tools", issuer=site.issuer
    )
    assert await site.who(auth=provider) == "client|nightly-report"


async def test_workloads_and_users_of_an_enterprise_get_in(site: Site) -> None:
    workload = site.platform.assertion(sub="deploy", aud=site.issuer)
    token = await site.token(as_client=False, grant_type=JWT_BEARER, assertion=workload)
    assert await site.who(token=token) == "workload|ci|deploy"
    jag = site.enterprise.assertion(
        typ=ID_JAG,
        sub="alice",
        client_id="nightly-report",
        aud=site.issuer,
        resource=f"{site.issuer}/mcp",
        scope="tools",
    )
    token = await site.token(grant_type=JWT_BEARER, assertion=jag)
    assert await site.who(token=token) == "acme|alice"


async def test_the_documents_offer_no_login(site: Site) -> None:
    where = f"{site.issuer}/.well-known/oauth-authorization-server"
    metadata: dict[str, Any] = (await site.http.get(where)).json()
    assert metadata["grant_types_supported"] == ["client_credentials", JWT_BEARER]
    assert metadata["response_types_supported"] == []
    assert not metadata.keys() & {
        "code_challenge_methods_supported",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "registration_endpoint",
        "response_modes_supported",
    }


async def test_who_tries_to_log_in_is_told(site: Site) -> None:
    answer = await site.http.get(f"{site.issuer}/authorize?response_type=code&client_id=x")
    assert answer.status_code == 400
    assert "Nobody logs in at this server: get a token at its token endpoint" in answer.text
    for path in ("account", "callback", "consent", "device", "device_authorization", "par"):
        answer = await site.http.get(f"{site.issuer}/{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found"), path
    for grant_type in ("authorization_code", "refresh_token"):
        answer = await site.http.post(f"{site.issuer}/token", data={"grant_type": grant_type})
        assert answer.json()["error"] == "unsupported_grant_type"


async def test_it_is_healthy_and_checked(site: Site) -> None:
    ready = await site.http.get(f"{site.issuer}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"store": "ok"})
    done = await asyncio.to_thread(mintage, "check", "--config", str(site.file))
    assert done.returncode == 0, done.stdout.decode()
    assert "nobody: there is no [upstream]. Users come with an ID-JAG of acme" in (
        done.stdout.decode()
    )
