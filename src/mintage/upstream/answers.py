"""What a provider's answer means: yes, no or unknown. Pure.

Each function reads the answer to one kind of question. *No* is only what the specification of
that answer calls a refusal of this user or token. Everything else that is not a yes is
*unknown*: it says nothing about the user, and ends nothing.

===================== ================================ =======================================
question              yes                              no
===================== ================================ =======================================
code, refresh         200 with an access token         an OAuth error that is about the login
exchange              200 with an access token         an error that is about this request
is a token valid?     200                              401 that says that the token is invalid
introspection         200, ``active: true``            200, ``active: false``
userinfo, profile     200 with an object               (none)
a list                200 with a whole list            (none; who is not in it is decided later)
revocation            200                              (none)
discovery, keys       200 with an object               (none)
===================== ================================ =======================================
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import msgspec

from mintage.errors import (
    UpstreamMisbehaved,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.upstream.preset import Lookup, Quirks
from mintage.upstream.protocol import HttpResponse

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]

MAX_RETRY_AFTER: Final = 3600
_RETRY_AFTER: Final = 5
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_QUOTA: Final = (403, 429)
_WORD: Final = re.compile(r"[a-z_]{1,60}")

_PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
# What ends a user's login: these words, from a token endpoint, and nothing else. Whatever a
# load balancer or a gateway says in JSON says nothing about the login.
_OVER: Final = frozenset(
    {"invalid_grant", "access_denied", "login_required", "interaction_required",
     "consent_required", "account_selection_required"}
)  # fmt: skip
# Mintage's registration or request is wrong. An operator must mend it; no login ends.
_OUR_FAULT: Final = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request",
     "invalid_scope", "invalid_target"}
)  # fmt: skip
_REFUSES_US: Final = frozenset({"invalid_client", "unauthorized_client"})
_NOT_FOR_THIS: Final = frozenset(  # RFC 8693 §2.2.2
    {"invalid_target", "invalid_request", "invalid_grant", "invalid_scope", "access_denied"}
)


class Yes(msgspec.Struct, Generic[T], frozen=True):
    value: T


class No(msgspec.Struct, frozen=True):
    """*reason*: the OAuth error, for the log."""

    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """Nothing is known about the user.

    *why*: the provider is ``away`` for a while; its answer is ``broken``; or it refuses ``us``
    (Mintage), and waiting does not help. *retry_after*: seconds, if the provider said.
    """

    reason: str
    why: Literal["away", "broken", "us"] = "away"
    retry_after: int | None = None


Answer: TypeAlias = Yes[T] | No | Unknown


class Answered(UpstreamUnavailable):
    """The provider is there, though this request fails: no 502, 503 or 504 of a server in front."""


def believed(answer: Answer[T]) -> T:
    """The value of a yes. Raises `UpstreamRefused` for a no, and another error for unknown."""
    match answer:
        case Yes(value):
            return value
        case No(reason):
            raise UpstreamRefused(reason)
        case Unknown(reason, "broken"):
            raise UpstreamMisbehaved(reason)
        case Unknown(reason, "us"):
            raise UpstreamMisconfigured(reason)
        case Unknown(reason, _, retry_after):
            raise UpstreamUnavailable(reason, retry_after=retry_after or _RETRY_AFTER)


def to_a_token_request(response: HttpResponse, quirks: Quirks) -> Answer[Json]:
    """The token endpoint's answer to a code or a refresh token (RFC 6749 §5)."""
    body = _token_body(response, quirks)
    if isinstance(body, Unknown):
        return body
    if response.status == _OK and not (quirks.errors_in_200 and is_error(body)):
        return Yes(body)
    return _oauth_error(response, body, quirks)


def to_an_invented_code(response: HttpResponse, quirks: Quirks) -> Answer[str]:
    """Whether the provider takes our credentials, by its answer to a code that it never gave.

    Yes, with the error: it authenticated us, and refuses the code. No, with the error: it refuses
    us (RFC 6749 §5.2). A provider may look at other things first: then nobody can tell.
    """
    body = _token_body(response, quirks)
    if isinstance(body, Unknown):
        return body
    word = str(body.get("error"))
    error = quirks.error_words.get(word, word)
    if error in _REFUSES_US or response.status == _UNAUTHORIZED:
        return No(error)
    if error == "invalid_grant":
        return Yes(error)
    return Unknown(f"the provider answered {response.status}, {error}", "broken")


