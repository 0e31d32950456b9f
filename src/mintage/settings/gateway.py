"""The section ``[gateway]``: settings for all resources."""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.errors import ConfigError
from mintage.gateway.header_names import claims_something
from mintage.gateway.headers import MAX_GROUP_BYTES
from mintage.gateway.peers import read_networks
from mintage.site.resource import Resource
from mintage.site.targets import External

_SERVE_BROWSERS: Final = ("nginx", "caddy", "traefik")


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gateway]``: settings for all resources."""

    allowed_origins: tuple[str, ...] = ()
    """Origins whose pages may call the resources, besides loopback and this server."""
    let_any_web_page_call: bool = False
    """Accept every origin."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of the proxies in front. Mintage trusts their `X-Forwarded-For` or
    `Forwarded`, and lets them ask at `/verify`.
    """
    forward_auth: Literal["nginx", "traefik", "caddy", "haproxy", "envoy"] | None = None
    """The kind of [the proxy that asks Mintage](how-to/ask-from-another-proxy.md) at `/verify`
    whether a request may pass.
    """
    drop_headers: tuple[str, ...] = ()
    """Further client headers to drop for all backends; `*` at the end matches any ending."""
    max_group_bytes: Annotated[int, Meta(ge=256, le=32 * 1024)] = MAX_GROUP_BYTES
    """The largest length of `X-Forwarded-Groups`. Mintage leaves out groups beyond it, and a header
    says so.
    """
    kept_answer_seconds: Annotated[int, Meta(ge=0, le=15)] = 5
    """For how many seconds at most nginx may [keep an answer](how-to/keep-answers-in-nginx.md) of
    `/verify`; 0 for none.
    """


def check_gateway(section: GatewaySection, resources: tuple[Resource, ...]) -> None:
    """Raises `ConfigError`, which names the key."""
    check_origins(section.allowed_origins, "gateway.allowed_origins")
    _check_proxies(section.trusted_proxies)
    check_header_names(section.drop_headers, "gateway.drop_headers")
    _check_forward_auth(section, resources)
    _check_browsers(section, resources)


def check_header_names(names: tuple[str, ...], key: str) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9-]+\*?", name):
            raise ConfigError(key, "holds names like X-Tenant-Id, or X-Tenant-* for all of a kind")
        if key.endswith("pass_headers") and claims_something(name.rstrip("*").lower().encode()):
            raise ConfigError(key, f"{name} never passes: backends take it for a proxy's word")


def check_origins(origins: tuple[str, ...], key: str) -> None:
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?", origin):
            raise ConfigError(key, "holds origins like https://app.example")


def _check_proxies(proxies: tuple[str, ...]) -> None:
    try:
        read_networks(proxies)
    except ValueError as error:
        raise ConfigError("gateway.trusted_proxies", str(error)) from None


def _check_browsers(section: GatewaySection, resources: tuple[Resource, ...]) -> None:
    """Refuse a resource for browsers where nobody would send them to the login."""
    for number, resource in enumerate(resources):
        if not resource.browser or not isinstance(resource.target, External):
            continue
        if section.forward_auth not in _SERVE_BROWSERS:
            raise ConfigError(
                f"resource[{number}].browser",
                "needs a backend, or gateway.forward_auth = "
                + " or ".join(map(repr, _SERVE_BROWSERS)),
            )


def _check_forward_auth(section: GatewaySection, resources: tuple[Resource, ...]) -> None:
    """Refuse rules that can't be checked because another proxy asks and keeps the body."""
    if section.forward_auth is None:
        return
    for number, resource in enumerate(resources):
        elsewhere = isinstance(resource.target, External)
        if elsewhere and resource.filter_lists:
            raise ConfigError(
                f"resource[{number}].filter_lists",
                "the answers pass another proxy: give the resource a backend",
            )
        trusts = resource.trusts_mcp_headers
        if elsewhere and resource.reads_mcp and section.forward_auth != "envoy" and not trusts:
            raise ConfigError(
                f"resource[{number}].rule",
                f"asks for MCP, and {section.forward_auth} does not send the body: give the "
                "resource a backend, or set backend_compares_mcp_headers_with_the_body = true if "
                "it does",
            )
