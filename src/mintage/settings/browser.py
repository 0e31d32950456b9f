"""The section ``[browser]``, and what ``browser = true`` needs of a resource."""

from typing import Annotated

import msgspec
from msgspec import Meta

from mintage.errors import ConfigError
from mintage.grants.browser_sessions import DEFAULT_IDLE, DEFAULT_LIFETIME
from mintage.settings.gateway import check_origins
from mintage.settings.resource_section import ResourceSection

_Seconds = Annotated[int, Meta(ge=60, le=90 * 86400)]


class BrowserSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[browser]``: how long a browser's session lasts.

    [Login before a web site](how-to/put-login-before-a-web-site.md) has more.
    """

    idle: _Seconds = DEFAULT_IDLE
    """Seconds without a request after which a browser's session ends."""
    lifetime: _Seconds = DEFAULT_LIFETIME
    """Seconds from the login after which a browser's session ends; at most
    `grants.session_lifetime`.
    """


def check_browser(section: ResourceSection, key: str) -> None:
    """Raises `ConfigError`, which names the setting below *key*."""
    if not section.browser:
        for name in ("browser_scopes", "browser_origins"):
            if getattr(section, name):
                raise ConfigError(f"{key}.{name}", "goes with browser = true")
        return
    if section.command is not None:
        raise ConfigError(f"{key}.browser", "a command has no pages: give the resource a backend")
    if not set(section.browser_scopes) <= set(section.optional_scopes):
        raise ConfigError(f"{key}.browser_scopes", "holds a scope that is not in optional_scopes")
    check_origins(section.browser_origins, f"{key}.browser_origins")
