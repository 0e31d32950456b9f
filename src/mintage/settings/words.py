"""Settings that take one of several words: which ones, for an error message."""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec


def none_of(said: str, words: Sequence[str]) -> str:
    """A sentence that *said* is none of *words*, and which of them it resembles."""
    return f"{said!r} is none of: {', '.join(words)}{guess(said, words)}"


def guess(said: str, words: Sequence[str]) -> str:
    """The end of a sentence that names the one of *words* that *said* resembles, if any."""
    near = difflib.get_close_matches(said, words, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def names_beside(file: type[msgspec.Struct], path: str) -> list[str]:
    """The names of all settings in the same table of *file* as the setting at *path*."""
    above = path.rpartition(".")[0]
    fields = (field for part in _tables(file, above) for field in msgspec.structs.fields(part))
    return list(dict.fromkeys(field.encode_name for field in fields))


def words_for(file: type[msgspec.Struct], path: str) -> list[str]:
    """The words that the setting at *path* in *file* may have: ``resource[0].credential``."""
    parts = (part for kind in _kinds(file, path) for part in _within(kind))
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    return list(dict.fromkeys(words))  # one section and a list of them have the same


def _kinds(file: type[msgspec.Struct], path: str) -> list[Any]:
    """The types that the setting at *path* in *file* may have."""
    kinds: list[Any] = [file]
    for name in filter(None, re.sub(r"\[[^]]*\]", "", path).split(".")):
        kinds = [
            field.type
            for kind in kinds
            for part in structs_in(kind)
            for field in msgspec.structs.fields(part)
            if field.encode_name == name
        ]
    return kinds


def _tables(file: type[msgspec.Struct], path: str) -> Iterator[type[msgspec.Struct]]:
    for kind in _kinds(file, path):
        yield from structs_in(kind)


def structs_in(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The tables that a setting of type *kind* may be, or hold."""
    for part in _within(kind):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            yield part


def _within(kind: Any) -> Iterator[Any]:
    """*kind*, and the types that it consists of."""
    yield kind
    if get_origin(kind) is not Literal:
        for part in get_args(kind):
            yield from _within(part)
