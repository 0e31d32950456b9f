"""The short way to read a target finds what the parser of URLs finds."""

import urllib.parse

import httptools
from hypothesis import given
from hypothesis import strategies as st

from mintage.serving.request_targets import read_target

_CHARS = st.sampled_from(list(b"abcA0-._~%2F5c/?#;:@&=+$,![]*'()\"<>|^{}"))


@given(rest=st.lists(_CHARS, max_size=30).map(bytes))
def test_it_reads_what_the_parser_of_urls_reads(rest: bytes) -> None:
    target = b"/" + rest
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return
    path = urllib.parse.unquote(parsed.path.decode())
    assert read_target(target) == (path, parsed.path, parsed.query or b"")


def test_a_target_with_a_scheme_has_a_path_too() -> None:
    """RFC 9112 §3.2.2: proxies get such targets, and servers must read them."""
    assert read_target(b"http://x.example/a%20b?c") == ("/a b", b"/a%20b", b"c")
