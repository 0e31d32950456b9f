"""What each security event is in the words of ECS, the Elastic Common Schema 8. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

Outcome: TypeAlias = Literal["success", "failure", "unknown"]


class Category(msgspec.Struct, frozen=True):
    """``event.category``, ``event.type`` and ``event.outcome``."""

    category: str
    type: str
    outcome: Outcome = "success"


CATEGORIES: Final[Mapping[str, Category]] = {
    "login": Category("authentication", "start"),
    "login_refused": Category("authentication", "start", "failure"),
    "consent_given": Category("iam", "change"),
    "consent_denied": Category("iam", "change", "failure"),
    "consent_remembered": Category("iam", "creation"),
    "consent_forgotten": Category("iam", "deletion"),
    "session_ended": Category("session", "end"),
    "client_registered": Category("iam", "creation"),
    "client_first_seen": Category("iam", "info"),
    "client_denied": Category("iam", "admin"),
    "token_issued": Category("session", "start"),
    "token_refreshed": Category("session", "info"),
    "token_exchanged": Category("session", "info"),
    "token_exchange_refused": Category("session", "info", "failure"),
    "token_delegated": Category("session", "info"),
    "upstream_token_given": Category("session", "access"),
    "token_reused": Category("intrusion_detection", "denied", "failure"),
    "assertion_replayed": Category("intrusion_detection", "denied", "failure"),
    "grant_ended": Category("session", "end"),
    "upstream_renewed": Category("session", "info"),
    "upstream_refused": Category("session", "info", "failure"),
    "upstream_unknown": Category("session", "info", "unknown"),
    "request_refused": Category("api", "denied", "failure"),
    "settings_loaded": Category("configuration", "info"),
    "settings_refused": Category("configuration", "change", "failure"),
    "keys_changed": Category("configuration", "change"),
    "admin_action": Category("iam", "admin"),
}
"""By the `action` of each event."""

OTHER: Final = Category("iam", "info")
