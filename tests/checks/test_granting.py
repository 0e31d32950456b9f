"""``mintage check`` and the grant types, pushed requests and proofs that the settings turn on."""

from pathlib import Path
from typing import Any

import pytest

from mintage.checks.granting import check_granting
from mintage.clients.client import DEVICE_CODE, JWT_BEARER
from mintage.settings.load import parse
from tests.support.client_keys import jwks, key
from tests.support.world import SECRET

CLOSED = {"registration": {"mode": "off"}, "cimd": {"enabled": False}}
BOT = {
    "client_id": "bot",
    "client_secret": "env:SECRET",
    "grant_types": ["client_credentials"],
    "resources": ["/mcp"],
    "scopes": ["tools"],
}
PORTAL = {"client_id": "portal", "redirect_uris": ["https://portal.example/callback"]}
ASSISTANT = {
    "client_id": "assistant",
    "client_secret": "env:SECRET",
    "token_endpoint_auth_method": "client_secret_post",
    "grant_types": [JWT_BEARER],
}
ACME = {"name": "acme", "issuer": "https://acme.example", "purpose": "id_jag", "jwks": jwks(key())}
CI = {
    "name": "ci",
    "issuer": "https://ci.example",
    "purpose": "workload",
    "jwks": jwks(key()),
    "rule": [{"name": "deploy", "claims": {"sub": "deploy"}, "resources": ["/mcp"]}],
}


async def found(directory: Path, **more: Any) -> list[tuple[str, str, str]]:
    data = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp", "scopes": ["tools"]}],
    }
    config = parse(data | more, base=directory, environ={"SECRET": SECRET})
    return [(each.level, each.about, each.found) async for each in check_granting(config)]


async def test_nothing_is_said_of_what_is_off(tmp_path: Path) -> None:
    assert await found(tmp_path) == []


async def test_a_client_that_gets_tokens_for_itself_is_named_with_where_and_how(
    tmp_path: Path,
) -> None:
    on: dict[str, Any] = {"client_credentials": {}}
    assert await found(tmp_path, grant_types=on, client=[PORTAL, BOT]) == [
        (
            "ok",
            "client[1].resources",
            "bot gets tokens for itself at /mcp, with tools, for 900 s (client_secret_basic)",
        )
    ]


async def test_a_scope_that_its_resources_do_not_have_is_a_warning(tmp_path: Path) -> None:
    on: dict[str, Any] = {"client_credentials": {}}
    warned, _ = await found(tmp_path, grant_types=on, client=[BOT | {"scopes": ["tool"]}])
    assert warned == (
        "warning",
        "client[0].scopes",
        "bot may ask for tool, which /mcp does not have: there is tools",
    )


async def test_a_lifetime_is_that_of_tokens_if_it_is_shorter(tmp_path: Path) -> None:
    ((_, _, text),) = await found(
        tmp_path,
        grant_types={"client_credentials": {}},
        client=[BOT],
        tokens={"access_token_lifetime": 300},
    )
    assert "for 300 s" in text


async def test_who_redeems_id_jags_is_named(tmp_path: Path) -> None:
    settings = {
        "grant_types": {"jwt_bearer": {}},
        "trusted_issuer": [ACME, CI],
        "client": [ASSISTANT],
    }
    ((level, about, text),) = await found(tmp_path, **settings, cimd={"enabled": False})
    assert (level, about) == ("ok", "grant_types.jwt_bearer")
    assert text == (
        "the ID-JAGs of acme are for: assistant (client_secret_post); their tokens live for 900 s"
    )
    ((_, _, text),) = await found(tmp_path, **settings)
    assert "assistant (client_secret_post), clients with a metadata document and a key" in text


async def test_workloads_need_no_client(tmp_path: Path) -> None:
    assert await found(tmp_path, grant_types={"jwt_bearer": {}}, trusted_issuer=[CI]) == []


async def test_a_client_that_waits_for_id_jags_of_nobody_is_a_warning(tmp_path: Path) -> None:
    ((level, about, _),) = await found(
        tmp_path, grant_types={"jwt_bearer": {}}, trusted_issuer=[CI], client=[ASSISTANT]
    )
    assert (level, about) == ("warning", "client[0].grant_types")


@pytest.mark.parametrize(
    ("table", "more"),
    [
        ("client_credentials", {"client": [PORTAL]}),
        ("jwt_bearer", CLOSED | {"trusted_issuer": [ACME], "client": [PORTAL]}),
        ("device_code", CLOSED | {"client": [PORTAL]}),
    ],
)
async def test_a_grant_type_for_no_client_is_a_warning(
    table: str, more: dict[str, Any], tmp_path: Path
) -> None:
    ((level, about, text),) = await found(tmp_path, grant_types={table: {}}, **more)
    assert (level, about) == ("warning", f"grant_types.{table}")
    assert "no client may use it" in text


async def test_devices_are_for_clients_that_the_operator_admits(tmp_path: Path) -> None:
    tv = {"client_id": "tv", "grant_types": [DEVICE_CODE]}
    on: dict[str, Any] = {"device_code": {}}
    ((level, _, text),) = await found(tmp_path, **CLOSED, grant_types=on, client=[tv])
    assert (level, text) == ("ok", "devices log in for: tv")
    by_token = {"registration": {"mode": "token", "token": "env:SECRET"}}
    ((level, _, text),) = await found(tmp_path, **CLOSED | by_token, grant_types=on, client=[tv])
    assert (level, text) == ("ok", "devices log in for: tv, clients with the registration token")


async def test_who_must_push_is_named(tmp_path: Path) -> None:
    must = PORTAL | {"require_pushed_authorization_requests": True}
    assert await found(tmp_path, client=[must]) == [
        ("ok", "par", "must push their authorization requests: portal")
    ]
    ((level, about, text),) = await found(tmp_path, client=[must], par={"required": True})
    assert (level, about) == ("ok", "par.required")
    assert text.startswith("all clients must")


async def test_pushed_requests_that_no_client_can_send_are_a_warning(tmp_path: Path) -> None:
    closed: dict[str, Any] = CLOSED | {"par": {"required": True}}
    on: dict[str, Any] = {"client_credentials": {}}
    seen = await found(tmp_path, **closed, client=[BOT], grant_types=on)
    assert [one[:2] for one in seen if one[0] == "warning"] == [("warning", "par.required")]
    ((level, _, _),) = await found(tmp_path, **closed, client=[PORTAL])
    assert level == "ok"


async def test_where_proofs_are_needed_is_named(tmp_path: Path) -> None:
    seen = await found(
        tmp_path,
        resource=[{"path": "/mcp", "scopes": ["tools"]}, {"path": "/pay", "dpop": "required"}],
        client=[PORTAL | {"dpop_bound_access_tokens": True}],
        dpop={"nonce": "required"},
    )
    assert [one[:2] for one in seen] == [
        ("ok", "resource[1].dpop"),
        ("ok", "client[0].dpop_bound_access_tokens"),
        ("ok", "dpop.nonce"),
    ]
    assert "/pay takes only tokens that are bound" in seen[0][2]
