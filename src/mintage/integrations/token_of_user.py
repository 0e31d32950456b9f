"""The access token of a user, as FastMCP and the MCP SDK pass one to a tool: pydantic models."""

from typing import Self

from mintage.integrations.user import User


class TokenOfUser:
    """Makes of a framework's ``AccessToken`` one that has its user. It comes first of the bases."""

    _user: User

    @classmethod
    def of(cls, token: str, user: User) -> Self:
        """Make the token of a user. Code of this package calls it.

        Args:
            token: The text of the access token.
            user: Its user.

        Returns:
            The token.
        """
        members = {"token": token, **user.as_token()}
        made = cls(**members)
        made._user = user
        return made

    @property
    def user(self) -> User:
        """The user of the token."""
        return self._user
