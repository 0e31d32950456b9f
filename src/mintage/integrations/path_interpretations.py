"""Which resource a path is in, in every way in which an application could read it. Pure.

The gateway forwards the canonical path that it checked. Here the application routes afterwards, by
the decoded path, with or without the prefix that it is mounted at. A path that any of these
readings takes for a resource's is treated as one. A path on which they could differ is refused.
"""

import re
from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any, Final, Generic, TypeAlias, TypeVar
from urllib.parse import quote, unquote

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import InvalidRequest
from mintage.gateway.paths import Match, nothing_ambiguous, read_leniently, route
from mintage.web.repeated_heads import REPEATED

T = TypeVar("T")

_AS_THEY_ARE: Final = "/-._~!$&'()*+,;=:@"
_SEPARATORS: Final = re.compile(r"[/\\]")
_KEPT: Final = 1000  # paths
_LONGEST_KEPT: Final = 400  # characters of such a path, decoded and as it came
_Path: TypeAlias = tuple[str, bytes | None, str]
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f]")


def public_path(scope: Mapping[str, Any]) -> str:
    """The path as the client wrote it: a proxy may have removed the ``root_path``."""
    path, root = _split(scope)
    return path if not root or _is_below(path, root) else root + path


def located(scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """*scope* with the path as the client wrote it."""
    path = public_path(scope)
    if path == scope["path"]:
        return scope
    return {**scope, "path": path, "raw_path": _encoded(path), REPEATED: None}


def find(
    scope: Mapping[str, Any],
    resources: Mapping[str, T],
    allowed: Callable[[T], Collection[str]] = nothing_ambiguous,
) -> Match[T] | None:
    """The resource that the request of an ASGI *scope* is for, or None.

    *allowed*: see `route`. Raises `InvalidRequest` for a path with two readings, if one of them
    leads to a resource.
    """
    readings = _readings(scope)
    try:
        route(scope.get("raw_path") or b"/", resources, allowed)
        matches = [route(_encoded(path), resources, allowed) for path in readings]
    except InvalidRequest:
        if _could_mean(public_path(scope), resources):
            raise
        return None
    match = next(filter(None, matches), None)
    if match is None and any(read_leniently(_encoded_text(path), resources) for path in readings):
        raise InvalidRequest("the path is ambiguous: spell it as the resource is spelled")
    return match


class Places(Generic[T]):
    """`find` among the same resources, for one request after the other.

    What it found for a path is kept: that depends on nothing but the path.
    """

    def __init__(
        self,
        resources: Mapping[str, T],
        allowed: Callable[[T], Collection[str]] = nothing_ambiguous,
    ) -> None:
        self._resources = resources
        self._allowed = allowed
        self._found: BoundedMemory[_Path, Match[T] | None] = BoundedMemory(_KEPT)

    def find(self, scope: Mapping[str, Any]) -> Match[T] | None:
        """What `find` returns. Raises as that does."""
        raw = scope.get("raw_path")
        path = scope["path"], raw, scope.get("root_path", "")
        if path in self._found:
            return self._found[path]
        found = find(scope, self._resources, self._allowed)
        if len(path[0]) + len(raw or b"") <= _LONGEST_KEPT:
            self._found[path] = found
        return found


def _encoded_text(path: str) -> str:
    return quote(path, safe=_AS_THEY_ARE, errors="replace")


def _encoded(path: str) -> bytes:
    return _encoded_text(path).encode()


def _readings(scope: Mapping[str, Any]) -> list[str]:
    """What the application may take for the path, the most likely reading first."""
    path, root = _split(scope)
    if not root:
        return [path]
    if _is_below(path, root):
        return [path, path[len(root) :] or "/"]
    return [root + path, path]


def _split(scope: Mapping[str, Any]) -> tuple[str, str]:
    return scope["path"], scope.get("root_path", "").rstrip("/")


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _could_mean(path: str, resources: Mapping[str, T]) -> bool:
    """Whether a program that decodes, cleans and shortens *path* in any way may find one."""
    while (decoded := unquote(path)) != path:
        path = decoded
    have = [_UNSEEN.sub("", part).partition(";")[0] for part in _SEPARATORS.split(path)]
    return any(_holds(have, resource.strip("/").split("/")) for resource in resources)


def _holds(have: list[str], wanted: list[str]) -> bool:
    """Whether *have* contains all of *wanted* in this order, with anything in between."""
    rest = iter(have)
    return all(part in rest for part in wanted)
