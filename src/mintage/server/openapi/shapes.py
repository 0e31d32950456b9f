"""What the descriptions are made of: JSON schemas, parameters and responses."""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from mintage.clients.assertions import TYPE
from mintage.dpop.proofs import MAX_PROOF

Json: TypeAlias = dict[str, Any]
TEXT: Final[Json] = {"type": "string"}
FLAG: Final[Json] = {"type": "boolean"}
TEXTS: Final[Json] = {"type": "array", "items": TEXT}
SECONDS: Final[Json] = {"type": "integer"}
OBJECT: Final[Json] = {"type": "object"}
CLIENT_FIELDS: Final[Json] = {
    "client_id": TEXT,
    "client_secret": TEXT,
    "client_assertion": TEXT,
    "client_assertion_type": {"const": TYPE},
}
PROOF: Final[Json] = {
    "name": "DPoP",
    "in": "header",
    "required": False,
    "description": "A proof of the client's key, made for this request (RFC 9449 §4.2).",
    "schema": TEXT | {"maxLength": MAX_PROOF},
}
FORM_TYPE: Final = "application/x-www-form-urlencoded"
REFERENCE: Final[Json] = {
    "X-Request-ID": {
        "description": "The reference of this request in the server's log.",
        "required": True,
        "schema": TEXT | {"pattern": "^[0-9a-f]{12}$"},
    }
}
NONCE: Final[Json] = {
    "DPoP-Nonce": {
        "description": "The nonce for the client's next proof (RFC 9449 §8), if it needs one.",
        "required": False,
        "schema": TEXT,
    }
}
TOO_LARGE: Final = (413, 414, 431)


def with_members(fields: Json, required: tuple[str, ...]) -> Json:
    return {"type": "object", "properties": fields, "required": list(required)}


def closed(fields: Json, **optional: Json) -> Json:
    """An object with these members, and no others."""
    return with_members(fields | optional, tuple(fields)) | {"additionalProperties": False}


def query(fields: Json, required: tuple[str, ...]) -> list[Json]:
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in fields.items()
    ]


def form(fields: Json, required: tuple[str, ...]) -> Json:
    return {"required": True, "content": {FORM_TYPE: {"schema": with_members(fields, required)}}}


def document(summary: str, schema: Json) -> Json:
    return {"summary": summary, "responses": json_answers(200, schema, refusals=())}


def json_answers(status: int, schema: Json, *, refusals: Iterable[int]) -> Json:
    good = {
        "description": "As asked",
        "headers": REFERENCE,
        "content": {"application/json": {"schema": schema}},
    }
    return {str(status): good} | json_refusals(refusals)


def json_refusals(statuses: Iterable[int]) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        str(status): {
            "description": "A refusal, with what to do next",
            "headers": REFERENCE,
            "content": {"application/json": {"schema": schema}},
        }
        for status in (*statuses, 405, *TOO_LARGE)
    }


def with_nonce(responses: Json) -> Json:
    """*responses*, each of which may tell the nonce for the next proof."""
    return {
        status: response | {"headers": response.get("headers", {}) | NONCE}
        for status, response in responses.items()
    }


def html_pages(*good: int, refusals: Iterable[int]) -> Json:
    """Pages and redirects. What is too large for any endpoint is refused as JSON."""
    html = {"headers": REFERENCE, "content": {"text/html": {"schema": TEXT}}}
    onward = {"description": "On to another page", "headers": REFERENCE}
    pages: Json = {
        str(status): {"description": "A page for a person"} | html for status in (*refusals, 405)
    }
    for status in good:
        pages[str(status)] = (
            onward if status == 303 else {"description": "A page for a person"} | html  # noqa: PLR2004
        )
    page_or_json = {"text/html": {"schema": TEXT}} | {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}
    }
    large = {
        str(status): {"description": "Too large", "headers": REFERENCE, "content": page_or_json}
        for status in TOO_LARGE
    }
    return pages | large
