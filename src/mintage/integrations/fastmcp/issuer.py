"""FastMCP's own proxy, with Mintage's issuer in it."""

from collections.abc import Iterable
from typing import TypeVar

from fastmcp.server.auth.oauth_proxy import OAuthProxy

from mintage.jwt.issuer import JWTIssuer
from mintage.jwt.keyring import KeyRing

_Proxy = TypeVar("_Proxy", bound=OAuthProxy)


def use_mintage_issuer(proxy: _Proxy, *, former_keys: Iterable[bytes] = ()) -> _Proxy:
    """Let FastMCP's ``OAuthProxy`` issue and verify tokens with Mintage's `JWTIssuer`.

    The tokens stay the same, so those from before stay valid.

    Args:
        proxy: The ``OAuthProxy``, or a provider built on it.
        former_keys: HS256 keys whose tokens are still accepted, such as one that came from a client
            secret which you replaced. Each has at least 32 bytes.

    Returns:
        *proxy*, changed.
    """
    theirs, former = proxy.set_mcp_path, list(former_keys)

    def set_mcp_path(mcp_path: str | None) -> None:
        theirs(mcp_path)
        made, key = proxy.jwt_issuer, proxy._jwt_signing_key  # noqa: SLF001
        ring = KeyRing(key, former) if former else KeyRing.of_one(key)
        proxy._jwt_issuer = JWTIssuer(made.issuer, made.audience, ring)  # noqa: SLF001

    proxy.set_mcp_path = set_mcp_path
    return proxy
