"""Where a backend is, as people write it: URLs, Unix sockets, and whom to trust there."""

from pathlib import Path

import pytest

from mintage.errors import ConfigError
from mintage.gateway.trust import trust
from mintage.site.targets import HttpTarget


def parse(text: str) -> HttpTarget:
    return HttpTarget.parse(text, "resource[0].backend")


def test_a_url_is_host_port_and_path() -> None:
    target = parse("http://127.0.0.1:8000/base/")
    assert (target.host, target.port, target.tls, target.socket) == ("127.0.0.1", 8000, False, None)
    assert target.authority == "127.0.0.1:8000"


@pytest.mark.parametrize(("url", "port"), [("http://b", 80), ("https://b", 443)])
def test_a_port_that_is_not_named_is_the_schemes(url: str, port: int) -> None:
    assert (parse(url).port, parse(url).authority) == (port, "b")


def test_an_address_in_brackets_is_connected_to_without_them() -> None:
    target = parse("http://[::1]:8000/")
    assert (target.host, target.authority) == ("::1", "[::1]:8000")


@pytest.mark.parametrize(
    ("text", "socket", "path"),
    [
        ("unix:/run/app.sock", "/run/app.sock", ""),
        ("unix:/run/app.sock:/mcp", "/run/app.sock", "/mcp"),
    ],
)
def test_a_unix_socket_may_have_a_path_behind_it(text: str, socket: str, path: str) -> None:
    target = parse(text)
    assert (target.socket, target.path, target.authority) == (socket, path, "localhost")
    assert target.url == f"http://localhost{path}"


@pytest.mark.parametrize(
    ("base", "rest", "query", "asked"),
    [
        ("http://b", "", b"", b"/"),
        ("http://b/base", "", b"", b"/base"),
        ("http://b/base/", "", b"", b"/base/"),
        ("http://b/base/", "/x%2Dy", b"", b"/base/x%2Dy"),
        ("http://b", "/x", b"q=%2F..&e=", b"/x?q=%2F..&e="),
    ],
)
def test_path_and_query_go_on_as_they_came(
    base: str, rest: str, query: bytes, asked: bytes
) -> None:
    assert parse(base).at(rest, query) == asked


@pytest.mark.parametrize(
    "text",
    [
        "ftp://b", "b:8000", "http://", "http://b:99999", "http://b/?q=1", "http://user@b/",
        "http://b/#f", "http://b/a b", "unix:", "unix:app.sock", "unix:/run/app.sock:mcp",
        "unix:/run/app.sock:/mcp?q", "unix://run/app.sock:/a:b c",
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"resource\[0\].backend"):
        parse(text)


@pytest.mark.parametrize("setting", ["ca", "certificate"])
def test_trust_without_tls_is_a_mistake(setting: str) -> None:
    settings: dict[str, str | None] = {"ca": None, "certificate": None, setting: "x.pem"}
    with pytest.raises(ConfigError, match=f"backend_{setting}: is for backends"):
        trust(parse("http://b"), key="resource[0]", **settings)


@pytest.mark.parametrize("setting", ["ca", "certificate"])
def test_a_file_that_holds_no_certificate_is_named(setting: str, tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.touch()
    settings: dict[str, str | None] = {"ca": None, "certificate": None, setting: str(file)}
    with pytest.raises(ConfigError, match=f"backend_{setting}: .*empty.pem can't be used"):
        trust(parse("https://b"), key="resource[0]", **settings)
