"""mcp-authlab: a scanner that logs in, and then attacks the server with the tokens that it got."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import approve
from tests.support.world import World

pytestmark = pytest.mark.timeout(120)

OTHER = "/other"


@pytest.fixture
def overrides(mcp_server: str) -> dict[str, Any]:
    """A resource whose tool needs a scope that the login does not ask for, and another resource."""
    rule = {"mcp_methods": ["tools/call"], "mcp_names": ["whoami"], "scopes": ["names"]}
    return {
        "resource": [
            {
                "path": "/mcp",
                "backend": mcp_server,
                "scopes": ["tools"],
                "optional_scopes": ["names"],
                "rule": [rule],
            },
            {"path": OTHER, "backend": mcp_server, "scopes": ["tools"]},
        ]
    }


async def authlab(
    *arguments: str, home: Path, person: Browser | None = None
) -> tuple[int | None, str]:
    """(exit code, what it printed). *person* signs in wherever it asks for that."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mcp_authlab", *arguments,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "BROWSER": "true"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert child.stdout is not None
    said = []
    async for line in child.stdout:
        said.append(line.decode())
        if person is not None and "/authorize?" in said[-1]:
            await approve(person, said[-1].strip())
    return await child.wait(), "".join(said)


async def test_nothing_fails_and_nothing_is_left_out(
    world: World, person: Browser, tmp_path: Path
) -> None:
    code, said = await authlab(
        "login", world.resource, "--thorough", "--foreign-resource", world.issuer + OTHER,
        "--scope", "tools", home=tmp_path, person=person,
    )  # fmt: skip
    assert code == 0, said
    code, said = await authlab(
        "scan", world.resource, "--tool", "whoami", "--format", "json", home=tmp_path
    )
    report = json.loads(said)
    assert report["coverage"]["line"] == "coverage 33/33"
    ill = {one["id"]: one["message"] for one in report["results"] if one["status"] != "pass"}
    # The test's server is on loopback without TLS, which the scanner warns about.
    assert ill.keys() == {"TLS-01"}, ill
    assert (code, report["grade"]) == (0, "A")
