"""What a backend hears of the client when there is a proxy in front of us."""

from typing import Any

import pytest

from tests.support.raw_backend import RawBackend, access_token
from tests.support.world import World

CLIENT = "203.0.113.9"
TOLD = {"x-forwarded-for": f"127.0.0.9, {CLIENT}", "x-forwarded-proto": "ftp",
        "x-forwarded-host": "evil.example", "host": "inner.example"}  # fmt: skip


@pytest.fixture
def overrides(raw: RawBackend, trusted: list[str]) -> dict[str, Any]:
    backend = f"http://127.0.0.1:{raw.port}"
    return {
        "resource": [{"path": "/mcp", "backend": backend, "scopes": ["tools"]}],
        "gateway": {"trusted_proxies": trusted},
    }


async def heard(world: World) -> dict[str, str]:
    bearer = {"authorization": f"Bearer {await access_token(world)}"}
    answer = await world.http.get(f"{world.resource}/x", headers=TOLD | bearer)
    return dict(answer.json()["headers"])


def public(world: World) -> str:
    return world.issuer.removeprefix("http://")


@pytest.mark.parametrize("trusted", [["127.0.0.1"]])
async def test_the_backend_hears_the_client_and_the_public_address(world: World) -> None:
    headers = await heard(world)
    assert headers["x-forwarded-for"] == CLIENT
    assert headers["x-forwarded-host"] == public(world)
    assert headers["x-forwarded-proto"] == "http"
    assert headers["forwarded"] == f'for={CLIENT};host="{public(world)}";proto=http'


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"]])
async def test_attack_d04_a_stranger_changes_nothing_of_it(world: World) -> None:
    headers = await heard(world)
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["forwarded"] == f'for=127.0.0.1;host="{public(world)}";proto=http'
    assert "evil" not in str(headers)
    assert CLIENT not in str(headers)


@pytest.mark.parametrize(("trusted", "logged"), [(["127.0.0.1"], CLIENT), ([], "127.0.0.1")])
async def test_the_log_names_the_client(
    world: World, caplog: pytest.LogCaptureFixture, logged: str
) -> None:
    caplog.set_level("INFO")
    answer = await world.http.get(f"{world.resource}/x", headers=TOLD)
    reference = answer.headers["x-request-id"]
    assert f"{reference} GET /mcp/x from {logged}: 401" in caplog.text
