"""Requests to a provider's OAuth endpoints, and the tokens in their answers. Pure.

Each ``…_form`` builds a request. Nothing here sends one.
"""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from mintage.errors import UpstreamMisbehaved
from mintage.grants.pkce import s256
from mintage.grants.states import UpstreamTokens
from mintage.upstream.members import Member, members, number, scopes, text, token
from mintage.upstream.preset import Quirks
from mintage.upstream.protocol import Exchange, LoginParameters, LoginRequest
from mintage.upstream.upstream import Upstream
from mintage.urls import form_encoded

BY_THE_BOOK: Final = Quirks()

_MAX_LIFETIME: Final = 10 * 365 * 86400


def authorization_url(
    endpoint: str, client_id: str, login: LoginRequest, upstream: Upstream, *, nonce: bool
) -> str:
    """Where to send the browser (RFC 6749 §4.1.1, RFC 7636 §4.3).

    *nonce*: whether the provider speaks OpenID Connect, and so knows ``nonce`` and ``ui_locales``.
    """
    quirks = upstream.quirks
    query = dict(quirks.parameters)
    asked = tuple(dict.fromkeys((*upstream.scopes, *login.scopes)))
    if quirks.offline is not None and "offline_access" in asked:
        asked = tuple(scope for scope in asked if scope != "offline_access")
        query |= quirks.offline
    query |= upstream.extra
    query |= _asked_of_the_user(login.parameters, quirks, query.get("prompt"))
    query |= {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": login.redirect_uri,
        "state": login.state,
    }
    if asked:
        query[quirks.scope_parameter] = quirks.scope_separator.join(asked)
    if nonce:
        query["nonce"] = login.nonce
        if login.ui_locales is not None:
            query["ui_locales"] = login.ui_locales
    if quirks.pkce:
        query |= {
            "code_challenge": s256(login.code_verifier),
            "code_challenge_method": "S256",
        }
    query |= _resource(upstream)
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{form_encoded(query)}"


def logout_url(endpoint: str, upstream: Upstream, back: str) -> str:
    """Where the browser logs out (OpenID Connect RP-Initiated Logout §2).

    No id_token is kept that could be a hint: the provider asks the user. *back*: where it sends the
    browser afterwards, if the operator registered that address there.
    """
    query = {"client_id": upstream.client_id}
    if upstream.returns_after_logout:
        query["post_logout_redirect_uri"] = back
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{form_encoded(query)}"


def _asked_of_the_user(
    login: LoginParameters, quirks: Quirks, prompt: str | None
) -> dict[str, str]:
    """``prompt``, ``max_age`` and ``login_hint``, if the provider knows them (§3.1.2.1).

    *prompt* is what its preset always needs. ``none`` excludes the others.
    """
    # ``consent`` is for Mintage, whose own page asks it. A provider that gets it may refuse
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


def _resource(upstream: Upstream) -> dict[str, str]:
    """``resource`` (RFC 8707), only if the operator configured it.

    Strict providers refuse it, and with others it changes the audience of the upstream token.
    """
    return {} if upstream.resource is None else {"resource": upstream.resource}


def code_form(code: str, login: LoginRequest, upstream: Upstream) -> dict[str, str]:
    """RFC 6749 §4.1.3."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": login.redirect_uri,
    }
    if upstream.quirks.pkce:
        form["code_verifier"] = login.code_verifier
    return form | _resource(upstream)


def refresh_form(refresh_token: str, upstream: Upstream) -> dict[str, str]:
    """RFC 6749 §6."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return form | _resource(upstream)


def exchange_form(tokens: UpstreamTokens, wanted: Exchange) -> dict[str, str]:
    """RFC 8693 §2.1: the user's access token for one that another service accepts."""
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
    """RFC 7009 §2.1: the refresh token, which ends the others too; else the access token."""
    if tokens.refresh_token is not None:
        return {"token": tokens.refresh_token, "token_type_hint": "refresh_token"}
    return {"token": tokens.access_token, "token_type_hint": "access_token"}


_TOKENS: Final = (
    Member("access_token", token, needed=True),
    Member("token_type", text),  # some leave it out
    Member("refresh_token", token),
    Member("expires_in", number),
    Member("scope", scopes),
)


class Asking(msgspec.Struct, frozen=True):
    """When to ask the provider about a token that can't be renewed.

    *seconds*: how long such a token is trusted before the next question; 0: for ever. *ending*:
    whether to ask about tokens with an end too, until then.
    """

    seconds: int = 0
    ending: bool = False


NEVER: Final = Asking()


def read_tokens(
    body: dict[str, Any],
    *,
    now: int,
    quirks: Quirks = BY_THE_BOOK,
    asking: Asking = NEVER,
    before: UpstreamTokens | None = None,
) -> tuple[UpstreamTokens, dict[str, Any]]:
    """(tokens, the whole answer) of a token response (RFC 6749 §5.1).

    A refresh token that the answer does not replace is taken from *before*. Raises
    `UpstreamMisbehaved` if it is not a token response.
    """
    if quirks.tokens_under in body:
        body = _below(body, quirks.tokens_under)
    said = members(body, _TOKENS, of="a token response")
    if said.get("token_type", "bearer").lower() not in quirks.token_types:
        raise UpstreamMisbehaved("a token that is no bearer token")
    scope = " ".join(filter(None, said.get("scope", "").split(quirks.answered_separator)))
    tokens = UpstreamTokens(
        access_token=said["access_token"],
        refresh_token=said.get("refresh_token") or (before.refresh_token if before else None),
        scope=scope or (before.scope if before else None),
        replaced=quirks.replaces_tokens,
    )
    return _timed(tokens, said.get("expires_in"), asking, now), body


def _timed(
    tokens: UpstreamTokens, lifetime: int | None, asking: Asking, now: int
) -> UpstreamTokens:
    """*tokens*, with the time at which to renew them or ask about them."""
    end = None if lifetime is None else now + min(lifetime, _MAX_LIFETIME)
    again = now + asking.seconds
    if asking.seconds and end is None:
        return replace(tokens, expires_at=again, recheck=True)
    ends_unseen = asking.ending and tokens.refresh_token is None
    if asking.seconds and ends_unseen and end is not None and again < end:
        return replace(tokens, expires_at=again, recheck=True, ends_at=end)
    return replace(tokens, expires_at=end)


def _below(body: dict[str, Any], name: str) -> dict[str, Any]:
    inner = body[name]
    if not isinstance(inner, dict):
        raise UpstreamMisbehaved(f"{name} in a token response is no object")
    return inner
