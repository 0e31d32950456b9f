"""``mintage check`` and the status list."""

from pathlib import Path
from typing import Any

import pytest

from mintage.checks.status_lists import check_status_list
from mintage.settings.load import parse
from tests.support.forge import P256, pem
from tests.support.world import SECRET


async def found(directory: Path, **more: Any) -> list[tuple[str, str]]:
    (directory / "key.pem").write_bytes(pem(P256))
    data = {
        "issuer": "https://auth.example.com",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {"issuer": "https://idp.example.com", "client_id": "x"},
        "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:9/mcp"}],
        "tokens": {"signing_key": "file:key.pem"},
    }
    config = parse(data | more, base=directory, environ={"SECRET": SECRET})
    return [(each.level, each.found) async for each in check_status_list(config)]


async def test_nothing_is_said_without_a_list(tmp_path: Path) -> None:
    assert await found(tmp_path) == []


@pytest.mark.parametrize("ttl", [1, 3])
async def test_a_list_is_named_with_what_verifiers_may_rely_on(tmp_path: Path, ttl: int) -> None:
    ((level, text),) = await found(tmp_path, status_list={"ttl": ttl})
    assert level == "ok"
    assert "https://auth.example.com/status-list" in text
    assert f"within {ttl + 2} s" in text


async def test_a_list_of_tokens_that_end_at_once_is_a_warning(tmp_path: Path) -> None:
    tokens = {"signing_key": "file:key.pem", "access_token_lifetime": 60}
    ((level, _),) = await found(tmp_path, status_list={}, tokens=tokens)
    assert level == "warning"
