"""The official MCP conformance runner's authorization-server scenarios, every revision."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from mintage.testing.browser import Browser
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import approve
from tests.conformance.node import HERE, running
from tests.conftest import World

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]

RUNNER = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
EXPECTED = tomllib.loads((HERE / "expected_failures.toml").read_text())

Verdicts = dict[str, str]


async def verdicts(world: World, person: Browser, revision: str, results: Path) -> Verdicts:
    """What the runner says: check → status. It asks its user to open a URL; the browser does."""
    port = free_port()
    client = await world.client(redirect_uris=[f"http://127.0.0.1:{port}/callback"])
    said = []
    async with running(
        RUNNER, "authorization", "--url", world.issuer, "--client-id", client.client_id,
        "--resource", world.resource, "--spec-version", revision,
        "--port", str(port), "--output-dir", str(results),
    ) as child:  # fmt: skip
        assert child.stdout is not None
        async for line in child.stdout:
            said.append(line.decode())
            if line.startswith(f"{world.issuer}/authorize?".encode()):
                await approve(person, line.decode().strip())
    found = {
        check["id"]: check["status"]
        for file in sorted(results.rglob("checks.json"))
        for check in json.loads(file.read_text())
    }
    assert found, "".join(said)
    return found


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_official_runner_finds_nothing_that_is_not_expected(
    world: World, person: Browser, tmp_path: Path, revision: str
) -> None:
    found = await verdicts(world, person, revision, tmp_path)
    assert found["authorization-server-metadata"] == "SUCCESS"
    assert found["authorization-code-grant"] == "SUCCESS"
    short = {check for check, status in found.items() if status != "SUCCESS"}
    expected = {check for check in EXPECTED if check in found}
    assert short - expected == set(), "these checks do not pass"
    assert expected - short == set(), "these are listed as failures and pass: take them out"


def test_each_expected_failure_has_its_reason() -> None:
    for check, reason in EXPECTED.items():
        assert re.fullmatch(r"[a-z0-9-]+", check)
        assert len(reason) > 20, check
