"""Which clients an operator has denied: by client id, or by where they send their users. Pure."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from mintage.clients.client import Client
from mintage.clients.documents import is_document_url
from mintage.clients.metadata import check_fetchable
from mintage.clients.redirects import (
    LOOPBACK_HOSTS,
    display_host,
    hosts_of,
    is_app_scheme,
    is_host,
)
from mintage.clients.registration import is_issued_here
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import InvalidRedirectUri, UnauthorizedClient
from mintage.values import ClientId

_LONGEST: Final = 300
_REMEMBERED: Final = 4096
_ANY_BELOW: Final = "*."
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_MAY_BE: Final = (
    "name a client_id that is in use here, a metadata document like https://app.example/c.json, "
    "a host like app.example or *.app.example, or a scheme like cursor:"
)


class ClientIsDenied(UnauthorizedClient):
    """An operator denied this client: ``unauthorized_client`` (RFC 6749 §5.2)."""


def place_name(name: str) -> str:
    """The place that *name* denies, as it is compared: in lower case, without a last dot.

    Raises ``ValueError``, with a sentence, for what covers no client, or those of everybody.
    """
    if is_document_url(name):
        _check_document(name)
        return name
    if is_issued_here(name):
        raise ValueError(f"no secret of this server made the client_id {name}: copy all of it")
    place = name.lower().removesuffix(".")
    host = place.removeprefix(_ANY_BELOW)
    if host in ("::1", *LOOPBACK_HOSTS) or host.rpartition(":")[0] in LOOPBACK_HOSTS:
        raise ValueError(
            f"{name} is the address of every application on users' own machines; deny a client_id"
        )
    if len(place) > _LONGEST or not _is_place(place):
        raise ValueError(_MAY_BE)
    return place


def _check_document(url: str) -> None:
    try:
        check_fetchable(url)
    except ValueError as error:
        raise ValueError(f"{url} can't be a metadata document: {error}; {_MAY_BE}") from None


def _is_place(place: str) -> bool:
    if place.startswith(_ANY_BELOW):
        domain = place.removeprefix(_ANY_BELOW)
        is_address = domain.startswith("[") or domain.rpartition(".")[2].isdigit()
        return is_host(domain) and not is_address
    if place.endswith(":"):
        return is_app_scheme(place[:-1])
    host, port = _split(place)
    return is_host(host) and (not port or (_PORT.fullmatch(port) is not None and int(port) < 2**16))


def _split(host: str) -> tuple[str, str]:
    """*host* without its port, and the port. An IPv6 address has colons of its own."""
    bare, colon, port = host.rpartition(":")
    return (host, "") if not colon or port.endswith("]") else (bare, port)


def _denied(name: str | None) -> ClientIsDenied:
    return ClientIsDenied(
        "the operator of this server has denied this application; ask the operator",
        reason=f"denied as {name}",
    )


@dataclass(slots=True)
class DeniedClients:
    """The denials that this process knows. `update` replaces them.

    *known* finds a client without a request to another server; None if it must be fetched.
    """

    known: Callable[[str], Client | None]
    names: frozenset[str] = frozenset()
    _hosts: frozenset[str] = field(default=frozenset(), init=False)
    _found: BoundedMemory[str, str | None] = field(
        default_factory=lambda: BoundedMemory(_REMEMBERED), init=False, repr=False
    )

    def update(self, names: Collection[str]) -> None:
        """Deny the clients with these *names*, and no others."""
        if frozenset(names) != self.names:
            self.names = frozenset(names)
            self._hosts = frozenset(name.lower() for name in self.names)
            self._found.clear()

    def check(self, client: Client) -> None:
        """Raises `ClientIsDenied`."""
        if self.names and (name := self.name_of(client)) is not None:
            raise _denied(name)

    def check_id(self, client_id: ClientId) -> None:
        """As `check`, for a client that is known by its id alone."""
        if self.covers(client_id):
            raise _denied(self.name_covering(client_id))

    def check_registration(self, client: Client) -> None:
        """Raises `InvalidRedirectUri` (RFC 7591 §3.2.2)."""
        if self.names and (name := self.name_of(client)) is not None:
            raise InvalidRedirectUri(
                "the operator of this server has denied one of these redirect URIs",
                reason=f"denied as {name}",
                stage="client",
            )

    def covers(self, client_id: ClientId) -> bool:
        """Whether the client of a live grant is denied."""
        return bool(self.names) and self.name_covering(client_id) is not None

    def name_covering(self, client_id: ClientId) -> str | None:
        """The name under which the client is denied, as far as it is known without a request."""
        if client_id not in self._found:
            client = self.known(client_id)
            self._found[client_id] = (
                self._first(client_id, _document_host(client_id))
                if client is None
                else self.name_of(client)
            )
        return self._found[client_id]

    def name_of(self, client: Client) -> str | None:
        """The name under which *client* is denied; None if it is not."""
        return self._first(client.client_id, places_of(client))

    def _first(self, client_id: str, hosts: Collection[str]) -> str | None:
        if client_id in self.names:
            return client_id
        found = (name for host in hosts for name in _names_of_host(host) if name in self._hosts)
        return next(found, None)


def places_of(client: Client) -> tuple[str, ...]:
    """The hosts by which *client* can be denied, and the schemes, like ``cursor:``."""
    return (*_document_host(client.client_id), *hosts_of(client.redirect_uris))


def _document_host(client_id: str) -> tuple[str, ...]:
    if not is_document_url(client_id):
        return ()
    return (display_host(client_id),)


def _names_of_host(host: str) -> Iterator[str]:
    """The names that cover *host*: itself, without its port, and ``*.`` with each domain above."""
    host = host.lower()
    yield host
    bare, _ = _split(host)
    if not host.endswith(":"):  # of a scheme nothing is above
        yield bare
    _, *above = bare.split(".")
    for number in range(len(above)):
        yield _ANY_BELOW + ".".join(above[number:])
