"""The consent form's hidden field: the checked request, encrypted."""

from typing import Final

import msgspec

from mintage.crypto.sealing import BoxKey
from mintage.errors import InvalidRequest, SealError
from mintage.partly_shown import PartlyShown
from mintage.server.requests import AuthorizationRequest
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import RandomBytes

_CONTEXT: Final = b"consent form"


class ConsentForm(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was shown, to which browser (a hash of its cookie), and until when it is valid.

    *upstreams*: the names of the providers to choose from. *terms*: what would be remembered for
    each of them; empty if nothing may be.
    """

    request: AuthorizationRequest
    browser: bytes
    expires_at: int
    upstreams: tuple[str, ...]
    terms: tuple[bytes, ...] = ()


_decoder: msgspec.msgpack.Decoder[ConsentForm] = msgspec.msgpack.Decoder(ConsentForm)


class ConsentSeal(PartlyShown, frozen=True):
    not_shown = ("keys",)

    keys: tuple[BoxKey, ...]  # the first seals, all open
    random_bytes: RandomBytes

    def seal(self, form: ConsentForm) -> str:
        return seal_text(form, keys=self.keys, context=_CONTEXT, random_bytes=self.random_bytes)

    def open(self, text: str) -> ConsentForm:
        """The form that `seal` made. Raises `InvalidRequest` for anything else."""
        try:
            return open_text(text, _decoder, keys=self.keys, context=_CONTEXT)
        except SealError:
            raise InvalidRequest(
                "this server did not make this form; go back to the application and log in again",
                stage="consent",
            ) from None
