"""The reference of the HTTP API, made from the OpenAPI document of an example server.

::

    python -m tools.http_api [PAGE]

It writes docs/http-api.md, or *PAGE*. A test compares the page with what this makes.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mintage.cli.openapi import example

PAGE: Final = Path(__file__).parents[1] / "docs/http-api.md"
_HEAD: Final = """\
# HTTP API

Every endpoint with its parameters and the statuses that it answers with. `mintage openapi`
prints the same as an OpenAPI 3.1 document, and `mintage openapi --config mintage.toml` that of
your own server. [Errors](errors.md) has the sentence of each refusal. `python -m tools.http_api`
makes this page.

"""
_ANY_ENDPOINT: Final = {"405", "413", "414", "431"}
_SAME: Final = """\
Each endpoint also answers 405 to another method, and 413, 414 and 431 to what is
[too large](reference.md#limits). Each response has `X-Request-ID`.
"""


def page() -> str:
    """The page, from the endpoints as they are now."""
    document = example()
    parts = [_HEAD, _SAME]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path != "/mcp" or method == "post":  # every method of a resource has the same
                parts += _operation(method, path, operation)
    return "\n".join(parts).strip() + "\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## `{method.upper()} {path}`\n\n{operation['summary']}.\n"
    rows = [
        _row(each["name"], each["schema"], is_needed=each["required"])
        for each in operation.get("parameters", ())
    ]
    if rows:
        yield _table("parameter of the query", rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        for form in schema.get("anyOf", [schema]):
            needed = form.get("required", ())
            rows = [
                _row(name, value, is_needed=name in needed)
                for name, value in form.get("properties", {}).items()
            ]
            if rows:
                yield _table(f"member of the body, `{kind}`", rows)
    yield "| status | |\n|---|---|"
    said: dict[str, list[str]] = {}
    for status, response in sorted(operation["responses"].items()):
        if status not in _ANY_ENDPOINT:
            name = "any other" if status == "default" else status
            said.setdefault(response["description"], []).append(name)
    for description, names in said.items():
        yield f"| {', '.join(names)} | {description} |"
    yield ""


def _row(name: str, schema: Mapping[str, Any], *, is_needed: bool) -> str:
    return f"| `{name}` | {'needed' if is_needed else ''} | {_values(schema)} |"


def _values(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    said = [str(schema.get("type", ""))]
    if "maxLength" in schema:
        said.append(f"at most {schema['maxLength']} characters")
    if "pattern" in schema:
        said.append(f"`{schema['pattern'].replace('|', chr(92) + '|')}`")
    return ", ".join(filter(None, said))


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([f"| {head} | | |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(), encoding="utf-8")
