"""Login for servers of FastMCP.

::

    auth = MintageAuth(
        issuer="https://notes.example.com",
        upstream={"preset": "github", "client_id": "…", "client_secret": "env:GITHUB_SECRET"},
    )
    mcp = FastMCP("notes", auth=auth)

    @mcp.tool
    async def repositories() -> list[str]:
        return await ask_github(await upstream_token())

Mintage's endpoints answer in the same application, and FastMCP's own authorization server is not
used. To keep FastMCP's ``OAuthProxy`` and only change who issues its tokens, call
`use_mintage_issuer`.
"""

from mintage.extras import extra, needs

with extra("fastmcp"):
    needs("fastmcp")
    from mintage.integrations.fastmcp.auth import MintageAuth
    from mintage.integrations.fastmcp.issuer import use_mintage_issuer
    from mintage.integrations.fastmcp.tokens import (
        MintageAccessToken,
        current_user,
        upstream_token,
    )

__all__ = [
    "MintageAccessToken",
    "MintageAuth",
    "current_user",
    "upstream_token",
    "use_mintage_issuer",
]
