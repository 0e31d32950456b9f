"""``WWW-Authenticate``: how a resource says what it needs (RFC 6750 §3, RFC 9728 §5.1)."""

from mintage.errors import InsufficientScope, OAuthError
from mintage.site.resource import Resource


def challenge(resource: Resource, metadata_url: str, error: OAuthError | None) -> str:
    """The header's value. *error* is None if there was no token: then it has no error code."""
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
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in attributes.items())
