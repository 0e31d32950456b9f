"""Clients that a redirect URI identifies, because the response goes to them. Pure."""

from functools import lru_cache
from typing import Final

import msgspec


class KnownClient(msgspec.Struct, frozen=True, kw_only=True):
    """*schemes*: the private-use schemes of its desktop app. *uris*: its redirect URIs on the web.

    A URI that ends with a slash means all URIs below it.
    """

    name: str
    schemes: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


KNOWN_CLIENTS: Final = (
    KnownClient(
        name="ChatGPT",
        uris=(
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "https://chatgpt.com/connector/oauth/",
        ),
    ),
    KnownClient(
        name="Claude",
        schemes=("claude",),
        uris=(
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.com/api/mcp/auth_callback",
        ),
    ),
    KnownClient(name="Cursor", schemes=("cursor",)),
    KnownClient(name="Goose", schemes=("goose",)),
    KnownClient(name="Raycast", schemes=("raycast",)),
    KnownClient(name="VS Code", schemes=("vscode",), uris=("https://vscode.dev/redirect",)),
    KnownClient(
        name="VS Code Insiders",
        schemes=("vscode-insiders",),
        uris=("https://insiders.vscode.dev/redirect",),
    ),
    KnownClient(name="VSCodium", schemes=("vscodium",)),
    KnownClient(name="Warp", schemes=("warp",)),
    KnownClient(name="Windsurf", schemes=("windsurf",)),
    KnownClient(name="Zed", schemes=("zed",)),
)

# RFC 8252 §7.1 wants a private-use scheme to hold a dot, so that it names a domain its app
# controls. These well-known clients chose theirs before that was checked; nothing that
# runs code or opens files is, or may come, among them.
KNOWN_SCHEMES: Final = frozenset(scheme for one in KNOWN_CLIENTS for scheme in one.schemes)


@lru_cache(maxsize=256)
def known_client(redirect_uri: str) -> str | None:
    """The name of the client that gets what is sent to *redirect_uri*, if it is a known one.

    *redirect_uri* passed `mintage.clients.redirects.check_redirect_uri`: it has no dot segments.
    """
    scheme = redirect_uri.partition(":")[0]
    for client in KNOWN_CLIENTS:
        if scheme in client.schemes or any(_is_at(redirect_uri, uri) for uri in client.uris):
            return client.name
    return None


def _is_at(redirect_uri: str, known: str) -> bool:
    if known.endswith("/"):
        return redirect_uri.startswith(known)
    return redirect_uri.partition("?")[0] == known
