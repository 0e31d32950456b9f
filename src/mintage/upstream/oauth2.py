"""Requests to a provider's OAuth endpoints, and what their answers mean. Pure.

Each ``…_request`` builds a value, each ``read_…`` reads one; nothing here sends anything.
"""

import base64
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec

from mintage.errors import (
    UpstreamError,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.grant import UpstreamTokens, s256
from mintage.upstream.preset import AuthMethod
from mintage.upstream.protocol import HttpRequest, HttpResponse, LoginRequest
from mintage.values import Secret

_PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
# What ends a user's login: these words, from a token endpoint, and nothing else. Whatever a
# load balancer or a gateway says in JSON is no word about the login.
_OVER: Final = frozenset(
    {"invalid_grant", "access_denied", "login_required", "interaction_required",
     "consent_required", "account_selection_required"}
)  # fmt: skip
# Our own registration or request is wrong: an operator's work, and no end of a user's login.
_OUR_FAULT: Final = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request",
     "invalid_scope", "invalid_target"}
)  # fmt: skip
_MAX_LIFETIME: Final = 10 * 365 * 86400


class Credentials:
    """How we authenticate to the provider (RFC 6749 §2.3)."""

    def __init__(self, client_id: str, secret: Secret | None, method: AuthMethod) -> None:
        self.client_id = client_id
        self._secret = secret
        self._method = method

    def apply(self, url: str, form: dict[str, str]) -> HttpRequest:
        """A POST of *form* to *url*, authenticated."""
        if self._secret is None:
            return HttpRequest(method="POST", url=url, form=form | {"client_id": self.client_id})
        secret = self._secret.reveal().decode()
        if self._method == "client_secret_post":
            credentials = {"client_id": self.client_id, "client_secret": secret}
            return HttpRequest(method="POST", url=url, form=form | credentials)
        pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}".encode()
        header = {"authorization": "Basic " + base64.b64encode(pair).decode()}
        return HttpRequest(method="POST", url=url, form=form, headers=header)


def authorization_url(
    endpoint: str,
    client_id: str,
    login: LoginRequest,
    scopes: tuple[str, ...],
    extra: dict[str, str],
) -> str:
    """Where to send the browser (RFC 6749 §4.1.1, RFC 7636 §4.3).

    No ``resource`` goes along: strict providers refuse it, and at others it changes whom
    the upstream token is for.
    """
    query = extra | {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": login.redirect_uri,
        "scope": " ".join(scopes),
        "state": login.state,
        "nonce": login.nonce,
        "code_challenge": s256(login.code_verifier),
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def code_request(
    endpoint: str, credentials: Credentials, code: str, login: LoginRequest
) -> HttpRequest:
    """RFC 6749 §4.1.3."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": login.redirect_uri,
        "code_verifier": login.code_verifier,
    }
    return credentials.apply(endpoint, form)


def refresh_request(endpoint: str, credentials: Credentials, refresh_token: str) -> HttpRequest:
    """RFC 6749 §6."""
    return credentials.apply(
        endpoint, {"grant_type": "refresh_token", "refresh_token": refresh_token}
    )


def revocation_request(
    endpoint: str, credentials: Credentials, tokens: UpstreamTokens
) -> HttpRequest:
    """RFC 7009 §2.1: the refresh token, which takes the others along; else the access token."""
    if tokens.refresh_token is not None:
        form = {"token": tokens.refresh_token, "token_type_hint": "refresh_token"}
    else:
        form = {"token": tokens.access_token, "token_type_hint": "access_token"}
    return credentials.apply(endpoint, form)


def read_json(response: HttpResponse) -> dict[str, Any]:
    """The JSON object in *response*. Raises `UpstreamMisbehaved`."""
    try:
        value = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UpstreamMisbehaved(f"an answer ({response.status}) that is not JSON") from None
    if not isinstance(value, dict):
        raise UpstreamMisbehaved(f"an answer ({response.status}) that is not a JSON object")
    return value


def read_tokens(
    response: HttpResponse, *, now: int, before: UpstreamTokens | None = None
) -> tuple[UpstreamTokens, dict[str, Any]]:
    """(tokens, the whole answer) of a token response (RFC 6749 §5.1).

    A refresh token that the answer does not replace is carried over from *before*. Raises
    as `refusal` does, and `UpstreamMisbehaved` for an answer that is none.
    """
    body = read_json(response)
    if response.status != 200:  # noqa: PLR2004
        raise refusal(response.status, body)
    kind = body.get("token_type", "Bearer")  # some leave it out
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise UpstreamMisbehaved("a token that is no bearer token")
    lifetime = _lifetime(body.get("expires_in"))
    tokens = UpstreamTokens(
        access_token=_text(body, "access_token") or _missing("access_token"),
        refresh_token=_text(body, "refresh_token") or (before.refresh_token if before else None),
        expires_at=None if lifetime is None else now + lifetime,
        scope=_text(body, "scope") or (before.scope if before else None),
    )
    return tokens, body


def refusal(status: int, body: dict[str, Any]) -> UpstreamError:
    """What an OAuth error answer means for the login (RFC 6749 §5.2)."""
    error = str(body.get("error"))
    if error in _PASSING:
        return UpstreamUnavailable(error)
    if error in _OUR_FAULT:
        return UpstreamMisbehaved(f"{error}: check client_id, client_secret and scopes")
    if error in _OVER and status in (400, 401):
        return UpstreamRefused(error)
    return UpstreamMisbehaved(f"status {status} without an OAuth error that is known")


def _missing(name: str) -> str:
    raise UpstreamMisbehaved(f"a token response without {name}")


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    # RFC 6749 Appendix A: printable ASCII; a line break here would end up in a header.
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise UpstreamMisbehaved(f"{name} is not a string of printable ASCII characters")
    return value


def _lifetime(value: object) -> int | None:
    """``expires_in``: a number, or as some providers send it, a string of digits."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or value < 0:
        raise UpstreamMisbehaved("expires_in is not a number of seconds")
    return min(value, _MAX_LIFETIME)
