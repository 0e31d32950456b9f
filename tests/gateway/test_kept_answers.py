"""For how long ``/verify`` lets nginx keep an answer, and when it does not."""

import re
from typing import Any

import pytest

from mintage.gateway.forward_auth import ANSWERED
from mintage.gateway.kept_answers import IN_THE_KEY, KEY_HEADER
from tests.gateway.scripted_questions import ask_as_nginx
from tests.support.proxies import KEEPING, block, blocks
from tests.support.raw_backend import access_token
from tests.support.world import World

KEY = " ".join(IN_THE_KEY)


@pytest.fixture
def settings_of() -> dict[str, Any]:
    """More of the settings, for a test that is parametrized with it."""
    return {}


@pytest.fixture
def overrides(settings_of: dict[str, Any]) -> dict[str, Any]:
    common = {"scopes": ["tools"]}
    return {
        "resource": [
            {"path": "/mcp", "credential": "identity", **common},
            {"path": "/quiet", "credential": "none", **common},
            {"path": "/provider", "credential": "upstream", **common},
            {
                "path": "/lent",
                "credential": "upstream",
                "let_the_proxy_keep_tokens_of_the_provider": True,
                **common,
            },
        ],
        "gateway": {"forward_auth": "nginx", "allowed_origins": ["https://app.example"]},
    } | settings_of


async def kept(world: World, path: str = "/mcp", **headers: str) -> int | None:
    """For how many seconds the answer to a question with *headers* may be kept; None: not."""
    token = await access_token(world, path)
    answer = await ask_as_nginx(world, token, path, **({KEY_HEADER: KEY} | headers))
    assert answer.status == 200
    said = answer.headers.get("x-accel-expires")
    if said is None:
        assert answer.headers["cache-control"] == "no-store"
        return None
    # nginx 1.22 keeps nothing if "private" comes first.
    assert list(answer.headers).index("x-accel-expires") < list(answer.headers).index(
        "cache-control"
    )
    assert answer.headers["cache-control"] == f"private, max-age={said}"
    return int(said)


@pytest.mark.parametrize("path", ["/mcp", "/quiet", "/lent"])
async def test_an_answer_holds_while_the_grant_is_fresh(world: World, path: str) -> None:
    """Less a second: nginx counts from the beginning of the one in which the answer came."""
    assert await kept(world, path) == 4


async def test_attack_e13_an_answer_and_the_grant_in_memory_are_together_no_older_than_promised(
    world: World,
) -> None:
    token = await access_token(world)
    said = []
    for _ in range(12):
        answer = await ask_as_nginx(world, token, "/mcp", **{KEY_HEADER: KEY})
        said.append(answer.headers.get("x-accel-expires"))
        world.clock.advance(0.5)
    # 5 s fresh: 5, 4.5, 4 … less a second; below 2 s the grant is read again.
    assert said == ["4", "3", "3", "2", "2", "1", "1", None, "4", "3", "3", "2"]


@pytest.mark.parametrize("headers", [{}, {KEY_HEADER: KEY}])
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/mcp", {"x-forwarded-user"}),
        ("/quiet", set()),
        ("/lent", {"x-forwarded-user", "authorization"}),
    ],
)
async def test_an_answer_for_nginx_has_no_empty_lines(
    world: World, path: str, told: set[str], headers: dict[str, str]
) -> None:
    """nginx reads them for each request. What it does not find, it sends to no backend."""
    answer = await ask_as_nginx(world, await access_token(world, path), path, **headers)
    assert answer.status == 200
    assert set(ANSWERED) & answer.headers.keys() == told
    assert all(answer.headers.values())


async def test_attack_e13_an_answer_ends_before_its_token(world: World) -> None:
    token = await access_token(world)
    world.clock.advance(3600 + 5 - 2.5)
    answer = await ask_as_nginx(world, token, "/mcp", **{KEY_HEADER: KEY})
    assert (answer.status, answer.headers["x-accel-expires"]) == (200, "1")
    world.clock.advance(1)
    answer = await ask_as_nginx(world, token, "/mcp", **{KEY_HEADER: KEY})
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "key",
    ["", "x-original-method", KEY.replace(" origin", ""), f"{KEY} cookie", f"{KEY} ", KEY.upper()],
)
async def test_attack_e13_a_key_that_does_not_hold_all_that_is_judged_keeps_nothing(
    world: World, key: str
) -> None:
    assert await kept(world, **{KEY_HEADER: key}) is None


async def test_attack_e13_a_proxy_that_names_no_key_keeps_nothing(world: World) -> None:
    answer = await ask_as_nginx(world, await access_token(world), "/mcp")
    assert answer.headers["cache-control"] == "no-store"
    assert "x-accel-expires" not in answer.headers


