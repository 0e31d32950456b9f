"""Converts the vault's reasons to the few words that a client may read."""

from typing import assert_never

from mintage.errors import InvalidDpopProof, InvalidGrant, InvalidScope, InvalidTarget, OAuthError
from mintage.grants.states import Reason
from mintage.values import GrantId


def token_error(reason: Reason, grant: GrantId | None = None) -> OAuthError:
    """A refused code or refresh token of *grant* (RFC 6749 §5.2, RFC 8707 §2.2)."""
    why = reason.value
    if reason is Reason.UNKNOWN:
        grant = None  # no other line of the log has it
    match reason:
        case Reason.WRONG_RESOURCE:
            return InvalidTarget(
                "resource must be one that the user agreed to, or be left out",
                reason=why,
                grant=grant,
            )
        case Reason.SCOPE_WIDENED:
            return InvalidScope(
                "scope may not go beyond what the user agreed to: leave it out, or log in again",
                reason=why,
                grant=grant,
            )
        case Reason.WRONG_REDIRECT_URI:
            return InvalidGrant(
                "redirect_uri must be the one of the authorization request; log in again",
                reason=why,
                grant=grant,
            )
        case Reason.NO_PROOF:
            return InvalidDpopProof(
                "the code or refresh token is bound to a key: send a DPoP proof of that key",
                reason=why,
                grant=grant,
            )
        case Reason.WRONG_KEY:
            return InvalidGrant(
                "the code or refresh token is bound to another key: send a DPoP proof of that one, "
                "or log in again",
                reason=why,
                grant=grant,
            )
        case (
            Reason.UNKNOWN
            | Reason.NOT_ACTIVE
            | Reason.REVOKED
            | Reason.CODE_EXPIRED
            | Reason.CODE_REPLAYED
            | Reason.WRONG_CODE
            | Reason.WRONG_CLIENT
            | Reason.WRONG_VERIFIER
            | Reason.REFRESH_REUSED
            | Reason.CLIENT_REVOKED
            | Reason.UPSTREAM_REFUSED
            | Reason.NOT_ADMITTED
            | Reason.UPSTREAM_EXPIRED
            | Reason.SESSION_OVER
            | Reason.IDLE
            | Reason.ENDED
            | Reason.ASSERTION_REPLAYED
            | Reason.LOGGED_OUT
            | Reason.DENIED
        ):
            # One sentence for all: telling them apart would only help a guesser.
            return InvalidGrant(
                "the code or refresh token is not valid (any more); log in again",
                reason=why,
                grant=grant,
            )
        case _:
            assert_never(reason)
