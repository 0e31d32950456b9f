"""The user's token at the identity provider, for programs that call it on the user's behalf."""

from mintage.errors import AccessDenied, InvalidToken
from mintage.grants.states import Reason, UpstreamTokens
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault


async def upstream_token(opened: OpenGrant, vault: Vault) -> str:
    """A token that is valid for a while. Raises as `fresh_upstream` does."""
    return (await fresh_upstream(opened, vault)).access_token


async def fresh_upstream(opened: OpenGrant, vault: Vault) -> UpstreamTokens:
    """The provider's tokens of a grant, renewed if they were about to expire.

    Raises `AccessDenied` if nobody logged in at the provider for this grant, `InvalidToken` if the
    provider has ended the login, and `UpstreamError` if the provider must be asked and can't be.
    """
    if opened.grant.upstream is None:
        raise _no_tokens(opened)
    outcome = await vault.with_fresh_upstream(opened)
    if isinstance(outcome, Refused):
        raise _has_ended(outcome.reason)
    if outcome.grant.upstream is None:
        raise _no_tokens(opened)
    return outcome.grant.upstream


async def stored_upstream(secret: bytes, vault: Vault) -> UpstreamTokens:
    """The provider's tokens of the grant of *secret*, with the refresh token, from the store.

    Raises `InvalidToken` if the grant has ended meanwhile.
    """
    tokens = await vault.stored_upstream(secret)
    if tokens is None:
        raise _has_ended(Reason.REVOKED)
    return tokens


def _has_ended(reason: Reason) -> InvalidToken:
    return InvalidToken(
        "the login at the identity provider has ended; log in again",
        reason=reason.value,
        stage="upstream",
    )


def _no_tokens(opened: OpenGrant) -> AccessDenied:
    remedy = "log in with a browser"
    if opened.grant.login.identity.machine:
        remedy = "this resource is for users, not for machines"
    return AccessDenied(
        "this needs the user's token at the identity provider, and nobody logged in there for this "
        f"access token: {remedy}",
        reason="the grant has no upstream tokens",
        stage="upstream",
    )
