"""Redirect URIs: which may be registered, and which request matches one."""

import re
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.clients.redirects import (
    MAX_LENGTH,
    RedirectUri,
    append_query,
    check_redirect_uri,
    display_host,
    is_loopback,
    matches,
)

GOOD = [
    "https://app.example.com/callback",
    "https://app.example.com",
    "https://app.example.com/cb?tenant=a&x=%2F",
    "https://app.example.com:8443/cb",
    "https://xn--bcher-kva.example/cb",
    "https://192.0.2.7/cb",
    "https://[2001:db8::1]/cb",
    "https://1password.example/cb",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:43117/cb",
    "http://[::1]:43117/cb",
    "http://localhost:6274/oauth/callback",
    "com.example.app:/callback",
    "com.example.app://oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/callback",
]


@pytest.mark.parametrize("uri", GOOD)
def test_what_clients_use_may_be_registered(uri: str) -> None:
    assert matches(RedirectUri(uri), uri)


@pytest.mark.parametrize(
    "uri",
    [
        # who is the host?
        "https://good.example@evil.example/cb",
        "https://user:secret@good.example/cb",
        "https://@good.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "com.example.app://user@host/cb",
        "https://good.example\\@evil.example/cb",
        "https:\\\\evil.example/cb",
        "https://evil.example\\.good.example/cb",
        "https://good.example%2eevil.example/cb",
        "https://good.example%00.evil.example/cb",
        "https:///evil.example/cb",
        "https:evil.example/cb",
        "https:/evil.example/cb",
        "https://",
        "//evil.example/cb",
        "/callback",
        "callback",
        "",
        # which path?
        "https://good.example/cb#fragment",
        "https://good.example/cb#",
        "https://good.example/./cb",
        "https://good.example/a/../cb",
        "https://good.example/a/..",
        "https://good.example/%2e%2e/cb",
        "https://good.example/%2E./cb",
        "https://good.example/.%2e",
        "com.example.app:/../cb",
        "https://good.example//evil.example",
        "https://good.example/a//b",
        "https://good.example/%",
        "https://good.example/%4",
        "https://good.example/%zz",
        # spelling
        "HTTPS://good.example/cb",
        "Https://good.example/cb",
        "https://Good.example/cb",
        "https://bücher.example/cb",
        "https://\uff47ood.example/cb",
        "https://good。example/cb",
        "https://good.example/ü",
        "https://good_host.example/cb",
        "https://good..example/cb",
        "https://.good.example/cb",
        "https://good.example./cb",
        "http://localhost./cb",
        " https://good.example/cb",
        "https://good.example/cb ",
        "https://good.example/c b",
        "https://good.example/cb\n",
        "ht\ttps://good.example/cb",
        "https://good.example/\r\nlocation:x",
        "https://good.example/\x00",
        "https://*.example/cb",
        'https://good.example/"',
        "https://good.example/<x>",
        # port
        "https://good.example:/cb",
        "https://good.example:0/cb",
        "https://good.example:65536/cb",
        "https://good.example:4 3/cb",
        "https://good.example:x/cb",
        "https://good.example:-1/cb",
        "https://good.example:443:443/cb",
        # plain http beyond this machine, and its disguises
        "http://good.example/cb",
        "http://192.168.0.1/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.2/cb",
        "http://0.0.0.0/cb",
        "http://127.1/cb",
        "http://2130706433/cb",
        "http://0x7f000001/cb",
        "http://0177.0.0.1/cb",
        "http://[::]/cb",
        "http://[0:0:0:0:0:0:0:1]/cb",
        "http://[::0001]/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://[::1%25lo]/cb",
        # addresses in another spelling, which a browser would read as the usual one
        "https://127.1/cb",
        "https://2130706433/cb",
        "https://0x7f.0.0.1/cb",
        "https://0x7f000001/cb",
        "https://0177.0.0.1/cb",
        "https://192.0.2.07/cb",
        "https://192.0.2.256/cb",
        "https://1.2.3.4.5/cb",
        "https://good.example.1/cb",
        "https://[0:0:0:0:0:0:0:1]/cb",
        "https://[2001:DB8::1]/cb",
        "https://[::ffff:192.0.2.1]/cb",
        "https://[::ffff:c000:201]/cb",
        "https://[fe80::1%25eth0]/cb",
        "https://[::1/cb",
        "https://::1/cb",
        "https://[::1]x/cb",
        "https://[v1.a]/cb",
        "https://[]/cb",
    ],
)
def test_attack_b05_what_two_readers_could_read_differently_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="a redirect URI"):
        check_redirect_uri(uri)


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("https://good.example/cb", "https://good.example/cb/"),
        ("https://good.example/cb", "https://good.example/cb2"),
        ("https://good.example/cb", "https://good.example/c"),
        ("https://good.example/cb", "https://good.example/cb?x=1"),
        ("https://good.example/cb", "https://good.example/cb?"),
        ("https://good.example/cb", "https://good.example/cb#x"),
        ("https://good.example/cb", "https://good.example/CB"),
        ("https://good.example/cb", "https://good.example/%63b"),
        ("https://good.example/cb", "https://good.example/x/../cb"),
        ("https://good.example/cb", "https://good.example:443/cb"),
        ("https://good.example/cb", "https://good.example:8443/cb"),
        ("https://good.example/cb", "https://good.example.evil.example/cb"),
        ("https://good.example/cb", "https://evilgood.example/cb"),
        ("https://good.example/cb", "https://good.example@evil.example/cb"),
        ("https://good.example/cb", "https://good.example\\@evil.example/cb"),
        ("https://good.example/cb", "https://GOOD.example/cb"),
        ("https://good.example/cb", "http://good.example/cb"),
        ("https://good.example/cb", "https://good.example/cb\n"),
        ("https://127.0.0.1/cb", "https://127.0.0.1:99/cb"),
        ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
        ("http://127.0.0.1/cb", "http://localhost/cb"),
        ("http://127.0.0.1/cb", "http://[::1]/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99/other"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99/cb?x=1"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99/cb\n"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99@evil.example/cb"),
        ("http://127.0.0.1", "http://127.0.0.1.evil.example"),
        ("http://127.0.0.1", "http://127.0.0.1@evil.example"),
        ("http://localhost:99/cb", "http://localhost:98/cb"),
        ("http://localhost:99/cb", "http://localhost/cb"),
        ("http://localhost/cb", "http://127.0.0.1:99/cb"),
        ("http://localhost/cb", "http://localhost:99/cb2"),
        ("http://localhost/cb", "http://localhost:99/cb?a=b"),
        ("http://localhost/cb", "http://localhost:0/cb"),
        ("http://localhost/cb", "http://localhost:/cb"),
        ("http://localhost/cb", "http://localhost:99999/cb"),
        ("http://localhost/cb", "http://localhost:099/cb/"),
        ("http://localhost/cb", "http://localhost:99@evil.example/cb"),
        ("http://localhost/cb", "http://localhost.evil.example:99/cb"),
        ("http://localhost/cb", "http://LOCALHOST:99/cb"),
        ("http://localhost/cb", "https://localhost:99/cb"),
        ("http://localhost", "http://localhost@evil.example"),
        ("https://localhost/cb", "https://localhost:99/cb"),
        ("com.example.app:/cb", "com.example.app:/cb2"),
    ],
)
def test_attack_b05_no_other_address_matches(registered: str, requested: str) -> None:
    assert not matches(RedirectUri(registered), requested)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_spec072_the_port_of_a_loopback_address_may_vary(host: str) -> None:
    with_port, without = f"http://{host}:50000/cb?a=b", f"http://{host}/cb?a=b"
    assert matches(RedirectUri(without), with_port)
    assert matches(RedirectUri(with_port), without)
    assert matches(RedirectUri(with_port), f"http://{host}:1/cb?a=b")


