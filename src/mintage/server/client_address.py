"""From where a client's requests come, in the form that the operator lets Mintage keep. Pure."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal, TypeAlias

KeptAddress: TypeAlias = Literal["off", "network", "full"]
"""Nothing, the network (/24 for IPv4, /48 for IPv6), or the whole address."""


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
