"""Keeps codes and states in query strings out of other programs' logs. Pure, but for the scope."""

from typing import Final

from starlette.types import Scope

# Names without secrets, and values that help the reader of a log.
_HARMLESS: Final = frozenset(
    {
        b"client_id", b"code_challenge_method", b"error", b"prompt", b"redirect_uri", b"resource",
        b"response_type", b"scope",
    }
)  # fmt: skip
_NAMED: Final = frozenset(
    {
        b"acr_values", b"code", b"code_challenge", b"iss", b"login_hint", b"max_age",
        b"request_uri", b"session_state", b"state", b"user_code",
    }
)  # fmt: skip


def kept_from_logs(scope: Scope) -> Scope:
    """A copy of *scope* for Mintage's endpoints. In *scope* itself codes and states are masked.

    The server that runs the application writes the query of its scope into its access log, after
    the response has begun. It reads the very dictionary that it gave to the application.
    """
    query = scope.get("query_string", b"")
    if not query:
        return scope
    ours = dict(scope)
    scope["query_string"] = shown(query)
    return ours


def shown(query: bytes) -> bytes:
    """*query* with only the values of harmless parameters, and without unknown names."""
    return b"&".join(map(_shown, query.split(b"&")))


def _shown(pair: bytes) -> bytes:
    name, equals, _ = pair.partition(b"=")
    if not equals:
        return b"-"
    if name in _HARMLESS:
        return pair
    return (name if name in _NAMED else b"-") + b"=-"
