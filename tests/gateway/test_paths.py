"""From a path to its resource, and nowhere else."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import InvalidRequest
from mintage.gateway.paths import route

RESOURCES = {"/mcp": "mcp", "/mcp/deep": "deep", "/files": "files"}


@pytest.mark.parametrize(
    ("path", "target", "rest"),
    [
        (b"/mcp", "mcp", ""),
        (b"/mcp/", "mcp", "/"),
        (b"/mcp/a/b", "mcp", "/a/b"),
        (b"/mcp/deep", "deep", ""),
        (b"/mcp/deep/x", "deep", "/x"),
        (b"/mcp/deeper", "mcp", "/deeper"),
        (b"/files/a%20b/%C3%BC;v=1", "files", "/a%20b/%C3%BC;v=1"),
        (b"/files/...", "files", "/..."),
        (b"/files/.hidden", "files", "/.hidden"),
    ],
)
def test_the_longest_resource_takes_it(path: bytes, target: str, rest: str) -> None:
    match = route(path, RESOURCES)
    assert match is not None
    assert (match.target, match.rest) == (target, rest)


@pytest.mark.parametrize(
    "path", [b"/", b"/mcpx", b"/mc", b"/MCP", b"/mcp;x", b"/x/mcp", b"/%6dcp", b"/mcp%20"]
)
def test_attack_d09_what_only_looks_like_a_resource_is_none(path: bytes) -> None:
    assert route(path, RESOURCES) is None


@pytest.mark.parametrize(
    "path",
    [
        b"", b"mcp", b"*", b"http://evil.example/mcp", b"//mcp", b"/mcp//admin", b"/mcp//",
        b"///", b"/mcp/.", b"/mcp/./x", b"/mcp/..", b"/mcp/../admin", b"/../mcp", b"/./mcp",
        b"/mcp/..%2fadmin", b"/mcp/..%2Fadmin", b"/mcp/%2e%2e/admin", b"/mcp/%2E./admin",
        b"/mcp/.%2e/admin", b"/mcp%2fadmin", b"/mcp/%5c..%5cadmin", b"/mcp\\..\\admin",
        b"/mcp/..\\admin", b"/mcp/%252e%252e/admin", b"/mcp/%252f", b"/mcp/%25", b"/mcp/%00",
        b"/mcp/%0d%0ax:y", b"/mcp/%0a", b"/mcp/%1f", b"/mcp/%7f", b"/mcp/\x00", b"/mcp/\r\n",
        b"/mcp/ x", b"/mcp/%", b"/mcp/%2", b"/mcp/%zz", b"/mcp/%u002e", b"/mcp/\xc3\xbc",
        b"/mcp/\xff", b"/mcp?x", b"/mcp#x", b'/mcp/"', b"/mcp/<x>", b"/mcp/[x]", b"/mcp\n",
        b"/mcp/..;/admin", b"/mcp/..;x=1/admin", b"/mcp/.;/x", b"/mcp/;/x", b"/mcp/..%3b/admin",
        b"/mcp/..%3B/admin", b"/;/mcp", b"/mcp/;..;/x",
    ],
)  # fmt: skip
def test_attack_d09_what_two_servers_could_read_differently_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidRequest):
        route(path, RESOURCES)


@given(st.lists(st.sampled_from(["mcp", "/", ".", "..", ";", "%2e", "%2f", "%5c", "%", "25", "a"])))
def test_attack_d09_what_passes_stays_below_its_backend(pieces: list[str]) -> None:
    try:
        match = route(("/mcp/" + "".join(pieces)).encode(), RESOURCES)
    except InvalidRequest:
        return
    assert match is not None
    read = unquote(unquote(match.rest))
    segments = [segment.partition(";")[0] for segment in read.replace("\\", "/").split("/")]
    assert {".", ".."}.isdisjoint(segments)
    assert "" not in segments[1:-1]
