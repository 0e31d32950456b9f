"""The admin API as an OpenAPI 3.1 document. Pure."""

from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_MAYBE: Final[Json] = {"type": ["string", "null"]}
_NUMBER: Final[Json] = {"type": "integer"}
_TEXTS: Final[Json] = {"type": "array", "items": _TEXT}
_COUNTS: Final[Json] = {"type": "object", "additionalProperties": _NUMBER}
_STATE: Final[Json] = {"enum": ["ok", "unavailable"]}
_MAYBE_NUMBER: Final[Json] = {"type": ["integer", "null"]}
_CODES: Final = (
    "invalid_request", "invalid_token", "access_denied", "not_found", "server_error",
    "temporarily_unavailable",
)  # fmt: skip
_REFERENCE: Final[Json] = {
    "X-Request-ID": {
        "description": "The reference of this request in the server's log.",
        "required": True,
        "schema": _TEXT | {"pattern": "^[0-9a-f]{12}$"},
    }
}
_GRANT: Final[Json] = {"grant": _TEXT, "until": _NUMBER}
_KNOWN: Final[Json] = {
    "needs_secret": _TEXT,
    "unread": _TEXT,
    "subject": _TEXT,
    "name": _MAYBE,
    "client": _MAYBE,
    "client_id": _TEXT,
    "since": _NUMBER,
}
_MORE: Final[Json] = {
    "state": {"enum": ["pending", "active"]},
    "issuer": _TEXT,
    "provider": _MAYBE,
    "resources": _TEXTS,
    "scopes": _TEXTS,
    "refreshed": _NUMBER,
    "sealed_under": _MAYBE,
    "signed_with": _MAYBE,
}
_CLIENT: Final[Json] = {
    "client_id": _MAYBE,
    "kind": {"enum": ["configured", "registered", "document", "browser", "unknown", "none"]},
    "name": _MAYBE,
    "redirects_to": _TEXTS,
    "grants": _NUMBER,
    "denied_as": _MAYBE,
    "denied_since": _MAYBE_NUMBER,
    "denied_by": _MAYBE,
}


def describe(url: str) -> Json:
    """The document of an admin API that listens at *url*."""
    subject = _parameter("subject", "The user's identifier at the provider, as lists show it")
    client = _parameter("client", "The client_id")
    name = _parameter("name", "A client_id, or a host; see the how-to", needed=True)
    grant = {
        "name": "grant",
        "in": "path",
        "required": True,
        "description": "The public id of a grant",
        "schema": _TEXT | {"pattern": "^[a-z2-7]{16}$"},
    }
    cursor = _parameter("cursor", "`next` of the page before")
    limit = _parameter("limit", "How many at most") | {
        "schema": {"type": "integer", "minimum": 1, "maximum": 500}
    }
    ended = _closed({"ended": _NUMBER})
    changed = _closed(
        {"name": _TEXT, "denied": {"type": "boolean"}, "changed": {"type": "boolean"}}
        | {"ended": _NUMBER}
    )
    denial = _closed({"name": _TEXT, "since": _NUMBER, "by": _MAYBE})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mintage admin", "version": "1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": url}],
        "security": [{"token": []}, {"browser": []}],
        "paths": {
            "/": {"get": _page()},
            "/status": {"get": _operation("How the server is", _status())},
            "/grants": {
                "get": _operation(
                    "Live grants",
                    _closed({"grants": _list(_closed(_GRANT, **_KNOWN)), "next": _MAYBE}),
                    subject, client, cursor, limit,
                ),
                "delete": _operation(
                    "End the grants of a user, of a client, or of a user at a client",
                    ended, subject, client, refusals=(400, 401, 403, 503),
                ),
            },
            "/grants/{grant}": {
                "get": _operation(
                    "One grant", _closed(_GRANT, **_KNOWN, **_MORE), grant,
                    refusals=(400, 401, 404, 503),
                ),
                "delete": _operation(
                    "End one grant", ended, grant, refusals=(400, 401, 403, 404, 503)
                ),
            },
            "/clients": {
                "get": _operation(
                    "Clients that are configured, used or denied",
                    _closed({"clients": _list(_closed(_CLIENT))}),
                )
            },
            "/denials": {
                "get": _operation("What is denied", _closed({"denied": _list(denial)})),
                "put": _operation(
                    "Deny a client, and end its grants", changed, name,
                    refusals=(400, 401, 403, 503),
                ),
                "delete": _operation(
                    "Admit a client that was denied", changed, name,
                    refusals=(400, 401, 403, 404, 503),
                ),
            },
        },
        "components": {
            "schemas": {
                "Error": _closed({"error": {"enum": list(_CODES)}, "error_description": _TEXT})
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "browser": {"type": "http", "scheme": "basic"},
            },
        },
    }  # fmt: skip


def _status() -> Json:
    refusal = _closed({"stage": _TEXT, "error": _TEXT, "count": _NUMBER})
    process = _closed(
        {
            "pid": _NUMBER,
            "seconds": _NUMBER,
            "last_5_minutes": _COUNTS,
            "last_hour": _COUNTS,
            "refusals_last_hour": _list(refusal),
        }
    )
    provider = _closed({"name": _TEXT, "title": _TEXT, "status": _STATE})
    return _closed(
        {
            "issuer": _TEXT,
            "store": _STATE,
            "grants": _MAYBE_NUMBER,
            "denied_clients": _MAYBE_NUMBER,
            "providers": _list(provider),
            "process": process,
        }
    )


def _page() -> Json:
    page = {
        "description": "A page for a person. It changes nothing",
        "headers": _REFERENCE,
        "content": {"text/html": {"schema": _TEXT}},
    }
    return {
        "summary": "The same to be read in a browser",
        "responses": {"200": page} | _refusals((400, 401, 503)),
    }


def _operation(
    summary: str, schema: Json, *parameters: Json, refusals: tuple[int, ...] = (400, 401, 503)
) -> Json:
    done = {
        "description": "As asked",
        "headers": _REFERENCE,
        "content": {"application/json": {"schema": schema}},
    }
    operation = {"summary": summary, "responses": {"200": done} | _refusals(refusals)}
    return operation | ({"parameters": list(parameters)} if parameters else {})


def _refusals(statuses: tuple[int, ...]) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        str(status): {
            "description": "A refusal, with what to do next",
            "headers": _REFERENCE,
            "content": {"application/json": {"schema": schema}},
        }
        for status in (*statuses, 405, 413, 414, 431)
    }


def _parameter(name: str, description: str, *, needed: bool = False) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": needed,
        "description": description,
        "schema": _TEXT | {"minLength": 1},
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _closed(fields: Json, **optional: Json) -> Json:
    return {
        "type": "object",
        "properties": fields | optional,
        "required": list(fields),
        "additionalProperties": False,
    }
