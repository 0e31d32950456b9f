"""The user of a tool's call, as FastMCP represents one."""

from fastmcp.server.auth.auth import AccessToken
from fastmcp.server.dependencies import get_access_token
from pydantic import PrivateAttr

from mintage.integrations.token_of_user import TokenOfUser
from mintage.integrations.user import User


class MintageAccessToken(TokenOfUser, AccessToken):
    """What FastMCP's `get_access_token` returns under a `MintageAuth`.

    It is the same object for all calls with a token whose login has not changed.
    """

    _user: User = PrivateAttr()


def current_user() -> User:
    """The user who called the tool that is running.

    Returns:
        The user.

    Raises:
        RuntimeError: There is no call, or the server has no `MintageAuth`.
    """
    token = get_access_token()
    if not isinstance(token, MintageAccessToken):
        raise RuntimeError(  # noqa: TRY004  (a fault of the application, not of an argument)
            "nobody is logged in here: the server needs FastMCP(auth=MintageAuth(…))"
        )
    return token.user


async def upstream_token() -> str:
    """The access token of the current user at the identity provider, renewed if it is about to end.

    Returns:
        The token.

    Raises:
        InvalidToken: The login has ended at the provider: the user must log in again.
        UpstreamError: The provider can't be asked just now.
        StoreError: The store can't be read just now.
        RuntimeError: There is no call, or the server has no `MintageAuth`.
    """
    return await current_user().upstream_token()
