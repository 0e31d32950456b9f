"""``WWW-Authenticate``: what a resource needs (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1)."""

from typing import Final

from mintage.dpop.keys import ALGORITHMS
from mintage.errors import InsufficientScope, InvalidDpopProof, OAuthError
from mintage.resource.bearer import NeedsProof
from mintage.site.resource import Resource

_ALGS: Final = f'algs="{" ".join(ALGORITHMS)}"'


def challenge(
    resource: Resource, metadata_url: str, error: OAuthError | None, *, dpop: bool = False
) -> str:
    """The header's value. *error* is None if there was no token: then it has no error code.

    *dpop*: whether the request had the scheme ``DPoP``.
    """
    attributes = (
        {}
        if error is None
        else {
            "error": error.code,
            "error_description": error.description,
        }
    )
    needed = error.needed if isinstance(error, InsufficientScope) else resource.scopes
    if needed:
        attributes["scope"] = " ".join(needed)
    attributes["resource_metadata"] = metadata_url
    said = ", ".join(f'{name}="{value}"' for name, value in attributes.items())
    if dpop or resource.dpop_required or isinstance(error, NeedsProof | InvalidDpopProof):
        return f"DPoP {said}, {_ALGS}"
    # Some clients read the first challenge alone, and know no other scheme than Bearer.
    return f"Bearer {said}" if error is not None else f"Bearer {said}, DPoP {_ALGS}"
