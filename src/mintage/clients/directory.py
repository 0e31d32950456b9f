"""Finds the client of a ``client_id``, however it registered."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import msgspec

from mintage.clients.client import Client
from mintage.clients.denied import DeniedClients
from mintage.clients.documents import is_document_url
from mintage.clients.published import Published
from mintage.clients.registration import ClientIds, is_issued_here
from mintage.errors import InvalidClient

KeyIsMissing: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Raises `SecretMissing` for the id of a key that servers on this store use."""


class Directory(msgspec.Struct, frozen=True):
    """Looks up configured clients first, then registered ones, then metadata documents.

    Without *published* a URL is no client_id. *key_is_missing* tells what is known about a key
    under which clients registered and that is not configured here. *denied*: the clients that
    `find` refuses.
    """

    client_ids: ClientIds
    configured: Mapping[str, Client] = msgspec.field(default_factory=dict)
    published: Published | None = None
    key_is_missing: KeyIsMissing | None = None
    denied: DeniedClients | None = None

    def known(self, client_id: str) -> Client | None:
        """The client of that id, if Mintage knows it without a request to another server."""
        return self.configured.get(client_id) or self.client_ids.read(client_id)

    async def find(self, client_id: str) -> Client:
        """The client of that id.

        Raises `InvalidClient`, which makes a client register again; `TemporarilyUnavailable` if the
        id is a URL that does not answer; and `SecretMissing` if it was issued under a secret that
        other servers on this store use and this one lacks. Raises `ClientIsDenied` for a client
        that an operator has denied.
        """
        client = self.known(client_id) or await self._look_up(client_id)
        if self.denied is not None:
            self.denied.check(client)
        return client

    async def _look_up(self, client_id: str) -> Client:
        """The client of an id that is not `known`."""
        if self.published is not None and is_document_url(client_id):
            return await self.published.client(client_id)
        if is_document_url(client_id):
            raise InvalidClient(
                "this server reads no metadata documents, so a URL is no client_id here; register "
                "the application, or ask the operator of this server to configure it"
            )
        named = self.client_ids.unknown_key(client_id)
        if named is not None and self.key_is_missing is not None:
            await self.key_is_missing(named)
        raise InvalidClient(_unknown(client_id))


def _unknown(client_id: str) -> str:
    if is_issued_here(client_id):
        return (
            "this client_id is from before this server's secret was replaced, or from another "
            "server; remove it from the application and register again"
        )
    return "this client_id is not known here; register again"
