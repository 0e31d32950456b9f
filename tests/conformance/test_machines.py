"""The official MCP clients without a person: client credentials, a key, and an ID-JAG."""

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwk
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from mintage.demo.memory import Memory
from mintage.network.tls import trusted
from mintage.testing.assertion_issuer import AssertionIssuer
from mintage.testing.clock import ManualClock
from tests.support.client_keys import jwks
from tests.support.mcp_servers import whoami
from tests.support.node import converse
from tests.support.trusting import ASSISTANT, SECRET, settings
from tests.support.world import World

REPORT, AGENT = "nightly-report", "agent"
KEY = jwk.ECKey.generate_key("P-256", {"kid": "agent"})
PEM = KEY.as_pem(private=True).decode()


@pytest.fixture
def clock() -> ManualClock:
    """The clients sign with the time of their own machine."""
    return ManualClock(int(time.time()))


@pytest.fixture
def overrides(
    mcp_server: str, tmp_path: Path, enterprise: AssertionIssuer, platform: AssertionIssuer
) -> dict[str, Any]:
    trusting = settings(tmp_path, enterprise.url, platform.url)
    own = {"grant_types": ["client_credentials"], "resources": ["/mcp"], "scopes": ["tools"]}
    return trusting | {
        "grant_types": {"client_credentials": {}, "jwt_bearer": {}},
        "resource": [
            each | {"backend": mcp_server} if each["path"] == "/mcp" else each
            for each in trusting["resource"]
        ],
        "client": [
            {
                "client_id": ASSISTANT,
                "client_secret": "file:assistant",
                "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            },
            {"client_id": REPORT, "client_secret": "file:assistant"} | own,
            {"client_id": AGENT, "jwks": jwks(KEY)} | own,
        ],
    }


async def who(world: World, provider: httpx2.Auth) -> str:
    async with (
        httpx2.AsyncClient(verify=trusted(), auth=provider, trust_env=False, timeout=30) as http,
        Client(streamable_http_client(world.resource, http_client=http)) as client,
    ):
        return await whoami(client)


async def test_python_with_a_secret(world: World) -> None:
    provider = ClientCredentialsOAuthProvider(
        world.resource, Memory(), REPORT, SECRET, scope="tools", issuer=world.issuer
    )
    assert await who(world, provider) == f"client|{REPORT}"


async def test_python_with_a_key(world: World) -> None:
    signed = SignedJWTParameters(
        issuer=AGENT, subject=AGENT, signing_key=PEM, signing_algorithm="ES256"
    )
    provider = PrivateKeyJWTOAuthProvider(
        world.resource,
        Memory(),
        AGENT,
        signed.create_assertion_provider(),
        scope="tools",
        issuer=world.issuer,
    )
    assert await who(world, provider) == f"client|{AGENT}"


async def test_python_with_an_id_jag(world: World, enterprise: AssertionIssuer) -> None:
    enterprise.allowed.add((ASSISTANT, world.issuer, world.resource))

    async def fetch(audience: str, resource: str) -> str:
        return enterprise.id_jag(
            user="alice",
            client_id=ASSISTANT,
            audience=audience,
            resource=resource,
            scope="tools",
        )

    provider = IdentityAssertionOAuthProvider(
        world.resource,
        Memory(),
        ASSISTANT,
        SECRET,
        world.issuer,
        fetch,
        scope="tools",
        token_endpoint_auth_method="client_secret_basic",
    )
    assert await who(world, provider) == "acme|alice"


@pytest.mark.usefixtures("node_modules")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "client_id", "expected"),
    [
        ("secret", REPORT, f"client|{REPORT}"),
        ("key", AGENT, f"client|{AGENT}"),
        ("enterprise", ASSISTANT, "acme|alice"),
    ],
)
async def test_typescript(
    world: World, enterprise: AssertionIssuer, kind: str, client_id: str, expected: str
) -> None:
    enterprise.allowed.add((ASSISTANT, world.issuer, world.resource))
    found = await converse(
        "clients/machines.mjs",
        {
            "kind": kind,
            "url": world.resource,
            "issuer": world.issuer,
            "client_id": client_id,
            "client_secret": SECRET,
            "private_key": PEM,
            "assertion": enterprise.id_jag(
                user="alice",
                client_id=ASSISTANT,
                audience=world.issuer,
                resource=world.resource,
                scope="tools",
            ),
        },
    )
    assert found == [{"type": "text", "text": expected}]
