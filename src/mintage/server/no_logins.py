"""``/authorize`` of a server without an identity provider: it says that nobody logs in here."""

from typing import Never

import msgspec
from starlette.requests import Request

from mintage.errors import UnsupportedResponseType
from mintage.web.edge import check_get


class NobodyLogsIn(msgspec.Struct, frozen=True):
    """Refuses each authorization request. *grant_types*: those of the token endpoint."""

    grant_types: tuple[str, ...]

    async def __call__(self, request: Request) -> Never:
        """Raises `UnsupportedResponseType`: RFC 6749 §3.1.1 has no code that fits better."""
        check_get(request)
        raise UnsupportedResponseType(
            "nobody logs in at this server: get a token at its token endpoint, with "
            + " or ".join(self.grant_types)
        )
