"""A grant that ends on one replica is in the list of every other one, on each kind of store."""

from pathlib import Path
from typing import Any

import joserfc.jwk
import joserfc.jwt
import pytest

from tests.status.test_status_list_endpoint import bits_of, logged_in, place_of
from tests.support.forge import P256, pem
from tests.support.replicas import Replica, replica
from tests.support.world import World

SHARED = pytest.mark.parametrize(
    "world_store",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ],
    indirect=True,
)
LIST = {"size": 8192}


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key.pem").write_bytes(pem(P256))
    return {"tokens": {"signing_key": f"file:{tmp_path}/key.pem"}, "status_list": LIST}


async def is_revoked(at: Replica, idx: int) -> bool:
    answer = await at.http.get(f"{at.issuer}/status-list")
    keys = joserfc.jwk.KeySet.import_key_set((await at.http.get(f"{at.issuer}/jwks")).json())
    bits = bits_of(joserfc.jwt.decode(answer.text, keys, algorithms=["ES256"]))
    return bool(bits[idx // 8] >> idx % 8 & 1)


@SHARED
async def test_what_ends_here_is_in_the_list_there_a_second_later(
    world: World, tmp_path: Path
) -> None:
    """Revoked here, and seen there; and a server that starts later knows it too."""
    settings: dict[str, Any] = {
        "tokens": {"signing_key": f"file:{tmp_path}/key.pem"},
        "status_list": LIST,
    }
    client, tokens = await logged_in(world)
    _, others = await logged_in(world)
    mine = (await place_of(world, tokens["access_token"]))["idx"]
    other = (await place_of(world, others["access_token"]))["idx"]
    async with replica(world, **settings) as there:
        assert not await is_revoked(there, mine)
        await client.revoke(tokens["access_token"])
        world.clock.advance(1)
        assert await is_revoked(there, mine)
        assert not await is_revoked(there, other)
    async with replica(world, **settings) as later:
        assert await is_revoked(later, mine)
        assert not await is_revoked(later, other)
