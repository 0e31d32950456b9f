"""Who is at the other end of a connection, and whether to trust what it says about the client.

A proxy knows the client's address. What it says in ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239)
counts if the operator trusts the proxy. From any other peer it is ignored.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec

from mintage.gateway.headers import RawHeaders

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

_PAIR: Final = re.compile(
    r"""[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)=
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[!#$%&'*+.^_`|~0-9A-Za-z-]+))
        [ \t]*(?P<end>[;,]|$)""",
    re.VERBOSE,
)
_NODE: Final = re.compile(
    r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::[\w.-]+)?|(?P<four>[0-9.]+)(?::[\w.-]+)?"
)


class Peers(msgspec.Struct, frozen=True):
    """The addresses of the proxies that are *trusted*.

    A Unix socket has no address (None), and is trusted: its file's mode says who may open it.
    """

    trusted: tuple[Network, ...] = ()

    def client_of(self, peer: str | None, headers: RawHeaders) -> str | None:
        """The address of the client of a request that *peer* sent.

        It reads the forwarded addresses from right to left and returns the first one that is not a
        trusted proxy. If both headers are there and differ, one of them went through a proxy that
        did not know it: then neither counts.
        """
        if not self.trusts(peer):
            return peer
        found = {self._behind(peer, hops) for hops in _told(headers)}
        return found.pop() if len(found) == 1 else peer

    def trusts(self, peer: str | None) -> bool:
        if peer is None or not self.trusted:
            return peer is None
        address = _address(peer)
        return address is not None and any(address in network for network in self.trusted)

    def _behind(self, peer: str | None, hops: list[str]) -> str | None:
        for hop in reversed(hops):
            address = _address(hop)
            if address is None or not self.trusts(peer):
                break
            peer = str(address)
        return peer


def is_local(peer: str | None) -> bool:
    """Whether *peer* is this machine: loopback, or a Unix socket."""
    address = None if peer is None else _address(peer)
    return peer is None or (address is not None and address.is_loopback)


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ``ValueError`` for a text that is neither an address nor a network."""
    return tuple(ip_network(text) for text in texts)


def _told(headers: RawHeaders) -> Iterable[list[str]]:
    """The hops of each header that names some, the client's first."""
    listed = _joined(headers, b"x-forwarded-for")
    if listed is not None:
        yield [hop.strip(" \t") for hop in listed.split(",")]
    forwarded = _joined(headers, b"forwarded")
    if forwarded is not None:
        yield _forwarded_for(forwarded)


def _joined(headers: RawHeaders, name: bytes) -> str | None:
    values = [value.decode("latin-1") for key, value in headers if key.lower() == name]
    return ",".join(values) if values else None


def _forwarded_for(text: str) -> list[str]:
    """The ``for`` of each element (RFC 7239 §4); none at all if the header is malformed."""
    hops, current, at = [], "", 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return []
        if pair["name"].lower() == "for":
            current = pair["token"] or re.sub(r"\\(.)", r"\1", pair["quoted"] or "")
        at = pair.end()
        if pair["end"] != ";":
            hops.append(current)
            current = ""
    return hops


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    """The IP address in *text*, with or without a port; None for names and for ``unknown``."""
    node = _NODE.fullmatch(text)
    try:
        address = ip_address((node["six"] or node["four"]) if node else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
