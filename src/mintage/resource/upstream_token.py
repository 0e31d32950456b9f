"""The user's token at the identity provider, for programs that call it on the user's behalf."""

from mintage.errors import InvalidToken
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault


async def upstream_token(opened: OpenGrant, vault: Vault) -> str:
    """A token that is valid for a while. Raises as `fresh_upstream` does."""
    return (await fresh_upstream(opened, vault)).grant.upstream.access_token


async def fresh_upstream(opened: OpenGrant, vault: Vault) -> OpenGrant:
    """The grant with such a token, renewed if it was about to expire.

    Raises `InvalidToken` if the provider has ended the login, and `UpstreamError` if the provider
    must be asked and can't be.
    """
    outcome = await vault.with_fresh_upstream(opened)
    if isinstance(outcome, Refused):
        raise InvalidToken(
            "the login at the identity provider has ended; log in again",
            reason=outcome.reason.value,
            stage="upstream",
        )
    return outcome