def to_an_exchange(response: HttpResponse, quirks: Quirks) -> Answer[Json]:
    """The token endpoint's answer to a token exchange (RFC 8693 §2.2)."""
    body = _token_body(response, quirks)
    if isinstance(body, Unknown):
        return body
    if response.status in quirks.refusal_statuses and body.get("error") in _NOT_FOR_THIS:
        return No(str(body["error"]))
    return to_a_token_request(response, quirks)


def to_does_it_hold(response: HttpResponse, quirks: Quirks, *, now: int) -> Answer[HttpResponse]:
    """Whether an access token is valid, by the answer to a request with it.

    Any server in between may send a 401. It is a no only if it is about the token: with
    ``invalid_token`` (RFC 6750 §3.1), or in the provider's own words for it.
    """
    if response.status == _UNAUTHORIZED and _is_dead(response, quirks):
        return No("invalid_token")
    if response.status != _OK:
        return _unanswered(response, "the check of the token", now=now)
    body = _object(response)
    if body is None and _kind(response) != "application/jwt":
        return _unanswered(response, "the check of the token", now=now)
    if body is not None and quirks.errors_in_200 and is_error(body):
        error = _oauth_error(response, body, quirks)
        if isinstance(error, No):
            return error
        return _unanswered(response, "the check of the token", now=now)
    return Yes(response)


def to_introspection(response: HttpResponse, *, now: int) -> Answer[None]:
    """Whether the token is active (RFC 7662 §2.2). A 401 is about Mintage, not about the token."""
    body = _object(response) if response.status == _OK else None
    if response.status == _UNAUTHORIZED:
        return Unknown("introspection refuses this server's client id or secret", "us")
    active = body.get("active") if isinstance(body, dict) else None
    if not isinstance(active, bool):
        return _unanswered(response, "introspection", now=now)
    return Yes(None) if active else No("inactive")


def to_userinfo(response: HttpResponse, quirks: Quirks, *, now: int) -> Answer[Json]:
    """What a userinfo endpoint says in JSON (OpenID Connect Core §5.3)."""
    body = _object(response) if response.status == _OK else None
    if not isinstance(body, dict) or (quirks.errors_in_200 and is_error(body)):
        return _unanswered(response, "userinfo", now=now)
    return Yes(body)


class Part(msgspec.Struct, frozen=True):
    """*body*: the content. *whole*: False if the provider says that it left something out."""

    body: Any
    whole: bool = True


def to_a_lookup(
    response: HttpResponse, lookup: Lookup, quirks: Quirks, *, now: int
) -> Answer[Part]:
    """What the provider says about a user, or about one page of the user's groups."""
    what = f"the question about {lookup.into or 'the user'}"
    if response.status != _OK:
        return _unanswered(response, what, now=now)
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _unanswered(response, what, now=now)
    fits = isinstance(body, list if lookup.is_list else dict)
    if not fits or (quirks.errors_in_200 and isinstance(body, dict) and is_error(body)):
        return _unanswered(response, what, now=now)
    partial = quirks.partial_header
    told = "" if partial is None else response.headers.get(partial, "")
    return Yes(Part(body, whole="partial" not in told))


def to_a_document(response: HttpResponse, url: str) -> Answer[Json]:
    """A discovery document or a key set."""
    if response.status != _OK:
        return Unknown(f"{url} was answered with {response.status}", "broken")
    body = _object(response)
    if body is None:
        return Unknown(f"{url} is not a JSON object", "broken")
    return Yes(body)


def about_the_status(response: HttpResponse, where: str, *, now: int) -> Unknown | None:
    """What *response* means by its status alone; None if its body has to be read."""
    if response.status >= 500 or response.status == 429:  # noqa: PLR2004
        wait = retry_after(response, now=now)
        return Unknown(f"{where} answered {response.status}", "away", wait)
    if 300 <= response.status < 400:  # noqa: PLR2004
        return Unknown(f"{where} answered with a redirect ({response.status})", "broken")
    return None


