"""Which resource a path is in, for every server that reads it, and however it is mounted."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Match as Routed
from starlette.routing import Mount, Route

from mintage.errors import InvalidRequest
from mintage.integrations.path_interpretations import Places, find, located, public_path

RESOURCES = {"/api": "api", "/api/inner": "inner", "/v1/notes": "notes"}


def scope(raw: str, root_path: str = "") -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "root_path": root_path,
    }


def target(raw: str, root_path: str = "") -> str | None:
    found = find(scope(raw, root_path), RESOURCES)
    return None if found is None else found.target


@pytest.mark.parametrize(
    ("raw", "resource"),
    [
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/x%20y/%C3%BC;v=1", "api"),
        ("/api/inner/x", "inner"),
        ("/v1/notes/1", "notes"),
        ("/", None),
        ("/apis", None),
        ("/v1", None),
        ("/files/api", None),
        ("/files/a%2Fb//c", None),
    ],
)
def test_a_path_is_in_the_longest_resource_that_it_begins_with(
    raw: str, resource: str | None
) -> None:
    assert target(raw) == resource


@pytest.mark.parametrize("raw", ["/%61pi/me", "/a%70%69", "/%61%70%69/inner/x", "/v1/n%6ftes"])
def test_attack_d09_asgi_an_encoded_letter_is_that_letter(raw: str) -> None:
    """The application routes by the decoded path."""
    assert target(raw) == target(unquote(raw)) is not None


@pytest.mark.parametrize(
    "raw",
    [
        "//api/me",
        "/api//me",
        "/x/../api/me",
        "/x/..%2fapi/me",
        "/x/%2e%2e/api/me",
        "/%2561pi/me",
        "/x%2fapi",
        "/x%5capi",
        "/api%2fme",
        "/api%00/me",
        "/api;x=1/me",
        "/x/..;/api/me",
        "/./api",
        "/api/../public",
        "/v1//notes",
    ],
)
def test_attack_d09_asgi_what_could_mean_a_resource_is_refused(raw: str) -> None:
    with pytest.raises(InvalidRequest):
        target(raw)


@pytest.mark.parametrize(
    ("path", "root_path", "resource"),
    [
        ("/sub/v1/notes", "/sub", "notes"),  # mounted, and the settings do not say so
        ("/v1/notes", "/v1", "notes"),  # mounted, and they do
        ("/notes/1", "/v1", "notes"),  # a proxy cut the prefix off
        ("/sub/public", "/sub", None),
        ("/sub/api/inner", "/sub/", "inner"),
        ("/subapi", "/sub", None),
    ],
)
def test_attack_d09_asgi_a_prefix_opens_nothing(
    path: str, root_path: str, resource: str | None
) -> None:
    assert target(path, root_path) == resource


def test_the_public_path_has_the_prefix_that_a_proxy_cut_off() -> None:
    assert public_path(scope("/notes", "/v1")) == "/v1/notes"
    assert public_path(scope("/v1/notes", "/v1")) == "/v1/notes"
    cut = scope("/a%20b", "/v1")
    assert located(cut)["raw_path"] == b"/v1/a%20b"
    whole = scope("/v1/notes", "/v1")
    assert located(whole) is whole


async def nothing() -> None:
    """An endpoint that no test calls."""


ROUTER = Starlette(
    routes=[
        Route("/api/{rest:path}", nothing),
        Mount("/v1", routes=[Route("/notes/{rest:path}", nothing)]),
    ]
).router

PIECES = st.sampled_from(
    [
        "/",
        "//",
        "api",
        "%61pi",
        "v1",
        "notes",
        "n%6ftes",
        "..",
        ".",
        "%2e",
        "%2f",
        "%5c",
        "%252f",
        ";",
        "%3b",
        "x",
        "%00",
        "%25",
        "%C3%A9",
    ]
)


@given(st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces)))
def test_attack_d09_asgi_whatever_the_router_takes_for_the_resource_is_one(raw: str) -> None:
    asked = scope(raw)
    routed = any(route.matches(asked)[0] is Routed.FULL for route in ROUTER.routes[:1]) or (
        _in_mount(asked)
    )
    try:
        found = find(asked, RESOURCES)
    except InvalidRequest:
        return
    assert found is not None or not routed


def _in_mount(asked: dict[str, Any]) -> bool:
    mount = ROUTER.routes[1]
    assert isinstance(mount, Mount)
    match, below = mount.matches(asked)
    if match is Routed.NONE:
        return False
    return mount.routes[0].matches({**asked, **below})[0] is Routed.FULL


PARTS = st.sampled_from(["/api", "/inner", "/v1", "/notes", "%2f", "%61pi", "//", "/..", ";", "/x"])


@given(
    st.lists(st.lists(PARTS, min_size=1, max_size=4).map("".join), min_size=1, max_size=8),
    st.sampled_from(["", "/api", "/app"]),
)
def test_a_path_that_was_read_before_is_read_the_same(paths: list[str], root_path: str) -> None:
    """And none rides on the reading of another: what differs in any byte is read for itself."""
    places = Places(RESOURCES)
    for raw in [*paths, *reversed(paths)]:
        for root in (root_path, ""):
            assert _outcome(places.find, scope(raw, root)) == _outcome(_read_anew, scope(raw, root))


def _read_anew(scope: dict[str, Any]) -> object:
    return find(scope, RESOURCES)


def _outcome(read: Callable[[dict[str, Any]], object], scope: dict[str, Any]) -> object:
    try:
        return read(scope)
    except InvalidRequest as error:
        return error.advice
