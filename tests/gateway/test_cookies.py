"""Cookies, by their exact octets: what passes to a backend, and what a backend may set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import cookie_parser

from mintage.gateway.headers import to_backend, to_client
from mintage.web.cookie_header import cookie_pairs, only_cookies, set_cookie_name

PLACES = {"asked": "http://b/mcp", "backend": "http://b/mcp", "public": "https://a/mcp"}
BLANKS = [
    b"\xa0",
    b"\x85",
    b"\x1c",
    b"\x1d",
    b"\x1e",
    b"\x1f",
    b"\x0b",
    b"\x0c",
    b"\x00",
    b"\xc2\xa0",
]


def to_the_backend(*cookies: bytes) -> bytes | None:
    sent = to_backend(
        [(b"cookie", cookie) for cookie in cookies],
        identity=[], authorization=None, client_host=None, scheme="https", host="a",
    )  # fmt: skip
    return dict(sent).get(b"cookie")


def set_by(cookie: bytes) -> bool:
    return bool(to_client([(b"set-cookie", cookie)], **PLACES))


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("name", [b"__Host-mintage-browser", b"__Host-session"])
def test_attack_e12_a_name_after_a_blank_of_unicode_is_no_cookie(blank: bytes, name: bytes) -> None:
    """Starlette, Flask and others would strip it, and read a cookie that nobody could set."""
    assert to_the_backend(b"a=b; " + blank + name + b"=evil") == b"a=b"
    assert only_cookies([blank + name + b"=evil; " + name + b"=good"]) == {name.decode(): "good"}
    assert not set_by(blank + name + b"=evil; Path=/")


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_attack_e12_other_parsers_read_what_passes_as_we_do(cookies: list[bytes]) -> None:
    passed = to_the_backend(*cookies)
    if passed is not None:
        names = {name.decode() for name, _ in cookie_pairs([passed])}
        assert set(cookie_parser(passed.decode("latin-1"))) <= names
        assert not any(name.lower().startswith("__host-mintage-") for name in names)


def test_cookies_of_a_backend_pass_as_they_are() -> None:
    assert to_the_backend(b'a="b c"; B=x=y;c=', b"d=\xc3\xa9") == b'a="b c"; B=x=y; c=; d=\xc3\xa9'
    assert to_the_backend(b"__Host-mintage-login-1=x; mintage-browser=y; =z; w") is None


def test_a_name_with_two_values_is_nobodys() -> None:
    assert only_cookies([b"a=1; b=2", b"a=3; b=2"]) == {"b": "2"}


@pytest.mark.parametrize(
    "cookie",
    [b"=__Host-mintage-browser=x", b"__Host-mintage-browser", b"; Path=/", b"", b" =a", b"\t=x",
     b"__Host-mintage-browser=x", b"__HOST-Mintage-browser=x; Path=/", b"  mintage-login-1=x",
     b"a b=x", b"\xa0a=x", b"a\0=x"],
)  # fmt: skip
def test_attack_e17_a_backend_sets_no_cookie_without_a_name_and_none_of_ours(
    cookie: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert not set_by(cookie)
    if set_cookie_name(cookie) is None:
        assert "its name is missing or not ASCII" in caplog.text


@pytest.mark.parametrize("cookie", [b"a=b", b"session=; Max-Age=0", b' x="1"; Path=/'])
def test_a_backend_sets_its_own(cookie: bytes) -> None:
    assert set_by(cookie)
