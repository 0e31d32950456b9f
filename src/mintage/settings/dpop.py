"""The section ``[dpop]``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.dpop.proofs import DEFAULT_SECONDS, MAX_SECONDS


class DpopSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[dpop]``: the proofs of clients that bind their tokens to a key (RFC 9449).

    A client [binds its tokens](how-to/bind-tokens-to-a-key.md) by sending a proof. There is nothing
    to switch on.
    """

    nonce: Literal["off", "required"] = "off"
    """Whether a proof must have a nonce of this server. Then nobody can make proofs in advance, and
    each client needs one more request to begin with. Nonces are stored nowhere: they follow from
    the root secret and the time.
    """
    proof_seconds: Annotated[int, Meta(ge=1, le=MAX_SECONDS)] = DEFAULT_SECONDS
    """How many seconds the time in a proof (`iat`) may differ from the server's clock."""
    replays: Literal["refuse", "accept"] = "refuse"
    """Whether a resource refuses a proof that it has seen. Each process remembers its own. Set
    `accept` if your proxy asks `/verify` more than once about one request, as nginx does after an
    internal redirect.
    """
