"""Whose word on the client's address counts."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.gateway.peers import Peers, is_local, read_networks

PEERS = Peers(read_networks(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"]))
PROXY = "10.0.0.1"


def client(*headers: tuple[str, str], peer: str | None = PROXY, peers: Peers = PEERS) -> str | None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return peers.client_of(peer, raw)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("203.0.113.9,192.0.2.7,2001:db8:1::2, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.2, 10.0.0.3", "10.0.0.2"),
    ],
)
def test_a_trusted_proxy_tells_the_client(told: str, believed: str) -> None:
    assert client(("x-forwarded-for", told)) == believed


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.2, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("unknown", PROXY),
        ("203.0.113.9, unknown", PROXY),
        ("203.0.113.9, _hidden, 10.0.0.2", "10.0.0.2"),
        ("", PROXY),
        (",", PROXY),
        ("203.0.113.9,", PROXY),
        ("203.0.113", PROXY),
        ("127.0.0.1\x00", PROXY),
        ("evil.example", PROXY),
    ],
)
def test_attack_d08_what_the_client_wrote_itself_does_not_count(told: str, believed: str) -> None:
    assert client(("x-forwarded-for", told)) == believed


def test_several_lines_are_one_list() -> None:
    lines = [("X-Forwarded-For", "127.0.0.1"), ("x-forwarded-for", "203.0.113.9")]
    assert client(*lines) == "203.0.113.9"


@pytest.mark.parametrize(
    "told",
    [
        "for=203.0.113.9",
        'For="203.0.113.9:4711";proto=https;host="a, b"',
        "for=127.0.0.1, for=203.0.113.9;by=10.0.0.1",
        'proto=http;for=203.0.113.9 , for="10.0.0.2" ; proto=https',
        'for="203.0.113\\.9"',
    ],
)
def test_forwarded_tells_as_much(told: str) -> None:
    """RFC 7239 §4: elements with pairs in them, tokens or quoted strings."""
    assert client(("forwarded", told)) == "203.0.113.9"


@pytest.mark.parametrize("told", ['for="[2001:db8::9]"', 'for="[2001:db8::9]:4711"'])
def test_forwarded_tells_of_ipv6(told: str) -> None:
    assert client(("forwarded", told)) == "2001:db8::9"


@pytest.mark.parametrize(
    "told",
    [
        'for="203.0.113.9', "for=203.0.113.9 x", "for = 203.0.113.9", "203.0.113.9", "for=",
        "for=unknown", "for=_a", "proto=https", "for=[2001:db8::9]", 'for="203.0.113.9"x',
        "for=203.0.113.9, proto=https",
    ],
)  # fmt: skip
def test_attack_d08_a_malformed_forwarded_tells_nothing(told: str) -> None:
    assert client(("forwarded", told)) == PROXY


def test_attack_d08_a_header_that_the_proxy_let_through_does_not_count() -> None:
    """A proxy sets one of them; the other may be the client's. Nobody knows which."""
    same = client(("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9"))
    other = client(("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.8"))
    assert (same, other) == ("203.0.113.9", PROXY)


@pytest.mark.parametrize("peer", ["203.0.113.1", "127.0.0.1", "::1", "11.0.0.1", "192.0.2.8"])
def test_attack_d08_a_stranger_tells_nothing(peer: str) -> None:
    headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")]
    assert client(*headers, peer=peer) == peer
    assert client(*headers, peer=peer, peers=Peers()) == peer


def test_a_unix_socket_is_opened_by_whom_its_mode_allows() -> None:
    assert client(("x-forwarded-for", "203.0.113.9"), peer=None, peers=Peers()) == "203.0.113.9"
    assert client(peer=None) is None


def test_a_proxy_that_says_nothing_is_the_client() -> None:
    assert client() == PROXY


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_this_machine(peer: str | None) -> None:
    assert is_local(peer)


@pytest.mark.parametrize("peer", ["10.0.0.1", "::2", "128.0.0.1", "localhost", ""])
def test_attack_d08_another_machine(peer: str) -> None:
    assert not is_local(peer)


ADDRESSES = st.ip_addresses().filter(lambda address: not PEERS.trusts(str(address)))
PROXIES = st.lists(st.sampled_from(["10.0.0.2", "192.0.2.7", "2001:db8:1::5"]))


@given(st.text(st.characters(codec="latin-1", exclude_characters="\n\r")), ADDRESSES, PROXIES)
def test_attack_d08_no_prefix_changes_who_it_was(
    prefix: str, true: IPv4Address | IPv6Address, proxies: list[str]
) -> None:
    """Whatever a client sends, each proxy adds to its right whom it sees."""
    told = ", ".join([prefix, str(true), *proxies])
    believed = client(("x-forwarded-for", told))
    assert believed == str(getattr(true, "ipv4_mapped", None) or true)
