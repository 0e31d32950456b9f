"""The endpoints for tokens: issue, revoke, introspect."""

from typing import Final

from mintage.endpoints import INTROSPECT, REVOKE, TOKEN
from mintage.grant_tokens import ACCESS_TOKEN_TYPE
from mintage.server.capabilities import Capabilities
from mintage.server.grant_type import GrantType
from mintage.server.grant_types.token_exchange import TokenExchange
from mintage.server.introspection_jwt import MEDIA_TYPE
from mintage.server.openapi.shapes import (
    CLIENT_FIELDS,
    FORM_TYPE,
    OBJECT,
    PROOF,
    REFERENCE,
    SECONDS,
    TEXT,
    Json,
    closed,
    form,
    json_answers,
    json_refusals,
    with_members,
    with_nonce,
)

_TOKEN_TYPE: Final[Json] = {"enum": ["Bearer", "DPoP"]}


def paths(base: str, capabilities: Capabilities) -> Json:
    return {
        f"{base}/{TOKEN.name}": {"post": _token(capabilities)},
        f"{base}/{REVOKE.name}": {"post": _revoke()},
        f"{base}/{INTROSPECT.name}": {"post": _introspect()},
    }


def _token(capabilities: Capabilities) -> Json:
    answer = closed(
        {
            "access_token": TEXT,
            "token_type": _TOKEN_TYPE,
            "expires_in": SECONDS,
        },
        scope=TEXT,
        refresh_token=TEXT,
    )
    answers = [answer]
    if capabilities.accepts(TokenExchange):
        answers.append(_exchanged())
    ways = [_token_request(grant_type) for grant_type in capabilities.grant_types]
    return {
        "summary": "A code, a refresh token or another grant for tokens (RFC 6749 §4)",
        "security": [{}, {"client": []}],
        "parameters": [PROOF],
        "requestBody": {"required": True, "content": {FORM_TYPE: {"schema": {"anyOf": ways}}}},
        "responses": with_nonce(
            json_answers(
                200,
                answers[0] if len(answers) == 1 else {"anyOf": answers},
                refusals=(400, 401, 429, 502, 503),
            )
        ),
    }


def _token_request(grant_type: type[GrantType]) -> Json:
    parameters = grant_type.parameters
    fields = {"grant_type": {"const": grant_type.name}, **parameters.needed, **parameters.others}
    return with_members(fields | CLIENT_FIELDS, ("grant_type", *parameters.needed))


def _exchanged() -> Json:
    """RFC 8693 §2.2.1."""
    members = {
        "access_token": TEXT,
        "token_type": _TOKEN_TYPE,
        "issued_token_type": {"const": ACCESS_TOKEN_TYPE},
    }
    return closed(members, expires_in=SECONDS, scope=TEXT)


def _revoke() -> Json:
    done = {"description": "There is no such token any more", "headers": REFERENCE}
    return {
        "summary": "End a login by any of its tokens (RFC 7009)",
        "security": [{}, {"client": []}],
        "requestBody": form(CLIENT_FIELDS | {"token": TEXT, "token_type_hint": TEXT}, ("token",)),
        "responses": {"200": done} | json_refusals((400, 401, 503)),
    }


def _introspect() -> Json:
    good = closed(
        {
            "active": {"const": True},
            "scope": TEXT,
            "client_id": TEXT,
            "sub": TEXT,
            "aud": TEXT,
            "iss": TEXT,
            "exp": SECONDS,
            "iat": SECONDS,
            "jti": TEXT,
        },
        token_type=_TOKEN_TYPE,
        cnf=OBJECT,
        upstream_claims=OBJECT,
        act=OBJECT,
        may_act=OBJECT,
    )
    answer = {"anyOf": [closed({"active": {"const": False}}), good]}
    return {
        "summary": "What a token is good for (RFC 7662)",
        "security": [{}, {"client": []}],
        "requestBody": form(CLIENT_FIELDS | {"token": TEXT, "token_type_hint": TEXT}, ("token",)),
        "responses": _also_signed(json_answers(200, answer, refusals=(400, 401, 406, 503))),
    }


def _also_signed(answers: Json) -> Json:
    """*answers* of which the good one can be a JWT too (RFC 9701)."""
    good = answers["200"]
    content = good["content"] | {MEDIA_TYPE: {"schema": TEXT}}
    return answers | {"200": good | {"content": content}}
