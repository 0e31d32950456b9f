"""`mintage check` and what gets tokens without a login."""

from pathlib import Path
from typing import Any

import pytest

from mintage.checks.trusted import check_trusted
from mintage.settings.load import parse
from mintage.testing.assertion_issuer import AssertionIssuer
from tests.support.trusting import settings
from tests.support.world import SECRET


async def findings(directory: Path, data: dict[str, Any]) -> list[tuple[str, str, str]]:
    more = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {
            "issuer": "https://idp.example",
            "client_id": "m",
            "client_secret": "env:SECRET",
        },
    }
    for resource in data["resource"]:
        resource["backend"] = "http://127.0.0.1:9"
    config = parse(data | more, base=directory, environ={"SECRET": SECRET})
    return [(one.level, one.about, one.found) async for one in check_trusted(config)]


async def test_each_issuer_says_its_keys_and_what_they_are_for(
    tmp_path: Path, enterprise: AssertionIssuer, platform: AssertionIssuer
) -> None:
    found = await findings(tmp_path, settings(tmp_path, enterprise.url, platform.url))
    rules = "deploy (/mcp), any-repository (/mcp, /other)"
    assert found == [
        ("ok", "trusted_issuer[0]", f"{enterprise.url}: 1 key, ID-JAGs for /mcp, /other"),
        ("ok", "trusted_issuer[1]", f"{platform.url}: 1 key, workloads by the rules {rules}"),
    ]


async def test_an_issuer_that_does_not_answer_is_an_error(
    tmp_path: Path, enterprise: AssertionIssuer, platform: AssertionIssuer
) -> None:
    platform.down = True
    found = await findings(tmp_path, settings(tmp_path, enterprise.url, platform.url))
    assert [(level, about) for level, about, _ in found] == [
        ("ok", "trusted_issuer[0]"),
        ("error", "trusted_issuer[1]"),
    ]


@pytest.mark.parametrize("credential", ["upstream", "exchange"])
async def test_a_resource_that_needs_a_login_is_useless_to_a_machine(
    credential: str, tmp_path: Path, enterprise: AssertionIssuer, platform: AssertionIssuer
) -> None:
    data = settings(tmp_path, enterprise.url, platform.url)
    data["resource"][0]["credential"] = credential
    if credential == "exchange":
        data["resource"][0]["exchange"] = {"audience": "backend"}
    data["grant_types"]["client_credentials"] = {}
    data["client"].append(
        {
            "client_id": "bot",
            "client_secret": "file:assistant",
            "grant_types": ["client_credentials"],
            "resources": ["/mcp"],
            "scopes": [],
        }
    )
    found = await findings(tmp_path, data)
    assert [about for level, about, _ in found if level == "warning"] == [
        "client[2].resources",
        "trusted_issuer[0].resources",
        "trusted_issuer[1].rule[0].resources",
        "trusted_issuer[1].rule[1].resources",
    ]
