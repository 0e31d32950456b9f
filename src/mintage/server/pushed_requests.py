"""Pushed authorization requests (RFC 9126): a ``request_uri`` that is the request, encrypted.

Nothing is stored when a client pushes. The ``request_uri`` decrypts only for its client and its
issuer, and until it expires. It is used up when a user has come back from the provider with it:
that callback claims its id in place of the login's state (see `LoginLeg`). So a person may reload
the consent page, and a stranger causes no write.
"""

import hashlib
import zlib
from typing import Final

import msgspec

from mintage.crypto.sealing import BoxKey
from mintage.errors import ContentTooLarge, InvalidRequestUri, SealError
from mintage.partly_shown import PartlyShown
from mintage.server.login_errors import PushedRequestExpired
from mintage.server.requests import Pushed
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import RandomBytes
from mintage.web.forms import Form

PREFIX: Final = "urn:ietf:params:oauth:request_uri:"
MAX_URI: Final = 4096  # characters: an address of 8 KiB still has room for a long client_id
_MAX_PLAIN: Final = 64 * 1024  # as long as a form may be
_ID_BYTES: Final = 16
# How the client proved itself is no part of the request, and client_id comes with the request_uri.
_NOT_KEPT: Final = frozenset(
    {"client_assertion", "client_assertion_type", "client_id", "client_secret"}
)


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    expires_at: int
    packed: bytes


_sealed: msgspec.msgpack.Decoder[_Sealed] = msgspec.msgpack.Decoder(_Sealed)
_forms: msgspec.msgpack.Decoder[dict[str, tuple[str, ...]]] = msgspec.msgpack.Decoder(
    dict[str, tuple[str, ...]]
)


class PushedSeal(PartlyShown, frozen=True):
    """*keys*: the first encrypts, all decrypt. *issuer*: this server's own."""

    not_shown = ("keys",)

    keys: tuple[BoxKey, ...]
    issuer: str
    random_bytes: RandomBytes

    def seal(self, form: Form, *, client_id: str, expires_at: int) -> str:
        """The ``request_uri`` of the request *form* of a client, until *expires_at*.

        Raises `ContentTooLarge` for a request that does not fit into an address.
        """
        kept = {name: values for name, values in form.items() if name not in _NOT_KEPT}
        plain = msgspec.msgpack.encode(kept)
        value = _Sealed(self.random_bytes(_ID_BYTES), expires_at, _packed(plain))
        text = seal_text(
            value, keys=self.keys, context=self._context(client_id), random_bytes=self.random_bytes
        )
        if len(PREFIX) + len(text) > MAX_URI:
            raise ContentTooLarge("the request is too long: shorten state or redirect_uri")
        return PREFIX + text

    def open(self, request_uri: str, *, client_id: str, now: int) -> tuple[Form, Pushed]:
        """The parameters of a pushed request, and its id.

        Raises `InvalidRequestUri` for anything but a ``request_uri`` of this server, for this
        client; and `PushedRequestExpired`.
        """
        text = request_uri.removeprefix(PREFIX)
        try:
            if len(request_uri) > MAX_URI or text == request_uri:
                raise SealError("it is no request_uri of this server")
            found = open_text(text, _sealed, keys=self.keys, context=self._context(client_id))
            form = _forms.decode(_unpacked(found.packed))
        except (SealError, msgspec.DecodeError, zlib.error) as error:
            raise InvalidRequestUri(
                "request_uri must be one that this server gave to this client; push the request "
                "again",
                reason=f"request_uri does not open: {error}",
            ) from None
        if now >= found.expires_at:
            raise PushedRequestExpired(
                "this request_uri has expired; push the request again",
                reason="request_uri expired",
            )
        return form, Pushed(found.id, found.expires_at)

    def _context(self, client_id: str) -> bytes:
        # Of fixed length, so that no client_id can be taken for the end of another issuer.
        client = hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).digest()
        return b"pushed request\0" + client + self.issuer.encode()


def _packed(plain: bytes) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15)
    return deflate.compress(plain) + deflate.flush()


def _unpacked(packed: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15).decompress(packed, _MAX_PLAIN)
