"""What all security events have, and how they are reported.

An event never has a token, a code, a secret, a cookie or a ``jti``: it goes to logs, metrics and
other machines.
"""

from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias

import msgspec

from mintage.values import ClientId, GrantId


class Subject(msgspec.Struct, frozen=True):
    """A user: the provider's issuer, and the user's identifier there."""

    issuer: str
    subject: str


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an event is about, as far as it is known.

    *resource*: the identifier of the protected resource. *provider*: the identity provider's name
    in the settings. *grant*: the public id of the grant.
    """

    subject: Subject | None = None
    client_id: ClientId | None = None
    resource: str | None = None
    provider: str | None = None
    grant: GrantId | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event comes from.

    *address*: the client's, or the browser's. *reference*: the request's, which error pages and the
    log show. *trace_id*: of the request's ``traceparent``. An event outside of a request has none.
    """

    address: str | None = None
    reference: str | None = None
    trace_id: str | None = None


NOBODY: Final = Party()
NOWHERE: Final = Origin()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The root of all security events. A listener gets one (``running.events.attach``).

    Its ``action`` is its name in records and metrics, as ``login``. It never changes.

    Args:
        party: Whom it is about, as far as it is known: ``subject`` (``issuer``, ``subject``),
            ``client_id``, ``resource``, ``provider``, and ``grant``, the public id of the login.
        origin: Where it comes from: ``address``, ``reference`` (of the request), ``trace_id``. The
            server fills it in.
    """

    action: ClassVar[str]

    party: Party = NOBODY
    origin: Origin = NOWHERE


Emit: TypeAlias = Callable[[Event], None]
"""Takes an event. It returns at once, and never raises."""


def ignore(_: Event) -> None:
    """The `Emit` of a part that nobody listens to."""
