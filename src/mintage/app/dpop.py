"""DPoP by the settings: the proofs that this server accepts, and for where."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mintage.app.lasting import Lasting
from mintage.crypto.derivation import purpose_keys
from mintage.dpop.nonces import Nonces
from mintage.dpop.proofs import Proofs
from mintage.dpop.replays import Replays
from mintage.resource.possession import Possession
from mintage.settings.load import Config


def proofs_of(config: Config) -> Proofs:
    """What a proof must be at the token endpoint and at every resource."""
    nonces = None
    if config.dpop.nonce == "required":
        nonces = Nonces(purpose_keys(config.secrets, "dpop"))
    return Proofs(seconds=config.dpop.proof_seconds, nonces=nonces)


async def possession_of(
    config: Config, proofs: Proofs, lasting: Lasting, stack: AsyncExitStack
) -> Possession:
    """The check of requests to resources. What it remembers outlives a reload."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Replays]:
        yield Replays()

    replays = None
    if config.dpop.replays == "refuse":
        replays = await stack.enter_async_context(lasting.parts.held(("replays",), opened))
    return Possession(proofs, lasting.clock, replays)
