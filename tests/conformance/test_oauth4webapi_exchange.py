"""``oauth4webapi`` exchanges a user's token for a backend (RFC 8693), at a server that runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.exchanging import (
    ACCESS_TOKEN,
    GRANT_TYPE,
    SECRETS,
    call,
    identity_at,
    logged_in,
    payload,
    settings,
)
from tests.support.node import converse
from tests.support.world import World

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    return settings(tmp_path)


async def test_a_strict_client_exchanges_what_it_got_from_the_gateway(world: World) -> None:
    client, tokens = await logged_in(world)
    found: dict[str, Any] = await converse(
        "clients/oauth4webapi_exchange.mjs",
        {
            "issuer": world.issuer,
            "client_id": "notes",
            "client_secret": SECRETS["notes"],
            "token": tokens["access_token"],
            "identity": await identity_at(world, "/mcp", tokens["access_token"]),
            "target": f"{world.issuer}/files",
            "forbidden": f"{world.issuer}/mail",
        },
    )
    assert "error" not in found, found
    assert GRANT_TYPE in found["as"]["grant_types_supported"]
    assert found["tokens"]["issued_token_type"] == ACCESS_TOKEN
    assert found["tokens"]["token_type"] == "bearer"  # in lower case, as it reads every answer
    assert found["wider"] == {"code": "invalid_scope", "status": 400}
    assert found["elsewhere"] == {"code": "invalid_target", "status": 400}
    assert found["told"]["active"] is True
    assert found["told"]["act"] == {"sub": "notes"}
    assert payload(found["by_identity"]["access_token"])["sub"] == "alice"
    assert found["revoked"] == "done"
    assert (await call(world, "/files", found["tokens"]["access_token"])).status_code == 401
    assert (await client.call(tokens["access_token"])).status_code == 200