def retry_after(response: HttpResponse, *, now: int) -> int | None:
    """How many seconds to wait, as the provider says, within limits. None: it does not say.

    ``Retry-After`` (RFC 9110 §10.2.3), else the time at which an exhausted quota is renewed.
    """
    headers = response.headers
    found = _seconds(headers.get("retry-after", ""), now)
    if found is None and (response.status in _QUOTA or _is_used_up(headers)):
        found = _seconds(headers.get("x-ratelimit-reset-after", ""), now)
        found = _reset(headers, now) if found is None else found
    return None if found is None else max(1, min(found, MAX_RETRY_AFTER))


def is_error(body: Mapping[str, Any]) -> bool:
    """Whether an answer with status 200 is an error all the same."""
    return body.get("ok") is False or body.get("error") not in (None, "")


def _unanswered(response: HttpResponse, what: str, *, now: int) -> Unknown:
    wait = retry_after(response, now=now)
    quota = " (its quota is used up)" if _is_used_up(response.headers) else ""
    shape = "" if response.status != _OK else ", which is no answer to it"
    word = (_object(response) or {}).get("error")
    said = f", {word}" if isinstance(word, str) and _WORD.fullmatch(word) else ""
    return Unknown(f"{what} was answered with {response.status}{said}{shape}{quota}", "away", wait)


def _is_used_up(headers: Mapping[str, str]) -> bool:
    return headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining")) == "0"


def _reset(headers: Mapping[str, str], now: int) -> int | None:
    """The end of a quota's period: GitHub and others give a time, the IETF's draft seconds."""
    at = _seconds(headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", "")), now)
    return at - now if at is not None and at > 10**9 else at


def _seconds(value: str, now: int) -> int | None:
    """A number of seconds, whole or not, or a date (RFC 9110 §5.6.7, or ISO 8601)."""
    whole = value.partition(".")[0]
    if whole.isascii() and whole.isdigit():
        return int(whole[:12])
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(value)
            return int(date.replace(tzinfo=date.tzinfo or UTC).timestamp()) - now
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _is_dead(response: HttpResponse, quirks: Quirks) -> bool:
    if "invalid_token" in response.headers.get("www-authenticate", ""):
        return True
    body = _object(response) or {}
    words = {str(body.get(name)) for name in ("error", "message", "code")}
    return not words.isdisjoint(quirks.dead_token_words | {"invalid_token"})


def _oauth_error(response: HttpResponse, body: Json, quirks: Quirks) -> No | Unknown:
    """What an OAuth error answer means for the login (RFC 6749 §5.2)."""
    word = str(body.get("error"))
    error = quirks.error_words.get(word, word)
    status = response.status
    if error in _PASSING:
        return Unknown(error)
    if not quirks.passing_codes.isdisjoint(_codes(body)):
        return Unknown(f"{error}, with a code that asks to wait")
    # 401 is for a client that is refused (RFC 6749 §5.2), whatever the code; Auth0 uses this one.
    if error in _OUR_FAULT or (error == "access_denied" and status == _UNAUTHORIZED):
        return Unknown(
            f"the provider answered {error}: check client_id, client_secret, auth_method and "
            "scopes of [upstream] against its own settings",
            "us",
        )
    ends = status in quirks.refusal_statuses or (status == _OK and quirks.errors_in_200)
    if error in _OVER and ends:
        return No(error)
    return Unknown(f"status {status} without an OAuth error that is known", "broken")


def _codes(body: Json) -> list[int]:
    """The provider's own numbers of an error, as Microsoft sends them."""
    codes = body.get("error_codes")
    return [code for code in codes if isinstance(code, int)] if isinstance(codes, list) else []


def _token_body(response: HttpResponse, quirks: Quirks) -> Json | Unknown:
    """A token endpoint's answer: JSON, or a form if the provider is known for it."""
    if quirks.form_answers and _kind(response) == "application/x-www-form-urlencoded":
        try:
            return dict(parse_qsl(response.body.decode("ascii"), max_num_fields=50))
        except ValueError:
            return Unknown("an answer that is not a form", "broken")
    body = _object(response)
    if body is None:
        return Unknown(f"an answer ({response.status}) that is not a JSON object", "broken")
    return body


def _kind(response: HttpResponse) -> str:
    """The media type, without its parameters."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _object(response: HttpResponse) -> Json | None:
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return body if isinstance(body, dict) else None
