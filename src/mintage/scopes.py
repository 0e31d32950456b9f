"""Which scopes a request needs, and whether those that were granted are enough. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from mintage.emails import without_unverified_email
from mintage.segments import folded_segments
from mintage.values import Scopes


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Scopes that hold others: who was granted ``admin`` has ``read`` if *implies* says so."""

    implies: Mapping[str, Scopes] = field(default_factory=dict)

    def reach(self, granted: Iterable[str]) -> frozenset[str]:
        """All that *granted* holds, itself included, however far down."""
        reached: set[str] = set()
        ahead = list(granted)
        while ahead:
            scope = ahead.pop()
            if scope not in reached:
                reached.add(scope)
                ahead.extend(self.implies.get(scope, ()))
        return frozenset(reached)

    def covers(self, granted: Iterable[str], needed: Iterable[str]) -> bool:
        """Whether nothing of *needed* is missing."""
        if not self.implies:
            return frozenset(granted).issuperset(needed)
        return self.reach(granted).issuperset(needed)


FLAT: Final = Hierarchy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What rules look at. *path* is below the resource's own, *tool* its ``Mcp-Name``.

    *operation* (``Mcp-Method``) and *tool* are None where the request names none.
    """

    method: str
    path: str
    operation: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the calls that match need on top. What a rule leaves empty matches every call.

    *path* holds for itself and everything below; ``*`` in it stands for one segment.
    *operations* and *tools* may hold ``*`` for any characters. *claims*: what the identity
    provider must have said of the user, by claim one of the values, with ``*`` likewise.
    """

    methods: frozenset[str] = frozenset()
    path: str = ""
    operations: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    scopes: Scopes = ()
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reads_mcp_headers(self) -> bool:
        return bool(self.operations or self.tools)

    def matches(self, call: Call) -> bool:
        return (
            (not self.methods or _asked(call.method) in self.methods)
            and _is_below(call.path, self.path)
            and _any_match(call.operation, self.operations)
            and _any_match(call.tool, self.tools)
        )

    def accepts(self, claims: Mapping[str, Any]) -> bool:
        """Whether the user is one of those that the rule lets in.

        ``email`` counts only if the provider says that it is verified.
        """
        known = without_unverified_email(claims)
        return all(
            any(_any_match(value, wanted) for value in _values(known.get(name)))
            for name, wanted in self.claims.items()
        )


def needed(base: Scopes, rules: Iterable[Rule], call: Call) -> Scopes:
    """*base* and what each matching rule adds, each once."""
    more = (scope for rule in rules if rule.matches(call) for scope in rule.scopes)
    return tuple(dict.fromkeys((*base, *more)))


def _asked(method: str) -> str:
    """HEAD asks what GET asks."""
    return "GET" if method == "HEAD" else method


def _is_below(path: str, pattern: str) -> bool:
    """Whether some server could read *path* as one below *pattern*.

    In doubt it is: a rule only asks for more.
    """
    wanted, have = _wanted(pattern), folded_segments(path)
    plain = "//" not in path and "%2f" not in path.lower()
    if not plain or len(have) != sum(1 for part in path.split("/") if part):
        # A segment may be several to the backend, or none: "*" is any number of them.
        rest = iter(have)
        return all(want in rest for want in wanted if want != "*")
    return len(have) >= len(wanted) and all(
        want in ("*", part) for want, part in zip(wanted, have, strict=False)
    )


_wanted = lru_cache(maxsize=1024)(folded_segments)


def _any_match(value: str | None, globs: tuple[str, ...]) -> bool:
    return not globs or (value is not None and any(fnmatchcase(value, glob) for glob in globs))


def _values(claim: object) -> list[str]:
    found = claim if isinstance(claim, list) else [claim]
    return [value for value in found if isinstance(value, str)]
