"""Requests to a provider's OAuth endpoints, and what their answers mean. Pure.

Each ``…_form`` builds what is sent, each ``read_…`` reads what came; nothing here sends anything.
"""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from mintage.errors import (
    UpstreamError,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.grant import UpstreamTokens, s256
from mintage.upstream.preset import Quirks
from mintage.upstream.protocol import Exchange, HttpResponse, LoginRequest
from mintage.upstream.provider import Provider

BY_THE_BOOK: Final = Quirks()

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


def authorization_url(
    endpoint: str, client_id: str, login: LoginRequest, provider: Provider, *, nonce: bool
) -> str:
    """Where to send the browser (RFC 6749 §4.1.1, RFC 7636 §4.3)."""
    quirks = provider.quirks
    query = dict(quirks.parameters)
    scopes = tuple(dict.fromkeys((*provider.scopes, *login.scopes)))
    if quirks.offline is not None and "offline_access" in scopes:
        scopes = tuple(scope for scope in scopes if scope != "offline_access")
        query |= quirks.offline
    query |= provider.extra
    query |= _asked_of_the_user(login, quirks, query.get("prompt"))
    query |= {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": login.redirect_uri,
        "state": login.state,
    }
    if scopes:
        query[quirks.scope_parameter] = quirks.scope_separator.join(scopes)
    if nonce:
        query["nonce"] = login.nonce
    if quirks.pkce:
        query |= {
            "code_challenge": s256(login.code_verifier),
            "code_challenge_method": "S256",
        }
    query |= _resource(provider)
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def _asked_of_the_user(login: LoginRequest, quirks: Quirks, prompt: str | None) -> dict[str, str]:
    """``prompt``, ``max_age`` and ``login_hint``, as far as the provider knows them (§3.1.2.1).

    *prompt* is what its preset needs in any case. ``none`` stands alone: it forbids the rest.
    """
    # ``consent`` is a question to us, and our own page asks it: sent on, a provider may refuse
    # it (Entra's users without the right to consent), or ask everybody each time.
    wanted = [word for word in (login.prompt or "").split() if word != "consent"]
    if quirks.prompts is not None:
        wanted = [quirks.prompts[word] for word in wanted if word in quirks.prompts]
    words = ["none"] if "none" in wanted else [*wanted, *(prompt or "").split()]
    asked = {"prompt": " ".join(dict.fromkeys(words))} if words else {}
    if login.max_age is not None and quirks.max_age:
        asked["max_age"] = str(login.max_age)
    if login.login_hint is not None and quirks.login_hint is not None:
        asked[quirks.login_hint] = login.login_hint
    return asked


def _resource(provider: Provider) -> dict[str, str]:
    """``resource`` (RFC 8707), only where the operator asked for it.

    Strict providers refuse it, and at others it changes whom the upstream token is for.
    """
    return {} if provider.resource is None else {"resource": provider.resource}


def code_form(code: str, login: LoginRequest, provider: Provider) -> dict[str, str]:
    """RFC 6749 §4.1.3."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": login.redirect_uri,
    }
    if provider.quirks.pkce:
        form["code_verifier"] = login.code_verifier
    return form | _resource(provider)


def refresh_form(refresh_token: str, provider: Provider) -> dict[str, str]:
    """RFC 6749 §6."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return form | _resource(provider)


_NOT_FOR_THIS: Final = frozenset(  # RFC 8693 §2.2.2
    {"invalid_target", "invalid_request", "invalid_grant", "invalid_scope", "access_denied"}
)


def exchange_form(tokens: UpstreamTokens, wanted: Exchange) -> dict[str, str]:
    """RFC 8693 §2.1: the user's access token for one that somebody else takes."""
    access_token = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": tokens.access_token,
        "subject_token_type": access_token,
        "requested_token_type": access_token,
    }
    asked = {"audience": wanted.audience, "resource": wanted.resource, "scope": wanted.scope}
    return form | {name: value for name, value in asked.items() if value is not None}


def revocation_form(tokens: UpstreamTokens) -> dict[str, str]:
    """RFC 7009 §2.1: the refresh token, which takes the others along; else the access token."""
    if tokens.refresh_token is not None:
        return {"token": tokens.refresh_token, "token_type_hint": "refresh_token"}
    return {"token": tokens.access_token, "token_type_hint": "access_token"}


