"""What a backend writes down of each request that it handles, and where its router took it."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

PLACES: Final = {"admin": "admin", "secret": "secret", "mcp": "mcp"}


def place_of(segments: list[str]) -> str:
    """The part of the application that the *segments* below its prefix are in."""
    if segments[:2] == ["files", "keys"]:
        return "keys"
    return "files" if segments[:1] == ["files"] else PLACES.get("".join(segments[:1]), "root")


class Log:
    """A file with a line of JSON for each request. Lines are whole, whoever else writes."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(
        self,
        *,
        method: str,
        target: str,
        places: Iterable[str],
        headers: Iterable[tuple[str, str]],
        body: bytes,
        cookies: Mapping[str, str],
        trailers: Iterable[str] = (),
    ) -> None:
        seen: dict[str, Any] = {
            "method": method,
            "target": target,
            "places": sorted(set(places)),
            "headers": [[name, value] for name, value in headers],
            "body": body.decode("latin-1"),
            "cookies": list(cookies),
            "trailers": list(trailers),
        }
        os.write(self._file, json.dumps(seen).encode() + b"\n")
