"""A command learns whose process it is, or is not started."""

import logging
import sys
from typing import Any

import pytest

from mintage.grants.states import Identity
from tests.gateway.test_verified_emails import _TELLS
from tests.support import raw_backend
from tests.support.world import World


@pytest.fixture
def overrides() -> dict[str, Any]:
    command = {"run": [sys.executable, "-c", _TELLS]}
    return {
        "resource": [
            {"path": "/mcp", "command": command, "scopes": ["tools"], "credential": "identity"}
        ]
    }


HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {},
               "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip


async def test_a_user_whom_no_environment_can_name_starts_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process without MINTAGE_USER could take the user for none, or for everybody."""
    caplog.set_level(logging.INFO)

    def nul(**known: Any) -> Identity:
        return Identity(**(known | {"subject": "alice\0root"}))

    monkeypatch.setattr(raw_backend, "Identity", nul)
    bearer = {"authorization": f"Bearer {await raw_backend.access_token(world)}"}
    accept = {"accept": "application/json, text/event-stream"}
    answer = await world.http.post(world.resource, json=HELLO, headers=bearer | accept)
    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
    assert "NUL" in caplog.text
    assert len(world.running.gateway.sessions["/mcp"]) == 0
