"""From where a client's requests come, in the form that the operator lets Mintage keep. Pure."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, TypeAlias

KeptAddress: TypeAlias = Literal["off", "network", "full"]
"""Nothing, the network (/24 for IPv4, /48 for IPv6), or the whole address."""


_OF_A_SITE: Final = 64  # bits: one subscriber has at least so many IPv6 addresses


def network_of(address: str | None) -> str:
    """Whom requests from *address* are counted for: an IPv4 address, or an IPv6 network."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return ""  # a Unix socket: all that come through it
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ip_network((IPv6Address(int(parsed)), _OF_A_SITE), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def kept_address(address: str | None, kept: KeptAddress) -> str | None:
    """What is kept of *address*; None for a Unix socket, and for what is no IP address."""
    if address is None or kept == "off":
        return None
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or IPv6Address(int(parsed))  # without a zone
    if kept == "full":
        return str(parsed)
    return str(ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))  # noqa: PLR2004
