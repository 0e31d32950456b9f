"""The endpoint at which clients register (RFC 7591)."""

from typing import Final

from mintage.clients.client import AUTH_METHODS
from mintage.endpoints import REGISTER
from mintage.server.openapi.shapes import (
    FLAG,
    OBJECT,
    SECONDS,
    TEXT,
    TEXTS,
    Json,
    closed,
    json_answers,
    with_members,
)

_METADATA: Final[Json] = {
    "client_name": TEXT | {"maxLength": 100},
    "token_endpoint_auth_method": {"enum": list(AUTH_METHODS)},
    "grant_types": TEXTS,
    "response_types": TEXTS,
    "scope": TEXT,
    "application_type": {"enum": ["web", "native"]},
    "jwks": OBJECT,
    "jwks_uri": TEXT,
    "require_pushed_authorization_requests": FLAG,
    "dpop_bound_access_tokens": FLAG,
}


def paths(base: str) -> Json:
    return {f"{base}/{REGISTER.name}": {"post": _register()}}


def _register() -> Json:
    uris = {"redirect_uris": TEXTS | {"maxItems": 10}}
    answer = closed(
        {
            "client_id": TEXT,
            "client_id_issued_at": SECONDS,
            "redirect_uris": TEXTS,
            "client_name": TEXT,
            "token_endpoint_auth_method": {"enum": list(AUTH_METHODS)},
            "grant_types": TEXTS,
            "response_types": {"enum": [["code"], []]},
        },
        scope=TEXT,
        application_type=TEXT,
        jwks=OBJECT,
        jwks_uri=TEXT,
        require_pushed_authorization_requests={"const": True},
        dpop_bound_access_tokens={"const": True},
        client_secret=TEXT,
        client_secret_expires_at={"const": 0},
    )
    schema = with_members(uris | _METADATA, ())
    return {
        "summary": "Register a client (RFC 7591)",
        "security": [{}, {"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": json_answers(201, answer, refusals=(400, 401, 429)),
    }
