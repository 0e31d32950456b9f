"""The endpoints as an OpenAPI 3.1 document: the requests, and every kind of response.

Resources at the gateway are listed with the gateway's own responses. All other responses come from
the backend.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from mintage.clients.assertions import TYPE
from mintage.clients.client import AUTH_METHODS
from mintage.dpop.proofs import MAX_PROOF
from mintage.endpoints import (
    ACCOUNT,
    AUTHORIZE,
    BRANDING,
    CONSENT,
    DEVICE,
    DEVICE_AUTHORIZATION,
    HEALTHZ,
    INTROSPECT,
    JWKS,
    PAR,
    READYZ,
    REGISTER,
    REVOKE,
    SIGN_IN,
    SIGN_OUT,
    STATUS_LIST,
    STATUS_LISTS,
    TOKEN,
    logout_path,
)
from mintage.grant_tokens import ACCESS_TOKEN_TYPE
from mintage.grants.devices import ALPHABET
from mintage.jwt.status_list import MEDIA_TYPE
from mintage.server.capabilities import Capabilities
from mintage.server.grant_type import GrantType
from mintage.server.grant_types.device_code import DeviceCodeGrant
from mintage.server.grant_types.token_exchange import TokenExchange
from mintage.server.introspection_jwt import MEDIA_TYPE as INTROSPECTION_JWT
from mintage.server.metadata import documents
from mintage.site.site import Site

Json: TypeAlias = dict[str, Any]

_FORM: Final = "application/x-www-form-urlencoded"
_TEXT: Final[Json] = {"type": "string"}
_FLAG: Final[Json] = {"type": "boolean"}
_TEXTS: Final[Json] = {"type": "array", "items": _TEXT}
_SECONDS: Final[Json] = {"type": "integer"}
_OBJECT: Final[Json] = {"type": "object"}
_CLIENT: Final[Json] = {
    "client_id": _TEXT,
    "client_secret": _TEXT,
    "client_assertion": _TEXT,
    "client_assertion_type": {"const": TYPE},
}
_AUTHORIZATION: Final[Json] = {
    "client_id": _TEXT,
    "response_type": {"const": "code"},
    "redirect_uri": _TEXT,
    "state": _TEXT | {"maxLength": 1024},
    "code_challenge": _TEXT | {"pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"const": "S256"},
    "scope": _TEXT,
    "resource": _TEXT,
    "dpop_jkt": _TEXT | {"pattern": "^[A-Za-z0-9_-]{43}$"},
    "prompt": _TEXT,
    "max_age": _TEXT | {"pattern": "^[0-9]{1,9}$"},
    "login_hint": _TEXT | {"maxLength": 320},
    "acr_values": _TEXT,
    "ui_locales": _TEXT,
}
_PUSHED: Final[Json] = {"request_uri": _TEXT}
_ASKED: Final = ("response_type", "code_challenge", "code_challenge_method")
_CODES: Final = (
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
    "unsupported_grant_type", "unsupported_response_type", "invalid_scope", "invalid_target",
    "invalid_redirect_uri", "invalid_client_metadata", "invalid_token", "insufficient_scope",
    "authorization_pending", "slow_down", "expired_token", "invalid_request_uri",
    "request_not_supported", "request_uri_not_supported",
    "access_denied", "login_required", "not_found", "server_error", "temporarily_unavailable",
    "too_many_requests", "invalid_dpop_proof", "use_dpop_nonce",
)  # fmt: skip
_REFERENCE: Final[Json] = {
    "X-Request-ID": {
        "description": "The reference of this request in the server's log.",
        "required": True,
        "schema": _TEXT | {"pattern": "^[0-9a-f]{12}$"},
    }
}
_NONCE: Final[Json] = {
    "DPoP-Nonce": {
        "description": "The nonce for the client's next proof (RFC 9449 §8), if it needs one.",
        "required": False,
        "schema": _TEXT,
    }
}
_PROOF: Final[Json] = {
    "name": "DPoP",
    "in": "header",
    "required": False,
    "description": "A proof of the client's key, made for this request (RFC 9449 §4.2).",
    "schema": _TEXT | {"maxLength": MAX_PROOF},
}
_TOKEN_TYPE: Final[Json] = {"enum": ["Bearer", "DPoP"]}
_TOO_LARGE: Final = (413, 414, 431)


def describe(site: Site, capabilities: Capabilities, *, logo: bool = False) -> Json:
    """The document for the server *site*; *logo*: whether it serves one."""
    base = site.base_path
    paths: Json = {
        **(_of_logins(site) if site.logins else {f"{base}/{AUTHORIZE.name}": _no_logins()}),
        f"{base}/{TOKEN.name}": {"post": _token(capabilities)},
        f"{base}/{REVOKE.name}": {"post": _revoke()},
        f"{base}/{INTROSPECT.name}": {"post": _introspect()},
        f"{base}/{HEALTHZ.name}": {"get": _document("Whether the process answers", _HEALTH)},
        f"{base}/{READYZ.name}": {"get": _ready()},
        f"{base}/{BRANDING.name}/icon.svg": {"get": _picture("icon", "image/svg+xml")},
    }
    if logo:
        paths[f"{base}/{BRANDING.name}/logo"] = {"get": _picture("logo", "image/*")}
    if site.account:
        paths[f"{base}/{ACCOUNT.name}"] = {"get": _account(), "post": _account_post(site)}
    if any(resource.browser for resource in site.resources):
        paths[f"{base}/{SIGN_IN.name}"] = {"get": _sign_in(site)}
        paths[f"{base}/{SIGN_OUT.name}"] = {"get": _sign_out(), "post": _sign_out_post()}
    paths |= _of_devices(site, capabilities)
    if capabilities.registration:
        paths[f"{base}/{REGISTER.name}"] = {"post": _register()}
    if capabilities.keys:
        key_set = _closed({"keys": {"type": "array", "items": _OBJECT}})
        paths[f"{base}/{JWKS.name}"] = {"get": _document("The public keys (RFC 7517)", key_set)}
    if capabilities.status_list:
        paths[f"{base}/{STATUS_LIST.name}"] = {"get": _status_list()}
        lists = _closed({"status_lists": _TEXTS})
        paths[f"{base}/{STATUS_LISTS.name}"] = {"get": _document("The status lists", lists)}
    for path, content in documents(site, capabilities).items():
        summary = "Metadata of a resource (RFC 9728)"
        if "issuer" in content:
            summary = "Metadata of this server (RFC 8414)"
        paths[path] = {"get": _document(summary, {"const": content})}
    for resource in site.resources:
        path = base + resource.identifier.removeprefix(site.issuer)
        paths[path] = {method: _resource() for method in ("get", "post", "delete")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mintage", "version": "1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": site.issuer.removesuffix(base)}],
        "paths": paths,
        "components": {
            "schemas": {
                "Error": _closed({"error": {"enum": list(_CODES)}, "error_description": _TEXT})
            },
            "securitySchemes": {
                "client": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "dpop": {"type": "http", "scheme": "dpop"},
            },
        },
    }


def _of_logins(site: Site) -> Json:
    base = site.base_path
    return {
        f"{base}/{AUTHORIZE.name}": {"get": _authorize_get(), "post": _authorize_post()},
        f"{base}/{PAR.name}": {"post": _par()},
        f"{base}/{CONSENT.name}": {"post": _consent(site)},
        **{base + path: {"get": _callback()} for path in site.callbacks},
        **{base + logout_path(path): {"post": _logout()} for path in site.callbacks},
    }


def _no_logins() -> Json:
    summary = "Refuse: nobody logs in at this server"
    return {"get": {"summary": summary, "responses": _pages(refusals=(400,))}}


def _authorize_get() -> Json:
    return {
        "summary": "Begin a login (RFC 6749 §4.1.1, RFC 7636, RFC 8707, RFC 9126 §4)",
        "parameters": _query(_AUTHORIZATION | _PUSHED, ("client_id",)),
        "responses": _pages(200, 303, refusals=(400, 401, 503)),
    }


def _authorize_post() -> Json:
    return {
        "summary": "Begin a login with a request that is too long for a URL",
        "requestBody": _form(_AUTHORIZATION | _PUSHED, ("client_id",)),
        "responses": _pages(200, 303, refusals=(400, 401, 503)),
    }


def _par() -> Json:
    fields = _AUTHORIZATION | _CLIENT
    answer = _closed({"request_uri": _TEXT, "expires_in": _SECONDS})
    return {
        "summary": "Push an authorization request (RFC 9126)",
        "security": [{}, {"client": []}],
        "parameters": [_PROOF],
        "requestBody": _form(fields, _ASKED),
        "responses": _with_nonce(_answers(201, answer, refusals=(400, 401, 429, 503))),
    }


def _of_devices(site: Site, capabilities: Capabilities) -> Json:
    if not capabilities.accepts(DeviceCodeGrant):
        return {}
    return {
        f"{site.base_path}/{DEVICE_AUTHORIZATION.name}": {"post": _device_authorization()},
        f"{site.base_path}/{DEVICE.name}": {"get": _device(), "post": _device_post(site)},
    }


def _device_authorization() -> Json:
    answer = _closed(
        {
            "device_code": _TEXT,
            "user_code": _TEXT | {"pattern": f"^[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}$"},
            "verification_uri": _TEXT,
            "verification_uri_complete": _TEXT,
            "expires_in": _SECONDS,
            "interval": _SECONDS,
        }
    )
    return {
        "summary": "A device asks for a code that a person types elsewhere (RFC 8628)",
        "security": [{}, {"client": []}],
        "requestBody": _form(_CLIENT | {"scope": _TEXT, "resource": _TEXT}, ()),
        "responses": _answers(200, answer, refusals=(400, 401, 429, 503)),
    }


def _device() -> Json:
    return {
        "summary": "The page on which a person types a device's code",
        "parameters": _query({"user_code": _TEXT}, ()),
        "responses": _pages(200, refusals=(400, 503)),
    }


def _device_post(site: Site) -> Json:
    fields: Json = {
        "form": _TEXT,
        "user_code": _TEXT,
        "decision": {"enum": ["approve", "deny"]},
        "upstream": {"enum": list(site.upstreams)} if site.upstreams else _TEXT,
    }
    return {
        "summary": "The code, and the person's answer, from that page",
        "requestBody": _form(fields, ("form",)),
        "responses": _pages(200, refusals=(400, 403, 429, 502, 503)),
    }


def _consent(site: Site) -> Json:
    fields: Json = {"request": _TEXT, "decision": {"enum": ["approve", "deny"]}}
    needed = tuple(fields)
    fields["remember"] = {"const": "yes"}
    if site.upstreams:
        needed = ("request",)  # a provider's button means yes
        fields["upstream"] = {"enum": list(site.upstreams)}
    return {
        "summary": "The person's answer, from the page of /authorize",
        "requestBody": _form(fields, needed),
        "responses": _pages(200, refusals=(400, 403, 502, 503)),
    }


def _account() -> Json:
    return {
        "summary": "The page of the person's connected apps",
        "responses": _pages(200, refusals=(400, 503)),
    }


def _account_post(site: Site) -> Json:
    fields: Json = {
        "form": _TEXT,
        "upstream": {"enum": list(site.upstreams)} if site.upstreams else _TEXT,
        "grant": _TEXT,
        "forget": _TEXT,
        "action": {"enum": ["disconnect_all", "sign_out", "sign_out_at_provider"]},
    }
    return {
        "summary": "A button of that page: sign in, disconnect, forget an answer, sign out",
        "requestBody": _form(fields, ("form",)),
        "responses": _pages(200, 303, refusals=(400, 403, 502, 503)),
    }


def _sign_in(site: Site) -> Json:
    fields: Json = {
        "to": _TEXT,
        "upstream": {"enum": list(site.upstreams)} if site.upstreams else _TEXT,
        "account": {"const": "other"},
    }
    return {
        "summary": "A person signs in, and goes to the address `to` of a resource for browsers",
        "parameters": _query(fields, ("to",)),
        "responses": _pages(200, 303, refusals=(400, 502, 503)),
    }


def _sign_out() -> Json:
    return {
        "summary": "The page that asks whether to sign out, of all sessions of this browser",
        "responses": _pages(200, refusals=(503,)),
    }


def _sign_out_post() -> Json:
    return {
        "summary": "The button of that page",
        "requestBody": _form({"form": _TEXT}, ("form",)),
        "responses": _pages(200, refusals=(400, 403, 503)),
    }


def _callback() -> Json:
    fields = {"state": _TEXT, "code": _TEXT, "iss": _TEXT, "error": _TEXT}
    return {
        "summary": "The person is back from the identity provider (RFC 6749 §4.1.2)",
        "parameters": _query(fields, ("state",)),
        "responses": _pages(200, 303, refusals=(400, 403, 502, 503)),
    }


def _logout() -> Json:
    done = {"description": "The logins that the token names have ended", "headers": _REFERENCE}
    return {
        "summary": "The user has logged out at the provider (OpenID Connect Back-Channel Logout)",
        "requestBody": _form({"logout_token": _TEXT}, ("logout_token",)),
        "responses": {"200": done} | _refusals((400, 502, 503)),
    }


def _picture(name: str, media_type: str) -> Json:
    image = {media_type: {"schema": _TEXT}}
    return {
        "summary": f"The {name} of the pages",
        "responses": {"200": {"description": "A picture", "headers": _REFERENCE, "content": image}}
        | _refusals(()),
    }


def _exchanged() -> Json:
    """RFC 8693 §2.2.1."""
    members = {
        "access_token": _TEXT,
        "token_type": _TOKEN_TYPE,
        "issued_token_type": {"const": ACCESS_TOKEN_TYPE},
    }
    return _closed(members, expires_in=_SECONDS, scope=_TEXT)


def _token(capabilities: Capabilities) -> Json:
    answer = _closed(
        {
            "access_token": _TEXT,
            "token_type": _TOKEN_TYPE,
            "expires_in": _SECONDS,
        },
        scope=_TEXT,
        refresh_token=_TEXT,
    )
    answers = [answer]
    if capabilities.accepts(TokenExchange):
        answers.append(_exchanged())
    ways = [_token_request(grant_type) for grant_type in capabilities.grant_types]
    return {
        "summary": "A code, a refresh token or another grant for tokens (RFC 6749 §4)",
        "security": [{}, {"client": []}],
        "parameters": [_PROOF],
        "requestBody": {"required": True, "content": {_FORM: {"schema": {"anyOf": ways}}}},
        "responses": _with_nonce(
            _answers(
                200,
                answers[0] if len(answers) == 1 else {"anyOf": answers},
                refusals=(400, 401, 429, 502, 503),
            )
        ),
    }


def _token_request(grant_type: type[GrantType]) -> Json:
    parameters = grant_type.parameters
    fields = {"grant_type": {"const": grant_type.name}, **parameters.needed, **parameters.others}
    return _of(fields | _CLIENT, ("grant_type", *parameters.needed))


def _revoke() -> Json:
    done = {"description": "There is no such token any more", "headers": _REFERENCE}
    return {
        "summary": "End a login by any of its tokens (RFC 7009)",
        "security": [{}, {"client": []}],
        "requestBody": _form(_CLIENT | {"token": _TEXT, "token_type_hint": _TEXT}, ("token",)),
        "responses": {"200": done} | _refusals((400, 401, 503)),
    }


def _introspect() -> Json:
    good = _closed(
        {
            "active": {"const": True},
            "scope": _TEXT,
            "client_id": _TEXT,
            "sub": _TEXT,
            "aud": _TEXT,
            "iss": _TEXT,
            "exp": _SECONDS,
            "iat": _SECONDS,
            "jti": _TEXT,
        },
        token_type=_TOKEN_TYPE,
        cnf=_OBJECT,
        upstream_claims=_OBJECT,
        act=_OBJECT,
        may_act=_OBJECT,
    )
    answer = {"anyOf": [_closed({"active": {"const": False}}), good]}
    return {
        "summary": "What a token is good for (RFC 7662)",
        "security": [{}, {"client": []}],
        "requestBody": _form(_CLIENT | {"token": _TEXT, "token_type_hint": _TEXT}, ("token",)),
        "responses": _also_signed(_answers(200, answer, refusals=(400, 401, 406, 503))),
    }


def _also_signed(answers: Json) -> Json:
    """*answers* of which the good one can be a JWT too (RFC 9701)."""
    good = answers["200"]
    content = good["content"] | {INTROSPECTION_JWT: {"schema": _TEXT}}
    return answers | {"200": good | {"content": content}}


_METADATA: Final[Json] = {
    "client_name": _TEXT | {"maxLength": 100},
    "token_endpoint_auth_method": {"enum": list(AUTH_METHODS)},
    "grant_types": _TEXTS,
    "response_types": _TEXTS,
    "scope": _TEXT,
    "application_type": {"enum": ["web", "native"]},
    "jwks": _OBJECT,
    "jwks_uri": _TEXT,
    "require_pushed_authorization_requests": _FLAG,
    "dpop_bound_access_tokens": _FLAG,
}


def _register() -> Json:
    uris = {"redirect_uris": _TEXTS | {"maxItems": 10}}
    answer = _closed(
        {
            "client_id": _TEXT,
            "client_id_issued_at": _SECONDS,
            "redirect_uris": _TEXTS,
            "client_name": _TEXT,
            "token_endpoint_auth_method": {"enum": list(AUTH_METHODS)},
            "grant_types": _TEXTS,
            "response_types": {"enum": [["code"], []]},
        },
        scope=_TEXT,
        application_type=_TEXT,
        jwks=_OBJECT,
        jwks_uri=_TEXT,
        require_pushed_authorization_requests={"const": True},
        dpop_bound_access_tokens={"const": True},
        client_secret=_TEXT,
        client_secret_expires_at={"const": 0},
    )
    schema = _of(uris | _METADATA, ())
    return {
        "summary": "Register a client (RFC 7591)",
        "security": [{}, {"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": _answers(201, answer, refusals=(400, 401, 429)),
    }


_HEALTH: Final[Json] = {"const": {"status": "ok"}}


def _ready() -> Json:
    state = {"enum": ["ok", "unavailable"]}
    schema = {
        "type": "object",
        "properties": {
            "clock": _TEXT,
            "notices": _TEXT,
            "clock_ahead_seconds": {"type": "number"},
            "notification_queue_usage": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "additionalProperties": state,
    }
    said = {"headers": _REFERENCE, "content": {"application/json": {"schema": schema}}}
    found = _document("Whether a login could be served now", schema)
    found["responses"]["503"] = {"description": "What is missing"} | said
    return found


def _resource() -> Json:
    passed = {"description": "The backend's own answer"}
    refused = _refusals((400, 401, 403, 429, 502, 503, 504))
    return {
        "summary": "A request that the gateway passes on to its backend",
        "security": [{"bearer": []}, {"dpop": []}],
        "parameters": [_PROOF],
        "responses": _with_nonce({"default": passed} | refused),
    }


def _document(summary: str, schema: Json) -> Json:
    return {"summary": summary, "responses": _answers(200, schema, refusals=())}


def _status_list() -> Json:
    headers = _REFERENCE | {
        "ETag": {"required": True, "schema": _TEXT},
        "Cache-Control": {"required": True, "schema": _TEXT},
    }
    signed = {"description": "The list, signed", "headers": headers}
    return {
        "summary": "The ended grants, as a status list token",
        "parameters": [
            {"name": "If-None-Match", "in": "header", "required": False, "schema": _TEXT}
        ],
        "responses": {
            "200": signed | {"content": {MEDIA_TYPE: {"schema": _TEXT}}},
            "304": {"description": "The client has this list", "headers": headers},
        }
        | _refusals((501, 503)),
    }


def _query(fields: Json, required: tuple[str, ...]) -> list[Json]:
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in fields.items()
    ]


def _form(fields: Json, required: tuple[str, ...]) -> Json:
    return {"required": True, "content": {_FORM: {"schema": _of(fields, required)}}}


def _of(fields: Json, required: tuple[str, ...]) -> Json:
    return {"type": "object", "properties": fields, "required": list(required)}


def _closed(fields: Json, **optional: Json) -> Json:
    """An object with these members, and no others."""
    return _of(fields | optional, tuple(fields)) | {"additionalProperties": False}


def _answers(status: int, schema: Json, *, refusals: Iterable[int]) -> Json:
    good = {
        "description": "As asked",
        "headers": _REFERENCE,
        "content": {"application/json": {"schema": schema}},
    }
    return {str(status): good} | _refusals(refusals)


def _with_nonce(responses: Json) -> Json:
    """*responses*, each of which may tell the nonce for the next proof."""
    return {
        status: response | {"headers": response.get("headers", {}) | _NONCE}
        for status, response in responses.items()
    }


def _refusals(statuses: Iterable[int]) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        str(status): {
            "description": "A refusal, with what to do next",
            "headers": _REFERENCE,
            "content": {"application/json": {"schema": schema}},
        }
        for status in (*statuses, 405, *_TOO_LARGE)
    }


def _pages(*good: int, refusals: Iterable[int]) -> Json:
    """Pages and redirects. What is too large for any endpoint is refused as JSON."""
    html = {"headers": _REFERENCE, "content": {"text/html": {"schema": _TEXT}}}
    onward = {"description": "On to another page", "headers": _REFERENCE}
    pages: Json = {
        str(status): {"description": "A page for a person"} | html for status in (*refusals, 405)
    }
    for status in good:
        pages[str(status)] = (
            onward if status == 303 else {"description": "A page for a person"} | html  # noqa: PLR2004
        )
    page_or_json = {"text/html": {"schema": _TEXT}} | {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}
    }
    large = {
        str(status): {"description": "Too large", "headers": _REFERENCE, "content": page_or_json}
        for status in _TOO_LARGE
    }
    return pages | large
