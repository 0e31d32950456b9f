"""Whether a token for a resource must be bound to a key (RFC 9449, RFC 9728 §2). Pure."""

from mintage.errors import InvalidDpopProof
from mintage.site.resource import Resource


def check_bound(resource: Resource, jkt: str | None) -> None:
    """Refuse a token without a key for a *resource* that would not accept it (RFC 9728 §2)."""
    if resource.dpop_required and jkt is None:
        raise InvalidDpopProof(
            f"{resource.identifier} accepts only tokens that are bound to a key: send a DPoP proof",
            reason="no proof for a resource with dpop = required",
        )