def read_json(response: HttpResponse) -> dict[str, Any]:
    """The JSON object in *response*. Raises `UpstreamMisbehaved`."""
    value = read_any(response)
    if not isinstance(value, dict):
        raise UpstreamMisbehaved(f"an answer ({response.status}) that is not a JSON object")
    return value


def read_any(response: HttpResponse) -> Any:
    """The JSON in *response*, whatever it is. Raises `UpstreamMisbehaved`."""
    try:
        return msgspec.json.decode(response.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UpstreamMisbehaved(f"an answer ({response.status}) that is not JSON") from None


def read_body(response: HttpResponse, quirks: Quirks) -> dict[str, Any]:
    """A token endpoint's answer: JSON, or a form where the provider is known for it."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not quirks.form_answers or kind != "application/x-www-form-urlencoded":
        return read_json(response)
    try:
        pairs = parse_qsl(response.body.decode("ascii"), max_num_fields=50)
    except ValueError:
        raise UpstreamMisbehaved("an answer that is not a form") from None
    return dict(pairs)


def read_tokens(
    response: HttpResponse,
    *,
    now: int,
    quirks: Quirks = BY_THE_BOOK,
    recheck_seconds: int = 0,
    before: UpstreamTokens | None = None,
) -> tuple[UpstreamTokens, dict[str, Any]]:
    """(tokens, the whole answer) of a token response (RFC 6749 §5.1).

    A refresh token that the answer does not replace is carried over from *before*. A token
    without an end is due to be looked at again after *recheck_seconds*, if that is not 0.
    Raises as `refusal` does, and `UpstreamMisbehaved` for an answer that is none.
    """
    body = read_body(response, quirks)
    if response.status != 200 or (quirks.errors_in_200 and is_error(body)):  # noqa: PLR2004
        raise refusal(response.status, body, quirks)
    if quirks.tokens_under in body:
        body = _below(body, quirks.tokens_under)
    kind = body.get("token_type", "Bearer")  # some leave it out
    if not isinstance(kind, str) or kind.lower() not in quirks.token_types:
        raise UpstreamMisbehaved("a token that is no bearer token")
    lifetime = _lifetime(body.get("expires_in"))
    recheck = lifetime is None and recheck_seconds > 0
    if recheck:
        lifetime = recheck_seconds
    scope = _text(body, "scope")
    if scope is not None:
        scope = " ".join(filter(None, scope.split(quirks.answered_separator)))
    tokens = UpstreamTokens(
        access_token=_text(body, "access_token") or _missing("access_token"),
        refresh_token=_text(body, "refresh_token") or (before.refresh_token if before else None),
        expires_at=None if lifetime is None else now + lifetime,
        scope=scope or (before.scope if before else None),
        recheck=recheck,
    )
    return tokens, body


def read_exchanged(
    response: HttpResponse, *, now: int, quirks: Quirks = BY_THE_BOOK
) -> UpstreamTokens:
    """The token of an exchange. Raises `UpstreamRefused` where there is none to be had for it."""
    body = read_body(response, quirks)
    if response.status in quirks.refusal_statuses and body.get("error") in _NOT_FOR_THIS:
        raise UpstreamRefused(str(body["error"]))
    return read_tokens(response, now=now, quirks=quirks)[0]


def is_error(body: dict[str, Any]) -> bool:
    """Whether an answer with status 200 is an error after all."""
    return body.get("ok") is False or "error" in body


def refusal(status: int, body: dict[str, Any], quirks: Quirks = BY_THE_BOOK) -> UpstreamError:
    """What an OAuth error answer means for the login (RFC 6749 §5.2)."""
    word = str(body.get("error"))
    error = quirks.error_words.get(word, word)
    if error in _PASSING:
        return UpstreamUnavailable(error)
    if error in _OUR_FAULT:
        return UpstreamMisbehaved(f"{error}: check client_id, client_secret and scopes")
    if error in _OVER and (
        status in quirks.refusal_statuses or (status == 200 and quirks.errors_in_200)  # noqa: PLR2004
    ):
        return UpstreamRefused(error)
    return UpstreamMisbehaved(f"status {status} without an OAuth error that is known")


def _below(body: dict[str, Any], name: str) -> dict[str, Any]:
    inner = body[name]
    if not isinstance(inner, dict):
        raise UpstreamMisbehaved(f"{name} in a token response is no object")
    return inner


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
