"""Client authentication (RFC 6749 §2.3): the method that was registered, and only that one."""

import base64
import binascii
from urllib.parse import unquote_plus

from mintage.clients.directory import Client, Directory
from mintage.errors import InvalidClient, InvalidRequest
from mintage.forms import Form, one, optional


async def authenticate(form: Form, authorization: str | None, directory: Directory) -> Client:
    """The client that a token, revocation or introspection request comes from.

    *authorization* is the header's value. Raises `InvalidClient`; and `InvalidRequest` where
    two methods are used at once (RFC 6749 §2.3).
    """
    posted = optional(form, "client_secret")
    if authorization is None:
        client = await directory.find(one(form, "client_id"))
        return _check(client, "none" if posted is None else "client_secret_post", posted)
    if posted is not None:
        raise InvalidRequest("use one way of client authentication, not two")
    try:
        client_id, secret = _basic(authorization)
        if optional(form, "client_id") not in (None, client_id):
            raise InvalidClient("client_id differs from the one in the Authorization header")
        return _check(await directory.find(client_id), "client_secret_basic", secret)
    except InvalidClient as error:
        raise InvalidClient(error.advice, reason=error.reason, challenge=True) from None


def _check(client: Client, method: str, secret: str | None) -> Client:
    if method != client.auth_method:
        raise InvalidClient(f"this client registered {client.auth_method} and must use that")
    if secret is not None and not client.secret_matches(secret):
        raise InvalidClient("client authentication failed", reason="wrong client_secret")
    return client


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of ``Basic``: both form-encoded inside (RFC 6749 §2.3.1)."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("the Authorization scheme must be Basic")
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise ValueError("no colon")
        return (
            unquote_plus(client_id, errors="strict"),
            unquote_plus(secret, errors="strict"),
        )
    except (binascii.Error, ValueError):
        raise InvalidClient("the Authorization header is malformed") from None
