"""The DPoP proof of a token request or a pushed request: whose key it shows (RFC 9449 §5, §10)."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request

from mintage.clients.client import Client
from mintage.dpop.proofs import Proofs, proof_headers
from mintage.errors import InvalidDpopProof
from mintage.values import Clock
from mintage.web.edge import NO_STORE

NONCE: Final = "dpop-nonce"


class ProofOfKey(msgspec.Struct, frozen=True):
    """Checks proofs for the endpoint at *uri*.

    A proof that comes twice is not refused here. It gives nothing without the code, the refresh
    token or the client's own credential, and what it gives is bound to the same key.
    """

    proofs: Proofs
    uri: str
    clock: Clock

    def jkt(self, request: Request) -> str | None:
        """The thumbprint of the key that *request* proves; None if it has no proof.

        Raises `InvalidDpopProof`.
        """
        values = proof_headers(request.scope["headers"])
        if not values:
            return None
        now = self.clock()
        return self.proofs.read(values, method=request.method, uri=self.uri, now=now).thumbprint

    def jkt_for_token(self, request: Request, client: Client) -> str | None:
        """The same for a token request of *client*, which may have to send one (RFC 9449 §5.2)."""
        jkt = self.jkt(request)
        if jkt is None and client.dpop_bound:
            raise InvalidDpopProof(
                "this client registered dpop_bound_access_tokens: send a DPoP proof",
                reason="no proof of a client with dpop_bound_access_tokens",
            )
        return jkt

    def headers(self, jkt: str | None) -> Mapping[str, str]:
        """Those of a response with tokens. A client with a proof gets the nonce for its next."""
        nonces = self.proofs.nonces
        if nonces is None or jkt is None:
            return NO_STORE
        return {**NO_STORE, NONCE: nonces.current(self.clock())}
