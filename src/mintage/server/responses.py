"""Responses of the authorization endpoint: where the browser goes next, and with what."""

from mintage.clients.redirects import append_query
from mintage.errors import OAuthError
from mintage.server.requests import AuthorizationRequest


def code_redirect(request: AuthorizationRequest, code: str, *, issuer: str) -> str:
    """The client's address with its code (RFC 6749 §4.1.2, RFC 9207 §2)."""
    return append_query(request.redirect_uri, _answer({"code": code}, request.state, issuer))


def error_redirect(redirect_uri: str, state: str | None, error: OAuthError, *, issuer: str) -> str:
    """The client's address with a refusal (RFC 6749 §4.1.2.1, RFC 9207 §2).

    Use it only for an address that was checked to be this client's own.
    """
    refusal = {"error": error.code, "error_description": error.description}
    return append_query(redirect_uri, _answer(refusal, state, issuer))


def _answer(answer: dict[str, str], state: str | None, issuer: str) -> dict[str, str]:
    return answer | ({} if state is None else {"state": state}) | {"iss": issuer}
