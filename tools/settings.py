"""The settings in docs/reference.md, made from the settings themselves.

::

    python -m tools.settings

Each table becomes a section of the page, each setting a row. What a setting does is the string
below its field (see `mintage.settings.descriptions`), and whether a reload applies it says
`mintage.settings.reloading`. tools/setting_names.toml keeps which version brought which setting: a
new one is written there under this version. A test compares the page and that list with what this
makes.
"""

import re
import sys
import tomllib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from mintage import __version__
from mintage.settings.descriptions import Description, descriptions, paragraphs_of
from mintage.settings.file import File
from mintage.settings.reloading import AT_A_RESTART
from mintage.settings.words import structs_in

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/reference.md"
NAMES: Final = ROOT / "tools/setting_names.toml"
_BLOCK: Final = re.compile(r"(<!-- settings: [^\n]* -->\n).*?(<!-- /settings -->\n)", re.DOTALL)
_HEAD: Final = "| key | type | default | meaning |\n|---|---|---|---|\n"
_NAMES_HEAD: Final = (
    "# Which version brought which setting. `python -m tools.settings` writes it.\n"
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of mintage.toml. *path*: ``resource.rule``; empty: the top of the file."""

    path: str
    kind: type[msgspec.Struct]

    @property
    def fields(self) -> list[msgspec.structs.FieldInfo]:
        """Its settings that are no tables themselves."""
        return [
            field
            for field in msgspec.structs.fields(self.kind)
            if self.key(field.encode_name) == "allow" or not any(structs_in(field.type))
        ]

    def key(self, name: str) -> str:
        """The setting *name* of this table, as errors and variables spell it."""
        return f"{self.path}.{name}".lstrip(".")


def tables(path: str = "", kind: type[msgspec.Struct] = File) -> Iterator[Table]:
    """The table at *path*, and those in it, in the order of the fields."""
    here = Table(path, kind)
    yield here
    for field in msgspec.structs.fields(kind):
        inner = next(structs_in(field.type), None)
        if inner is not None:
            yield from tables(here.key(field.encode_name), inner)


def setting_names() -> list[str]:
    """Every setting: ``resource.rule.path``."""
    return [table.key(field.encode_name) for table in tables() for field in table.fields]


def versions(known: Mapping[str, list[str]], *, now: str = __version__) -> dict[str, list[str]]:
    """*known* with new settings under the version *now*, and without those of *now* that are gone.

    Raises `ValueError` if a setting of an earlier version is gone.
    """
    release = ".".join(now.split(".")[:2])
    names = setting_names()
    before = {version: each for version, each in known.items() if version != release}
    released = {name for each in before.values() for name in each}
    if gone := sorted(released - set(names)):
        raise ValueError(f"deprecate before you remove: {', '.join(gone)}")
    return before | {release: sorted(set(names) - released)}


def known_versions() -> dict[str, list[str]]:
    return tomllib.loads(NAMES.read_text(encoding="utf-8")) if NAMES.exists() else {}


def names_file(found: Mapping[str, list[str]]) -> str:
    """tools/setting_names.toml, a setting a line."""
    parts = [
        f'"{version}" = [\n' + "".join(f'  "{name}",\n' for name in names) + "]\n"
        for version, names in found.items()
    ]
    return _NAMES_HEAD + "\n".join(parts)


def written(page: str, found: Mapping[str, list[str]]) -> str:
    """*page* with the settings as they are; *found*: which version brought which."""
    text = "\n".join(map(partial(_section, found=found), tables()))
    return _BLOCK.sub(lambda block: f"{block[1]}\n{text}\n{block[2]}", page)


def _section(table: Table, *, found: Mapping[str, list[str]]) -> str:
    first, *rest = paragraphs_of(table.kind)
    title, _, text = first.partition(": ")
    text = " ".join([text[:1].upper() + text[1:], *rest, _when(table)]).strip()
    said = descriptions(table.kind)
    rows = [_row(table, field, said, found) for field in table.fields]
    return f"### {title}\n\n{text}\n\n{_HEAD}" + "".join(rows)


def _when(table: Table) -> str:
    if not table.path:
        return "`issuer` and `store` need a restart; a reload applies the others."
    if _waits(table.path):
        return "A change needs a restart."
    return "A reload applies a change."


def _waits(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in AT_A_RESTART)


def _row(
    table: Table,
    field: msgspec.structs.FieldInfo,
    said: Mapping[str, Description],
    found: Mapping[str, list[str]],
) -> str:
    key = table.key(field.encode_name)
    description = said.get(field.name)
    if description is None:
        raise ValueError(f"say below its field what {key} does: {table.kind.__qualname__}")
    text = description.text
    if table.path and _waits(key) and not _waits(table.path):
        text += " A change needs a restart."
    first = next(iter(found))
    since = next((version for version, names in found.items() if key in names), first)
    if since != first:
        text += f" Since {since}."
    cells = (f"`{key}`", _type(field.type), _default(field, description), text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(field: msgspec.structs.FieldInfo, description: Description) -> str:
    if description.default is not None:
        return description.default
    if field.required:
        return "needed"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{msgspec.json.encode(value).decode().replace(',', ', ')}`"


def _type(kind: Any, meta: msgspec.Meta | None = None) -> str:
    """*kind* in words, with the bounds in *meta*."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *notes = get_args(kind)
        return _type(inner, next(note for note in notes if isinstance(note, msgspec.Meta)))
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        return " or ".join(dict.fromkeys(map(_type, parts)))
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if origin is tuple:
        return f"list of {_several(get_args(kind)[0])}"
    if origin is not None:  # a mapping
        return "table"
    return _bounded(kind, meta)


def _several(kind: Any) -> str:
    if kind is str:
        return "texts"
    return "tables" if any(structs_in(kind)) else _type(kind)


def _bounded(kind: type, meta: msgspec.Meta | None) -> str:
    if kind is bool:
        return "`true`, `false`"
    if kind is str:
        return "text" if meta is None or meta.max_length is None else f"text, {_length(meta)}"
    word = "whole number" if kind is int else "number"
    return word if meta is None else f"{word}, {_range(meta)}"


def _length(meta: msgspec.Meta) -> str:
    return f"{meta.min_length or 0} to {meta.max_length} characters"


def _range(meta: msgspec.Meta) -> str:
    low = f"{meta.ge}" if meta.gt is None else f"more than {meta.gt}"
    return f"{low} to {meta.le}"


def main() -> int:
    """Write the page and the list of names."""
    try:
        found = versions(known_versions())
        page = written(PAGE.read_text(encoding="utf-8"), found)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    NAMES.write_text(names_file(found), encoding="utf-8")
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
