"""What clients publish about themselves: their metadata documents and their keys."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mintage.clients.client import Client
from mintage.clients.documents import MAX_DOCUMENT, parse_document, unusable
from mintage.clients.fetch_cache import Fetch, FetchCache
from mintage.clients.keys import MAX_KEYS, parse_client_keys
from mintage.clients.metadata import check_fetchable
from mintage.clients.policy import AcceptClient, DocumentPolicy
from mintage.clients.redirects import hosts_of
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import (
    BadKeySet,
    FetchFailed,
    FetchRefused,
    InvalidClient,
    TemporarilyUnavailable,
)
from mintage.events.clients import ClientFirstSeen
from mintage.events.event import Emit, Party, ignore
from mintage.values import Clock

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

_MAX_KEYS: Final = 64 * 1024  # bytes of a JWK set
_MAX_SEEN: Final = 10_000  # clients; one that is forgotten is seen for the first time again
_REFETCH_SECONDS: Final = 10  # between two looks for a key that the set does not hold


class Published:
    """Documents that *policy* and *accept*, if given, allow; and the keys of every client."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        policy: DocumentPolicy,
        clock: Clock,
        accept: AcceptClient | None = None,
        emit: Emit = ignore,
    ) -> None:
        self._policy = policy
        self._accept = accept
        self._emit = emit
        self._seen: BoundedMemory[str, None] = BoundedMemory(_MAX_SEEN)
        self._documents = FetchCache(fetch, self._read, limit=MAX_DOCUMENT, size=1000, clock=clock)
        self._keys = FetchCache(fetch, _parse_keys, limit=_MAX_KEYS, size=200, clock=clock)

    async def client(self, url: str) -> Client:
        """The client whose client_id is *url*.

        Raises `InvalidClient`, and `TemporarilyUnavailable` if its host does not answer.
        """
        try:
            check_fetchable(url)
            if not self._policy.permits_url(url):
                raise unusable("this server does not accept its host", reason="refused by policy")
            client = await self._documents.get(url)
        except (ValueError, FetchRefused) as error:
            raise unusable(str(error)) from None
        except FetchFailed as error:
            raise _unavailable("the metadata document of this client_id", error) from None
        if client.jwks_uri is not None and not self._policy.permits_url(client.jwks_uri):
            raise unusable("jwks_uri is on a host that this server does not accept")
        if self._accept is not None and not await self._accept(client):
            raise unusable("this server does not accept it", reason="refused by policy")
        return client

    async def keys(self, client: Client, *, newer: bool = False) -> "KeySet":
        """The public keys of *client*. *newer*: fetch them again, unless that was just done.

        Raises `InvalidClient` if it has none, and `TemporarilyUnavailable` in an outage.
        """
        if client.jwks is not None:
            return _keys_in(client.jwks)
        if client.jwks_uri is None:
            raise InvalidClient("this client registered no keys: register again with jwks")
        if not (client.vouched or self._policy.permits_url(client.jwks_uri)):
            raise InvalidClient(
                "keys are not fetched from the jwks_uri of this client: register again with jwks"
            )
        try:
            return await self._keys.get(
                client.jwks_uri, older_than=_REFETCH_SECONDS if newer else None
            )
        except FetchRefused as error:
            raise InvalidClient(
                f"the jwks_uri of this client can't be used: {error}; correct it"
            ) from None
        except FetchFailed as error:
            raise _unavailable("the jwks_uri of this client", error) from None

    def _read(self, url: str, body: bytes) -> Client:
        client = parse_document(url, body)
        if url not in self._seen:
            self._seen[url] = None
            party = Party(client_id=client.client_id)
            hosts = hosts_of(client.redirect_uris)
            self._emit(ClientFirstSeen(party=party, redirect_hosts=hosts))
        return client

    async def drain(self) -> None:
        """Wait for fetches under way."""
        await self._documents.drain()
        await self._keys.drain()


def _unavailable(what: str, error: FetchFailed) -> TemporarilyUnavailable:
    return TemporarilyUnavailable(
        f"{what} can't be fetched just now: {error}; try again shortly", retry_after=10
    )


def _parse_keys(_: str, body: bytes) -> "KeySet":
    try:
        return parse_client_keys(body)
    except BadKeySet:
        raise FetchRefused(
            f"it is no JWK set of at most {MAX_KEYS} keys with one to sign assertions: RSA of 2048 "
            "to 4096 bits, P-256 or Ed25519"
        ) from None


def _keys_in(jwks: bytes) -> "KeySet":
    """The keys that a client registered, checked by today's rules."""
    try:
        return _registered_keys(jwks)
    except BadKeySet:
        raise InvalidClient(
            f"the jwks of this client can't be used (any more): register again with at most "
            f"{MAX_KEYS} keys, RSA of 2048 to 4096 bits, P-256 or Ed25519"
        ) from None


# A set is in the client_id, so anyone can send it again and again: it is read once.
_registered_keys = lru_cache(maxsize=256)(parse_client_keys)
