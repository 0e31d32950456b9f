"""The official MCP conformance runner: the authorization server itself, and the gateway."""

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from mintage.testing.browser import Browser
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import approve
from mintage.testing.serving import serving
from tests.conformance import everything
from tests.conformance.runner import checks, until_it_listens
from tests.support.mcp_servers import listening
from tests.support.node import HERE
from tests.support.world import World

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(300)]

REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
# What crosses the gateway in each way there is: if the server can't do these, nothing is compared.
CROSSING = {
    "2025-11-25": {
        "tools-list", "tools-call-image", "tools-call-mixed-content", "tools-call-with-progress",
        "tools-call-sampling", "tools-call-elicitation", "resources-read-binary",
        "prompts-get-embedded-resource", "completion-complete",
    },
    "2026-07-28": {
        "tools-list", "tools-call-image", "tools-call-mixed-content", "tools-call-with-progress",
        "resources-read-binary", "prompts-get-embedded-resource", "completion-complete",
    },
}  # fmt: skip
EXPECTED = tomllib.loads((HERE / "expected_failures.toml").read_text())


@pytest.fixture
async def mcp_server() -> AsyncIterator[str]:
    async with listening(everything.build()) as url:
        yield url


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_authorization_server_passes_but_for_what_is_expected(
    world: World, person: Browser, tmp_path: Path, revision: str
) -> None:
    """The runner asks its user to open a URL; the browser does."""
    port = free_port()
    client = await world.client(redirect_uris=[f"http://127.0.0.1:{port}/callback"])

    async def heard(line: str) -> None:
        if line.startswith(f"{world.issuer}/authorize?"):
            await until_it_listens(port)  # the runner prints the URL first
            await approve(person, line)

    made = await checks(
        "authorization", "--url", world.issuer, "--client-id", client.client_id,
        "--resource", world.resource, "--spec-version", revision, "--port", str(port),
        results=tmp_path, heard=heard,
    )  # fmt: skip
    found = {check: status for _, check, status in made}
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


@pytest.mark.filterwarnings("ignore:The sampling capability is deprecated")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_a_server_gets_the_same_verdicts_behind_the_gateway(
    world: World, mcp_server: str, tmp_path: Path, revision: str
) -> None:
    """Check by check: the gateway adds a login and takes nothing away."""
    client = await world.client()
    async with world.browser() as browser:
        token = (await client.tokens(browser))["access_token"]

    async def logged_in(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*scope["headers"], (b"authorization", f"Bearer {token}".encode())]
        await world.app({**scope, "headers": headers}, receive, send)

    port = free_port()
    config = uvicorn.Config(logged_in, port=port, log_config=None, lifespan="off")
    through = f"http://127.0.0.1:{port}/mcp"
    async with serving(uvicorn.Server(config)):
        directly, behind = await asyncio.gather(
            *(
                checks("server", "--url", url, "--requirements", revision, results=tmp_path / name)
                for url, name in ((mcp_server, "directly"), (through, "through"))
            )
        )
    assert sorted(behind) == sorted(directly)
    passed = {check for _, check, status in directly if status == "SUCCESS"}
    assert passed >= CROSSING[revision]