@given(st.integers(1, 65535), st.sampled_from(["", "/", "/cb", "/cb?a=b", "?a=b"]))
def test_localhost_takes_any_port_where_it_was_registered_without_one(port: int, rest: str) -> None:
    """A client that lists no port can only mean the one that is free."""
    without, with_port = f"http://localhost{rest}", f"http://localhost:{port}{rest}"
    assert matches(RedirectUri(without), with_port)
    assert not matches(RedirectUri(with_port), without)
    other = f"http://localhost:{port % 65535 + 1}{rest}"
    assert matches(RedirectUri(without), other)
    assert not matches(RedirectUri(with_port), other)


@pytest.mark.parametrize(
    "scheme",
    [
        "javascript", "JavaScript", "data", "blob", "about", "intent", "ms-msdt", "view-source",
        "vbscript", "file", "filesystem", "ftp", "ws", "wss", "chrome", "chrome-extension",
        "resource", "jar", "mailto", "tel", "sms", "ms-settings", "ms-appinstaller", "search-ms",
        "shell", "ssh", "smb", "ldap", "jdbc", "android-app", "content", "x-apple", "steam",
        "javascript.", ".javascript", "1.example", "com..example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["alert(1)", "//good.example/cb", "/cb", "text/html,x"])
def test_attack_b06_a_dangerous_scheme_is_refused(scheme: str, rest: str) -> None:
    with pytest.raises(ValueError, match="a redirect URI"):
        check_redirect_uri(f"{scheme}:{rest}")


def test_length_has_a_limit() -> None:
    start = "https://good.example/"
    check_redirect_uri(start.ljust(MAX_LENGTH, "a"))
    with pytest.raises(ValueError, match="at most 512"):
        check_redirect_uri(start.ljust(MAX_LENGTH + 1, "a"))


# What hosts, ports and paths are made of, and what confuses their readers.
_PIECES = st.sampled_from(
    [
        "a", "good.example", "evil.example", "127.0.0.1", "localhost", "[::1]", "[", "]", ":",
        ":80", ":443", "@", "/", "//", "\\", "?", "#", ".", "..", "%2e", "%40", "%", "1", "0x7f",
        "0177", "2130706433", "xn--", "xn--bcher-kva", "-", "_", "ü", "。", " ", "\n", "\x00", "::",
    ]
)  # fmt: skip
_URIS = st.builds(
    lambda scheme, pieces: scheme + "".join(pieces),
    st.sampled_from(["https://", "http://", "https:", "http:/", "com.example.app:", ""]),
    st.lists(_PIECES, min_size=1, max_size=6),
)
_LOOPBACK = st.builds(
    lambda host, port, path: f"http://{host}{port}{path}",
    st.sampled_from(["127.0.0.1", "[::1]", "localhost"]),
    st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}")),
    st.sampled_from(["", "/", "/cb", "/cb?a=b", "?a=b"]),
)


def accepted(uri: str) -> bool:
    try:
        check_redirect_uri(uri)
    except ValueError:
        return False
    return True


def whatwg_host(uri: str) -> str:
    """The host as a browser finds it in an http or https URL (WHATWG URL §4.4)."""
    kept = re.sub(r"[\t\n\r]", "", uri.strip("".join(map(chr, range(33)))))
    authority = re.split(r"[/\\?#]", re.sub(r"^https?:[/\\]*", "", kept, flags=re.IGNORECASE))[0]
    return re.sub(r":[0-9]*$", "", authority.rpartition("@")[2]).lower()


@given(_URIS | _LOOPBACK)
def test_attack_b05_all_readers_agree_on_the_host(uri: str) -> None:
    if not accepted(uri) or not uri.startswith("http"):
        return
    host = whatwg_host(uri)
    assert urlsplit(uri).hostname == host.strip("[]")
    assert httpx2.URL(uri).raw_host.decode() == host.strip("[]")
    assert display_host(uri).startswith(host)


@given(_URIS | _LOOPBACK, _URIS | _LOOPBACK)
def test_attack_b05_a_match_never_leads_to_another_host(one: str, other: str) -> None:
    if not accepted(one):
        return
    assert matches(RedirectUri(one), one)
    if matches(RedirectUri(one), other):
        assert matches(RedirectUri(other), one) or one.startswith("http://localhost")
        assert accepted(other)
        assert whatwg_host(one) == whatwg_host(other)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://127.0.0.1:99/cb", True),
        ("http://[::1]/cb", True),
        ("http://[::1]:99/cb", True),
        ("http://localhost/cb", True),
        ("https://localhost:99/cb", True),
        ("https://good.example/cb", False),
        ("https://localhost.good.example/cb", False),
        ("com.example.app://localhost/cb", False),
    ],
)
def test_loopback_is_told_from_the_rest(uri: str, expected: bool) -> None:  # noqa: FBT001
    assert is_loopback(uri) is expected


def test_a_person_reads_where_it_leads() -> None:
    assert display_host("https://good.example:8443/cb") == "good.example:8443"
    assert display_host("com.example.app:/cb") == "com.example.app:"


def test_spec071_a_query_is_kept_and_added_to() -> None:
    assert append_query("https://a.example/cb", {"code": "a b&c"}) == (
        "https://a.example/cb?code=a+b%26c"
    )
    assert append_query("https://a.example/cb?x=1", {"iss": "i"}) == (
        "https://a.example/cb?x=1&iss=i"
    )
