"""Whether the sender of a token holds the key that the token is bound to (RFC 9449 §7)."""

import msgspec

from mintage.dpop.proofs import Proof, Proofs, proof_headers
from mintage.dpop.replays import Replays
from mintage.errors import InvalidDpopProof
from mintage.values import Clock


class Possession(msgspec.Struct, frozen=True):
    """*replays*: the proofs that were used; None if one may come again."""

    proofs: Proofs
    clock: Clock
    replays: Replays | None = None

    def next_nonce(self, proof: Proof) -> str | None:
        """The nonce that the client must use next, unless *proof* has it."""
        if (nonces := self.proofs.nonces) is None:
            return None
        current = nonces.current(self.clock())
        return None if current == proof.nonce else current

    def check(
        self, headers: list[tuple[bytes, bytes]], *, method: str, uri: str, token: str, jkt: str
    ) -> Proof:
        """The proof in *headers* for this request with *token*, which is bound to the key *jkt*.

        Raises `InvalidDpopProof`, which a resource answers with 401 (RFC 9449 §7.1).
        """
        now = self.clock()
        try:
            proof = self.proofs.read(
                proof_headers(headers), method=method, uri=uri, now=now, access_token=token
            )
            if proof.thumbprint != jkt:
                raise InvalidDpopProof(
                    "make the DPoP proof with the key that the token is bound to"
                )
            if self.replays is not None and not self.replays.is_first(proof, now=now):
                raise InvalidDpopProof(
                    "this DPoP proof was used before: make one for each request",
                    reason="a proof was replayed",
                )
        except InvalidDpopProof as error:
            error.status = 401
            raise
        return proof