@pytest.mark.parametrize(
    "header", ["cookie", "dpop", "mcp-session-id", "x-new", "content-length", "sec-websocket-key"]
)
async def test_attack_e13_a_question_with_more_than_the_key_holds_is_not_kept(
    world: World, header: str
) -> None:
    assert await kept(world, **{header: "0"}) is None


async def test_attack_e13_a_token_of_the_provider_is_not_kept(world: World) -> None:
    assert await kept(world, "/provider") is None


@pytest.mark.parametrize("scheme", ["DPoP", "dpop"])
async def test_a_proof_of_possession_is_for_one_request(world: World, scheme: str) -> None:
    """RFC 9449 §4.3: the proof names the method and the address."""
    token = await access_token(world)
    answer = await ask_as_nginx(
        world, None, "/mcp", authorization=f"{scheme} {token}", **{KEY_HEADER: KEY}
    )
    assert "x-accel-expires" not in answer.headers


async def test_attack_e13_a_refusal_is_not_kept(world: World) -> None:
    sibling = await access_token(world, "/quiet")
    key = {KEY_HEADER: KEY}
    refused = [
        await ask_as_nginx(world, sibling, "/mcp", **key),
        await ask_as_nginx(world, None, "/mcp", **key),
        await ask_as_nginx(world, await access_token(world), "/mcp//x", **key),
        await ask_as_nginx(
            world, await access_token(world), "/mcp", **key, origin="https://evil.example"
        ),
    ]
    assert [answer.status for answer in refused] == [401, 401, 403, 403]
    for answer in refused:
        assert answer.headers["cache-control"] == "no-store"
        assert "x-accel-expires" not in answer.headers


@pytest.mark.parametrize(
    "settings_of",
    [
        {"gateway": {"forward_auth": "nginx", "kept_answer_seconds": 0}},
        {"gateway": {"forward_auth": "haproxy"}},
        {"limits": {"requests_per_user": 600}},
        {"grants": {"cache_seconds": 2}},
    ],
)
async def test_settings_that_keep_nothing(world: World) -> None:
    assert await kept(world) is None


@pytest.mark.parametrize(
    "settings_of",
    [
        {"gateway": {"forward_auth": "nginx", "kept_answer_seconds": 2}},
        {"gateway": {"forward_auth": "nginx", "kept_answer_seconds": 2},
         "grants": {"cache_seconds": 60}},
    ],
)  # fmt: skip
async def test_a_setting_keeps_answers_for_less(world: World) -> None:
    assert await kept(world) == 2


KEEPING_BLOCKS = [pytest.param(0, id="proxy_cache"), pytest.param(2, id="lua")]


@pytest.mark.parametrize("number", KEEPING_BLOCKS)
def test_the_manuals_key_holds_what_the_judge_sees(number: int) -> None:
    """One list in the code: the configuration can't hold less than Mintage judges."""
    text = blocks("nginx", KEEPING)[number]
    (declared,) = re.findall(r'proxy_set_header X-Answer-Key "([^"]*)";', text)
    assert declared == KEY
    (key,) = re.findall(r'(?:proxy_cache_key|set \$mintage_asked) "([^"]*)";', text)
    assert key.removeprefix(r"$mintage_cache_secret\n").split(r"\n") == [*IN_THE_KEY.values()]
    assert key.startswith("$mintage_cache_secret") == ("proxy_cache_path" in text)
    sent = dict(re.findall(r"proxy_set_header (\S+) (\$\w+);", text))
    del sent["X-Forwarded-For"]  # for the log
    assert {name.lower(): value for name, value in sent.items()} == IN_THE_KEY
    assert "proxy_pass_request_headers off;" in text


@pytest.mark.parametrize("number", KEEPING_BLOCKS)
def test_the_question_is_the_same_whether_answers_are_kept_or_not(number: int) -> None:
    of_both = [
        re.findall(r"proxy_set_header (\S+) (\S+);", part)
        for part in (
            block("nginx").partition("location = /_mintage/verify")[2].partition("    }")[0],
            blocks("nginx", KEEPING)[number],
        )
    ]
    assert set(of_both[0]) == set(of_both[1])


def test_the_script_passes_on_all_that_nginx_reads_of_an_answer() -> None:
    """Otherwise what Mintage says would not reach the backend, or the client."""
    read = re.findall(r"auth_request_set \$(\w+) \$upstream_http_(\w+);", block("nginx"))
    script = block("lua", KEEPING)
    assert re.findall(r'^  (mintage_\w+) = "(\w+)",$', script, re.MULTILINE) == read
    declared = re.findall(r'set \$(mintage_\w+) "";', blocks("nginx", KEEPING)[2])
    assert declared == [name for name, _ in read]
