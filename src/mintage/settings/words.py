"""Settings that have one of some words: which words these are, for who wrote another."""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec


def none_of(said: str, words: Sequence[str]) -> str:
    """That *said* is none of *words*, and which of them it resembles."""
    near = difflib.get_close_matches(said, words, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{said!r} is none of: {', '.join(words)}{hint}"


def words_for(file: type[msgspec.Struct], path: str) -> list[str]:
    """The words that the setting at *path* in *file* may have: ``resource[0].credential``."""
    kinds: list[Any] = [file]
    for name in re.sub(r"\[[^]]*\]", "", path).split("."):
        kinds = [
            field.type
            for kind in kinds
            for part in _within(kind)
            if isinstance(part, type) and issubclass(part, msgspec.Struct)
            for field in msgspec.structs.fields(part)
            if field.encode_name == name
        ]
    parts = (part for kind in kinds for part in _within(kind))
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    return list(dict.fromkeys(words))  # one section and a list of them have the same


def _within(kind: Any) -> Iterator[Any]:
    """*kind*, and the types that it is made of."""
    yield kind
    if get_origin(kind) is not Literal:
        for part in get_args(kind):
            yield from _within(part)
