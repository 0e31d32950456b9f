"""Device codes (RFC 8628 §3.2): the secret of a grant to come, encrypted for one client.

So a code that was guessed, changed, or given to another client is refused without a look into the
store, and so is one that has expired.
"""

import hashlib
from typing import Final

import msgspec

from mintage.crypto.sealing import BoxKey
from mintage.errors import SealError
from mintage.grants.handles import SECRET_BYTES
from mintage.partly_shown import PartlyShown
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import RandomBytes

_MAX_CODE: Final = 200


class DeviceCode(msgspec.Struct, frozen=True, array_like=True):
    """*secret*: of the grant that an approval makes. *expires_at*: in seconds since the epoch."""

    secret: bytes
    expires_at: int

    def __repr__(self) -> str:
        return f"DeviceCode(…, {self.expires_at})"


_codes: msgspec.msgpack.Decoder[DeviceCode] = msgspec.msgpack.Decoder(DeviceCode)


class DeviceCodes(PartlyShown, frozen=True):
    """*keys*: the first encrypts, all decrypt. *issuer*: this server's own."""

    not_shown = ("keys",)

    keys: tuple[BoxKey, ...]
    issuer: str
    random_bytes: RandomBytes

    def make(self, *, client_id: str, expires_at: int) -> tuple[bytes, str]:
        """(grant secret, device code) for a client."""
        secret = self.random_bytes(SECRET_BYTES)
        text = seal_text(
            DeviceCode(secret, expires_at),
            keys=self.keys,
            context=self._context(client_id),
            random_bytes=self.random_bytes,
        )
        return secret, text

    def read(self, text: str, *, client_id: str) -> DeviceCode | None:
        """The content of a device code of this client; None for anything else."""
        if len(text) > _MAX_CODE:
            return None
        try:
            return open_text(text, _codes, keys=self.keys, context=self._context(client_id))
        except SealError:
            return None

    def _context(self, client_id: str) -> bytes:
        client = hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).digest()
        return b"device code\0" + client + self.issuer.encode()
