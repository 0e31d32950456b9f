"""A server that trusts an enterprise's provider and a workload platform."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from mintage.testing.assertion_issuer import ID_JAG, AssertionIssuer
from mintage.testing.clock import ManualClock
from tests.support.world import THE_BACKEND, World

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSISTANT, OTHER_CLIENT = "assistant", "other-assistant"
SECRET: Final = "the secret of an assistant of the enterprise 0123456789"


@pytest.fixture
async def enterprise(clock: ManualClock) -> AsyncIterator[AssertionIssuer]:
    async with AssertionIssuer(clock).running() as issuer:
        yield issuer


@pytest.fixture
async def platform(clock: ManualClock) -> AsyncIterator[AssertionIssuer]:
    async with AssertionIssuer(clock, lifetime=600).running() as issuer:
        yield issuer


def settings(directory: Path, enterprise: str, platform: str) -> dict[str, Any]:
    secret = directory / "assistant"
    secret.touch(0o600)
    secret.write_text(SECRET)
    return {
        "grant_types": {"jwt_bearer": {"lifetime": 600}},
        "resource": [
            {
                "path": "/mcp",
                "backend": THE_BACKEND,
                "scopes": ["tools"],
                "optional_scopes": ["write", "delete"],
                "credential": "identity",
            },
            {"path": "/other", "backend": THE_BACKEND, "scopes": ["other"]},
            {"path": "/payroll", "backend": THE_BACKEND, "scopes": ["pay"]},
        ],
        "client": [
            {"client_id": name, "client_secret": "file:assistant", "grant_types": [JWT_BEARER]}
            for name in (ASSISTANT, OTHER_CLIENT)
        ],
        "trusted_issuer": [
            {
                "name": "acme",
                "issuer": enterprise,
                "purpose": "id_jag",
                "resources": ["/mcp", "/other"],
                "scopes": ["tools", "write", "other"],
            },
            {
                "name": "ci",
                "issuer": platform,
                "purpose": "workload",
                "rule": [
                    {
                        "name": "deploy",
                        "claims": {"sub": "repo:acme/site:ref:refs/heads/main"},
                        "resources": ["/mcp"],
                        "scopes": ["tools", "write"],
                    },
                    {
                        "name": "any-repository",
                        "claims": {"sub": "repo:acme/*:ref:refs/heads/main", "private": "true"},
                        "resources": ["/mcp", "/other"],
                        "scopes": ["tools", "other"],
                    },
                ],
            },
        ],
    }


def jag(world: World, issuer: AssertionIssuer, **claims: Any) -> str:
    """A good ID-JAG for `ASSISTANT`, with other *claims*."""
    usual: dict[str, Any] = {
        "sub": "alice",
        "client_id": ASSISTANT,
        "aud": world.issuer,
        "resource": world.resource,
        "scope": "tools write",
        "email": "alice@acme.example",
    }
    return issuer.assertion(typ=ID_JAG, **usual | claims)


def workload(world: World, issuer: AssertionIssuer, **claims: Any) -> str:
    usual = {"sub": "repo:acme/site:ref:refs/heads/main", "aud": world.issuer}
    return issuer.assertion(**usual | claims)


async def redeem(
    world: World, assertion: str, /, *, auth: Any = (ASSISTANT, SECRET), **form: str
) -> httpx2.Response:
    return await world.http.post(
        f"{world.issuer}/token",
        data={"grant_type": JWT_BEARER, "assertion": assertion} | form,
        auth=httpx2.USE_CLIENT_DEFAULT if auth is None else auth,
    )


async def call(world: World, token: str, path: str = "/mcp") -> httpx2.Response:
    return await world.http.get(world.issuer + path, headers={"authorization": f"Bearer {token}"})


def refused(answer: httpx2.Response, error: str = "invalid_grant", status: int = 400) -> bool:
    return (answer.status_code, answer.json()["error"]) == (status, error)
