"""Ending tokens at the upstream when their grant has ended here (RFC 7009)."""

import logging
from dataclasses import dataclass

from mintage.errors import UpstreamError
from mintage.upstream.protocol import Upstream
from mintage.vault.vault import Refused

log = logging.getLogger("mintage.server")


@dataclass(frozen=True, slots=True)
class Farewell:
    upstream: Upstream

    async def __call__(self, refused: Refused) -> None:
        """Revoke what *refused* leaves behind. The grant is over either way: failing is logged."""
        if refused.ended is None:
            return
        try:
            await self.upstream.revoke(refused.ended)
        except UpstreamError as error:
            log.warning("upstream tokens of an ended grant were not revoked: %s", error)
