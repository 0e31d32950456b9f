"""A login at an identity provider and the way back from it, whatever it is for."""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from mintage.errors import (
    InvalidRequest,
    NotAdmitted,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.grants.admission import AllowRule, admit
from mintage.grants.states import Identity, UpstreamTokens
from mintage.server.cookies import LOGIN_SECONDS
from mintage.server.login_errors import LoginFinished, LoginNotAccepted
from mintage.server.requests import Pushed
from mintage.upstream.protocol import LoginRequest
from mintage.upstream.registry import RegisteredUpstream
from mintage.vault.vault import Vault
from mintage.web.forms import Form, optional

_AFTER_A_PUSH: Final = 2 * LOGIN_SECONDS
"""How long after a ``request_uri`` ends its login may end: the page, and the provider's."""


class LoginInProgress(Protocol):
    """What this browser keeps of a login that it began at *upstream*."""

    @property
    def state(self) -> str: ...
    @property
    def expires_at(self) -> int: ...
    @property
    def upstream(self) -> str: ...


class LoginLeg(msgspec.Struct, frozen=True):
    """Checks what comes back from *upstream*. *allow*: who may log in."""

    upstream: RegisteredUpstream
    vault: Vault
    allow: Sequence[AllowRule]

    async def claim(self, form: Form, login: LoginInProgress, pushed: Pushed | None = None) -> None:
        """Check that the callback *form* is the provider's answer to *login*, and the first one.

        *pushed*: the pushed request of the login, which only one login may finish.
        """
        if login.upstream != self.upstream.name:
            raise InvalidRequest(
                "this login began at another identity provider; go back to the application",
                reason="callback of another identity provider",
            )
        await self.upstream.check_issuer(optional(form, "iss"))
        name, until = hashlib.sha256(login.state.encode()).digest(), login.expires_at
        if pushed is not None:
            name, until = pushed_name(pushed), pushed.expires_at + _AFTER_A_PUSH
        if not await self.vault.single_use.claim(name, expires_at=until):
            raise LoginFinished(
                "this login was finished already; go back to the application",
                reason="callback replayed",
            )

    async def identify(
        self, code: str, wanted: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        """The tokens for the provider's *code*, and who logged in.

        Raises `TurnedAway` for a user whom no rule admits.
        """
        tokens, identity = await self.upstream.redeem(code, wanted, now=now)
        try:
            admit(self.allow, identity)
        except NotAdmitted as refusal:
            raise TurnedAway(tokens, identity, refusal) from refusal
        return tokens, identity


def pushed_name(pushed: Pushed) -> bytes:
    """What is claimed of a pushed request when a login with it is finished."""
    return b"pushed request\0" + pushed.id


class TurnedAway(Exception):
    """No rule admits *identity*, who has got *tokens* from the provider."""

    def __init__(self, tokens: UpstreamTokens, identity: Identity, why: NotAdmitted) -> None:
        super().__init__(str(why))
        self.tokens = tokens
        self.identity = identity


def as_seen_here(error: Exception) -> Exception:
    """The error for the user. If the upstream refuses a code, the user must log in again."""
    if isinstance(error, UpstreamRefused):
        return LoginNotAccepted(
            "the identity provider did not accept this login; try again", reason=str(error)
        )
    return error


def reason_of(error: Exception) -> str:
    """Why a login came to nothing, in a few words that no stranger wrote."""
    match error:
        case UpstreamRefused():
            return "the provider did not accept the code"
        case UpstreamUnavailable():
            return "the provider was not available"
        case UpstreamError():
            return "the provider's answer could not be used"
        case _:
            return "the store was not available"


def name_of(identity: Identity) -> str:
    """How a person recognizes the account, at the provider that they logged in at."""
    names = (identity.claims.get(name) for name in ("email", "preferred_username", "name"))
    return next((name for name in names if isinstance(name, str) and name), identity.subject)
