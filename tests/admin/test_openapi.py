"""The description of the admin API tells the truth, and no request breaks the API."""

import json
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mintage.admin.activity import Activity
from mintage.admin.openapi import describe
from mintage.admin.site import AdminSite, open_site
from mintage.settings.admin import AdminSettings
from mintage.testing.oauth_client import OAuthClient
from mintage.values import Secret
from tests.admin.conftest import TOKEN, calling
from tests.support.command import mintage
from tests.support.http_fuzz import Promises, Sent, check, from_description, wild
from tests.support.stage import FULL, Stage

URL = "http://127.0.0.1:8081"
DOCUMENT = describe(URL)
OPERATIONS = [
    (path, method) for path, operations in DOCUMENT["paths"].items() for method in operations
]


def test_the_command_prints_it() -> None:
    assert json.loads(mintage("openapi", "--admin").stdout) == DOCUMENT


async def test_each_described_method_is_taken_and_no_other(admin: httpx2.AsyncClient) -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method in ("get", "post", "put", "delete", "patch", "options"):
            answer = await admin.request(method.upper(), path)
            assert (answer.status_code != 405) == (method in operations), (path, method)


def admin_of(stage: Stage) -> AdminSite:
    world = stage.world
    config = replace(world.config, admin=AdminSettings(token=Secret(TOKEN.encode())))
    activity = Activity(world.clock)
    return open_site(
        config,
        world.app.current,
        activity,
        clock=world.clock,
        steady=world.clock,
        random_bytes=lambda number: b"r" * number,
    )


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_no_request_breaks_the_admin_api(
    stage: Stage,
    tokens: tuple[OAuthClient, dict[str, str]],
    path: str,
    method: str,
) -> None:
    client, _ = tokens
    site = admin_of(stage)
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    promises, ids = Promises(DOCUMENT, path), st.sampled_from(["aaaaaaaaaaaaaaaa", "%00", "é"])
    caller = calling(site)

    @settings(
        max_examples=2000 if FULL else 25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(sent=from_description(operation, URL) | wild(client.client_id), name=ids)
    def fuzz(sent: Sent, name: str) -> None:
        at = path.replace("{grant}", name)
        headers: list[tuple[Any, Any]] = [
            (key, value) for key, value in sent.headers if key.lower() != b"authorization"
        ]
        headers.append((b"authorization", f"Bearer {TOKEN}".encode()))
        request = caller.request(
            sent.method, f"{URL}{at}?{sent.query}", content=sent.body, headers=headers
        )
        answer = stage.run(request)
        check(answer, stage.world)
        assert TOKEN not in answer.text
        promises.hold(answer)

    fuzz()
    stage.run(caller.aclose())
    stage.run(site.api.close())
