"""Reads JSON strictly: what two parsers could read differently is refused. Pure.

UTF-8 without a byte order mark (RFC 8259 §8.1), no name twice in an object however it is spelled,
no lone surrogates, nothing that only some parsers accept (NaN, comments), nothing after the end.
"""

import json
from typing import Any, Final

MAX_DEPTH: Final = 64


class UnreadableJson(ValueError):
    """Not JSON, or JSON that two parsers could read differently. The text says what to change."""


def read_json(body: bytes) -> Any:
    """The value in *body*. Raises `UnreadableJson`, and nothing else."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise UnreadableJson("must be encoded as UTF-8") from None
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:  # how a lone surrogate gets in, which is no character
            json.dumps(value, ensure_ascii=False).encode()
    except UnreadableJson:
        raise
    except UnicodeEncodeError:
        raise UnreadableJson("must not hold half a surrogate pair") from None
    except RecursionError:
        raise UnreadableJson("is nested too deeply") from None
    except ValueError:
        raise UnreadableJson("must be JSON (RFC 8259), and nothing else") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise UnreadableJson("is nested too deeply")
    return value


def write_json(value: object) -> bytes:
    """*value*, which was read here, without blanks and line breaks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableJson("must not hold a name twice in one object")
    return found


def _constant(name: str) -> None:
    raise UnreadableJson(f"must not hold {name}: it is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _depth(value: object) -> int:
    """How deeply arrays and objects are nested, counted up to one beyond the limit."""
    deepest, level = 0, [value]
    while outer := [each for each in level if isinstance(each, dict | list)]:
        deepest += 1
        if deepest > MAX_DEPTH:
            break
        level = [
            inner for each in outer for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return deepest
