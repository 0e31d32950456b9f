"""Counts the security events. Labels are words of this program and names in the settings."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

from mintage.endpoints import ENDPOINTS, endpoint_name
from mintage.errors import OAuthError
from mintage.errors.oauth import Stage
from mintage.events.event import Event
from mintage.events.grants import GrantEnded, RenewalRefused, RenewalUnknown, UpstreamRenewed
from mintage.events.logins import LoggedIn, LoginRefused
from mintage.events.requests import RequestRefused
from mintage.events.tokens import TokenExchanged, TokenIssued, TokenRefreshed
from mintage.telemetry.metrics import (
    EVENTS,
    GRANTS_ENDED,
    LOGINS,
    REFUSALS,
    RENEWALS,
    TOKENS,
    Metric,
)
from mintage.telemetry.steps import Meter
from mintage.web.current_request import ADMIN, RESOURCE

OTHER: Final = "other"


def _codes(of: type[OAuthError]) -> Iterator[str]:
    yield of.code
    for more in of.__subclasses__():
        yield from _codes(more)


_STAGES: Final = frozenset(get_args(Stage))
_ENDPOINTS: Final = frozenset(
    {RESOURCE, ADMIN, "none", ".well-known", *(one.name for one in ENDPOINTS)}
)


class SecurityCounters:
    """A listener of the security events, which it counts with *meter*."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._codes = frozenset(_codes(OAuthError))

    def __call__(self, event: Event) -> None:
        self._meter.add(EVENTS, 1, event.action)
        if isinstance(event, RequestRefused):
            self._refused(event)
        elif (counted := _COUNTED.get(type(event))) is not None:
            metric, labels = counted(event)
            self._meter.add(metric, 1, *labels)

    def _refused(self, event: RequestRefused) -> None:
        endpoint = _one_of(_ENDPOINTS, endpoint_name(event.endpoint))
        stage, code = _one_of(_STAGES, event.stage), _one_of(self._codes, event.code)
        self._meter.add(REFUSALS, 1, endpoint, stage, code)


def _one_of(words: frozenset[str], word: str) -> str:
    return word if word in words else OTHER


def _provider(event: Event) -> str:
    return event.party.provider or ""


_COUNTED: Final[Mapping[type[Event], Callable[[Any], tuple[Metric, tuple[str, ...]]]]] = {
    LoggedIn: lambda event: (LOGINS, (_provider(event), "admitted", "")),
    LoginRefused: lambda event: (
        LOGINS,
        (_provider(event), "refused", _one_of(_STAGES, event.stage)),
    ),
    TokenIssued: lambda event: (TOKENS, (event.grant_type,)),
    TokenRefreshed: lambda _: (TOKENS, ("refresh_token",)),
    TokenExchanged: lambda _: (TOKENS, ("token_exchange",)),
    UpstreamRenewed: lambda event: (RENEWALS, (_provider(event), "renewed")),
    RenewalRefused: lambda event: (RENEWALS, (_provider(event), "refused")),
    RenewalUnknown: lambda event: (RENEWALS, (_provider(event), event.reason)),
    GrantEnded: lambda event: (GRANTS_ENDED, (event.by,)),
}
"""Event → what to count, and the labels."""
