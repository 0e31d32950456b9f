"""What each setting is for: the string below its field, read for editors and for the reference.

A setting is described once, where it is defined::

    refresh_grace: Annotated[int, Meta(ge=0, le=3600)] = 60
    \"\"\"For how many seconds the previous refresh token still gets the same new tokens.

    Default: words for a default that the field's value does not tell.
    \"\"\"

It may hold Markdown, with links as from docs/. The last paragraph is optional.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mintage.settings.words import structs_in

_DEFAULT: Final = "Default: "
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")


class Description(msgspec.Struct, frozen=True):
    """*text*: what a setting does. *default*: its default in words; None: the field's value."""

    text: str
    default: str | None = None


def descriptions(table: type[msgspec.Struct]) -> dict[str, Description]:
    """The description of each setting of *table* that has one, by its name.

    Raises `OSError` if the source of Mintage is not installed.
    """
    (definition,) = ast.parse(inspect.getsource(table)).body
    if not isinstance(definition, ast.ClassDef):
        raise TypeError(f"{table!r} is not defined by a class statement")
    return dict(_found(definition))


def _found(definition: ast.ClassDef) -> Iterator[tuple[str, Description]]:
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield field.target.id, _read(text)
                case _:
                    pass


def _read(docstring: str) -> Description:
    paragraphs = [_joined(one) for one in inspect.cleandoc(docstring).split("\n\n")]
    if paragraphs[-1].startswith(_DEFAULT):
        default = paragraphs.pop().removeprefix(_DEFAULT).rstrip(".")
        return Description(" ".join(paragraphs), default)
    return Description(" ".join(paragraphs))


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())


def plain(text: str) -> str:
    """*text* without the targets of its links, for readers who see no page."""
    return _LINK.sub(r"\1", text)


def paragraphs_of(table: type[msgspec.Struct]) -> list[str]:
    """The docstring of *table*. The first paragraph begins with its name: ``[tokens]``: …."""
    text = (inspect.getdoc(table) or "").replace("``", "`")
    return [_joined(paragraph) for paragraph in text.split("\n\n")]


def schema(file: type[msgspec.Struct], *, title: str) -> dict[str, Any]:
    """A JSON Schema (2020-12) of *file*: each setting, its type, words, default and description."""
    found = msgspec.json.schema(file)
    tables = found["$defs"]
    for table in _all_tables(file):
        _describe(tables[table.__name__], table)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **tables.pop(file.__name__),
        "title": title,
        "$defs": tables,
    }


def _all_tables(file: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """*file* and all tables in it, each once."""
    found = [file]
    for table in found:  # grows while it is read
        for field in msgspec.structs.fields(table):
            found += [one for one in structs_in(field.type) if one not in found]
    return found


def _describe(schema_of_table: dict[str, Any], table: type[msgspec.Struct]) -> None:
    schema_of_table["description"] = plain(paragraphs_of(table)[0])
    try:
        known = descriptions(table)
    except OSError:  # Mintage was packed without its source: types and words are still true
        return
    for name, setting in schema_of_table["properties"].items():
        if (described := known.get(name)) is not None:
            default = "" if described.default is None else f" {_DEFAULT}{described.default}."
            setting["description"] = plain(described.text + default)
