"""Passes each event to all who listen."""

import logging
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from mintage.events.event import NOWHERE, Emit, Event, Origin

log = logging.getLogger("mintage.events")


class Listeners(msgspec.Struct):
    """An `Emit`. Without listeners it does nothing.

    *origin*: where an event comes from that happens now. *provider*: the name of the provider of a
    user, for events that do not name it.
    """

    origin: Callable[[], Origin]
    provider: Callable[[str], str | None]
    _listeners: tuple[Emit, ...] = ()

    def attach(self, listener: Emit) -> None:
        """Pass all events to *listener* from now on. It must return at once."""
        self._listeners += (listener,)

    def __call__(self, event: Event) -> None:
        """Pass *event* on, with its origin. A listener that fails stops no request."""
        if not self._listeners:
            return
        party, origin = event.party, event.origin
        if origin is NOWHERE:
            origin = self.origin()
        if party.provider is None and party.subject is not None:
            party = replace(party, provider=self.provider(party.subject.subject))
        event = replace(event, party=party, origin=origin)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on %s", event.action)
