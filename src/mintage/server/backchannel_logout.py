"""``/backchannel-logout``: the provider says that a user has logged out there.

OpenID Connect Back-Channel Logout 1.0. The provider's signature is all that proves the request, so
a token is accepted once, on whatever replica.
"""

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import InvalidRequest
from mintage.upstream.id_token import UnknownKid
from mintage.upstream.logout_token import BadLogoutToken, LogoutToken
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import Clock
from mintage.vault.vault import Vault
from mintage.web.edge import NO_STORE, log_reason, read_form
from mintage.web.forms import one


class BackchannelLogout(msgspec.Struct, frozen=True):
    """Ends the logins that a logout token of *upstream* names."""

    upstream: RegisteredUpstream
    vault: Vault
    clock: Clock

    async def __call__(self, request: Request) -> Response:
        """200 once the logins have ended, also if there were none (§2.8).

        A token is claimed after they have ended. So if the store fails, the answer is 503, and the
        provider may send the same token again.
        """
        token = one(await read_form(request), "logout_token")
        try:
            told = await self.upstream.read_logout(token, now=int(self.clock()))
        except (BadLogoutToken, UnknownKid) as error:
            raise InvalidRequest(
                "logout_token must be a new logout token of this provider for this client",
                reason=str(error),
                stage="token",
            ) from None
        claim = self._claim(told)
        if await self.vault.single_use.is_claimed(claim):
            raise _replayed()
        ended = [
            grant.id
            for issuer in self.upstream.upstream.names_of(told.issuer)
            for grant in await self.vault.revocation.end_at_provider(
                issuer, subject=told.subject, sid=told.sid
            )
        ]
        if not await self.vault.single_use.claim(claim, expires_at=told.expires_at):
            raise _replayed()
        log_reason(request, f"the user logged out at {self.upstream.name}: ended {len(ended)}")
        return Response(status_code=200, headers=NO_STORE)

    def _claim(self, told: LogoutToken) -> bytes:
        name = f"logout token\0{self.upstream.name}\0{told.issuer}\0{told.jti}"
        return hashlib.sha256(name.encode()).digest()


def _replayed() -> InvalidRequest:
    return InvalidRequest(
        "this logout_token was used before: send a new one",
        reason="jti replayed",
        stage="token",
    )
