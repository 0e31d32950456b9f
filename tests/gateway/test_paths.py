"""From a path to its resource, and nowhere else."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import InvalidRequest
from mintage.gateway.paths import AMBIGUITIES, nothing_ambiguous, route

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
        (b"/%6d%63p/%61%7e%c3%bc", "mcp", "/a~%C3%BC"),
        (b"/mcp/%64eep/x", "deep", "/x"),
        (b"/files/a%3ab%2b", "files", "/a%3Ab%2B"),
    ],
)
def test_the_longest_resource_takes_it(path: bytes, target: str, rest: str) -> None:
    match = route(path, RESOURCES)
    assert match is not None
    assert (match.target, match.rest) == (target, rest)


@pytest.mark.parametrize(
    "path", [b"/", b"/mcpx", b"/mc", b"/MCP", b"/mcp;x", b"/x/mcp", b"/mcp%20"]
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
        b"/mcp/%c0%ae%c0%ae/x", b"/mcp/%c0%af", b"/mcp/%e0%80%af", b"/mcp/%ff", b"/mcp/%ed%a0%80",
        b"/mcp/%ef%bc%8e%ef%bc%8e/x", b"/mcp/%e2%80%a5/x", b"/mcp/%20..%20/x", b"/mcp/%2e%3f/x",
    ],
)  # fmt: skip
def test_attack_d09_what_two_servers_could_read_differently_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidRequest):
        route(path, RESOURCES)


def everything(_: str) -> tuple[str, ...]:
    return AMBIGUITIES


NESTED = {"": "site", "/admin": "admin", "/files": "files", "/files/keys": "keys"}


@pytest.mark.parametrize(
    "path",
    [
        b"/%61dmin", b"/%61%64%6d%69%6e", b"/admin%3Fx", b"/admin%3fx", b"/admin%23", b"/admin;x",
        b"/admin%3Bx", b"/ADMIN", b"/Admin/x", b"/admin%2F", b"/admin%2fx", b"//admin",
        b"/admin%20", b"/%20admin", b"/admin.", b"/admin%5Cx", b"/files%2fkeys", b"/files//keys",
        b"/files;v=1/keys", b"/files/%6Beys", b"/files/x%2f..%2fkeys", b"/./admin", b"/x/../admin",
        b"/%2e/admin", b"/x/%2E%2e/admin", b"/x/..%3b/admin", b"/%c0%ae/admin", b"/%2561dmin",
        b"/%ef%bd%81dmin", b"/%ef%bc%8fadmin", b"/files%ef%bc%8fkeys", b"/files/keys%00",
    ],
)  # fmt: skip
def test_attack_e02_no_spelling_of_a_nested_path_is_read_as_the_path_around_it(
    path: bytes,
) -> None:
    """It is the nested resource, or it is refused: also where the outer one allows everything."""
    for allowed in (nothing_ambiguous, everything):
        try:
            match = route(path, NESTED, allowed)
        except InvalidRequest:
            continue
        assert match is not None
        assert match.target in ("admin", "keys")


@pytest.mark.parametrize(
    ("path", "ambiguity", "rest"),
    [
        (b"/files/a%2fb", "encoded-slash", "/a%2Fb"),
        (b"/files/a//b//", "empty-segment", "/a//b//"),
        (b"/files/100%25", "encoded-percent", "/100%25"),
        (b"/files/a[0]{x}|^", "unencoded-characters", "/a%5B0%5D%7Bx%7D%7C%5E"),
    ],
)
def test_what_could_be_two_things_passes_only_where_it_is_allowed(
    path: bytes, ambiguity: str, rest: str
) -> None:
    with pytest.raises(InvalidRequest, match=ambiguity):
        route(path, RESOURCES)
    match = route(path, RESOURCES, lambda _: {ambiguity})
    assert match is not None
    assert match.rest == rest


@pytest.mark.parametrize("path", [b"/files//x", b"/files//", b"/files/%2fx", b"/files//keys"])
def test_attack_e02_nothing_empty_stands_right_behind_a_nested_resource(path: bytes) -> None:
    """A router whose pattern is "/files/<path>" takes such a path for the outer resource's."""
    inner = {"/files": "files"}
    with pytest.raises(InvalidRequest, match="another resource"):
        route(path, inner | {"": "site"}, everything)
    match = route(path, inner, everything)
    assert match is not None  # nothing is around it


@pytest.mark.parametrize("path", [b"/files%2Fa", b"/%2Ffiles/a", b"/[files]/a", b"//files"])
def test_attack_e02_above_and_in_a_resources_own_path_nothing_is_allowed(path: bytes) -> None:
    with pytest.raises(InvalidRequest):
        route(path, RESOURCES, everything)


@given(st.text(alphabet="/mcpdefils.;%2fF53b6D[]", max_size=20), st.booleans())
def test_attack_e02_the_canonical_path_reads_as_itself(text: str, lenient: bool) -> None:  # noqa: FBT001
    allowed = everything if lenient else nothing_ambiguous
    try:
        first = route(f"/files/{text}".encode(), RESOURCES, allowed)
    except InvalidRequest:
        return
    assert first is not None
    assert route(f"/files{first.rest}".encode(), RESOURCES, allowed) == first


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
