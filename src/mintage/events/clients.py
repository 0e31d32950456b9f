"""Events of clients."""

from typing import ClassVar

from mintage.events.event import Event


class ClientRegistered(Event, frozen=True, kw_only=True):
    """A client registered (RFC 7591). *redirect_hosts*: the hosts that its users may return to."""

    action: ClassVar[str] = "client_registered"

    redirect_hosts: tuple[str, ...] = ()


class ClientFirstSeen(Event, frozen=True, kw_only=True):
    """This process has fetched the metadata document of a client for the first time."""

    action: ClassVar[str] = "client_first_seen"

    redirect_hosts: tuple[str, ...] = ()


class ClientDenied(Event, frozen=True, kw_only=True):
    """An operator denied a client, or admitted it again.

    *name*: what the operator named, a client_id or a host.
    """

    action: ClassVar[str] = "client_denied"

    name: str = ""
    denied: bool = True
