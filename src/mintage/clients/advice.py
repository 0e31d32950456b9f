"""What a refusal tells the developer of a client about what it registered. Pure."""

from mintage.clients.client import GRANT_TYPES, JWT_BEARER, Client
from mintage.errors import UnauthorizedClient


def check_grant_type(client: Client, name: str) -> None:
    """Raise `UnauthorizedClient` unless *client* may use the grant type *name*.

    The message depends on the kind of client: one that the operator configured can't register.
    """
    if name in client.grant_types:
        return
    if client.vouched:
        raise UnauthorizedClient(
            f"this client may not use the grant type {name}: ask the operator of this server to "
            "add it to the client's entry"
        )
    by_document = client.host is not None
    if name not in GRANT_TYPES and not (by_document and name == JWT_BEARER):
        raise UnauthorizedClient(
            f"the grant type {name} is for clients in the settings of this server: ask its "
            "operator for an entry"
        )
    if by_document:
        raise UnauthorizedClient(
            f"the metadata document of this client does not have the grant type {name}: add it"
        )
    raise UnauthorizedClient(
        f"this client did not register the grant type {name}: register again with it"
    )
