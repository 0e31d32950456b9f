"""Which scopes a request needs, and whether the granted ones are enough. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from posixpath import normpath
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from mintage.access.emails import without_unverified_email
from mintage.access.segments import folded_segments
from mintage.values import Scopes


class Hierarchy(msgspec.Struct, frozen=True):
    """Scopes that include others: a token with ``admin`` also has ``read`` if *implies* says so."""

    implies: Mapping[str, Scopes] = msgspec.field(default_factory=dict)

    def reach(self, granted: Iterable[str]) -> frozenset[str]:
        """*granted*, and all scopes that these include, directly or not."""
        reached: set[str] = set()
        ahead = list(granted)
        while ahead:
            scope = ahead.pop()
            if scope not in reached:
                reached.add(scope)
                ahead.extend(self.implies.get(scope, ()))
        return frozenset(reached)

    def covers(self, granted: Iterable[str], needed: Iterable[str]) -> bool:
        """Whether *granted* has or includes each of *needed*."""
        if not self.implies:
            return frozenset(granted).issuperset(needed)
        return self.reach(granted).issuperset(needed)


FLAT: Final = Hierarchy()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What rules compare. *path* is relative to the resource's own.

    *operation* is the method of an MCP message. It is None without a message, and for a response
    that the client sends. *names*: every tool, prompt or resource that the message names.
    """

    method: str
    path: str
    operation: str | None = None
    names: tuple[str, ...] = ()

    def naming(self, operation: str | None, names: tuple[str, ...]) -> "Call":
        """The same request with a message in it."""
        return msgspec.structs.replace(self, operation=operation, names=names)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What matching calls need in addition. An empty condition matches every call.

    *path* matches itself and every path below it; ``*`` in it is one segment. *operations* and
    *tools* may have ``*`` for any characters, and ignore case. *claims*: for each claim, the values
    of which the identity provider must have given one, with ``*`` likewise.
    """

    methods: frozenset[str] = frozenset()
    path: str = ""
    operations: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    scopes: Scopes = ()
    claims: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    @property
    def reads_mcp(self) -> bool:
        """Whether it compares an MCP method, or what a message names."""
        return bool(self.operations or self.tools)

    def matches(self, call: Call) -> bool:
        return (
            self.may_match(call)
            and _any_named((() if call.operation is None else (call.operation,)), self.operations)
            and _any_named(call.names, self.tools)
        )

    def may_match(self, call: Call) -> bool:
        """Whether it matches *call*, or could match it with some MCP message in it."""
        return (not self.methods or _asked(call.method) in self.methods) and _is_below(
            call.path, self.path
        )

    def accepts(self, claims: Mapping[str, Any]) -> bool:
        """Whether the rule accepts a user with these *claims*.

        ``email`` counts only if the provider says that it is verified.
        """
        known = without_unverified_email(claims)
        return all(
            any(_any_match(value, wanted) for value in _values(known.get(name)))
            for name, wanted in self.claims.items()
        )


def needed(base: Scopes, rules: Iterable[Rule], calls: Sequence[Call]) -> Scopes:
    """*base*, and what each rule adds that matches one of *calls*. Each scope comes once."""
    if not calls:
        return base
    more = (scope for rule in rules if any(map(rule.matches, calls)) for scope in rule.scopes)
    return tuple(dict.fromkeys((*base, *more)))


def reads_messages(rules: Iterable[Rule], call: Call) -> bool:
    """Whether one of *rules* can decide about *call* only with the MCP message in it."""
    return any(rule.reads_mcp and rule.may_match(call) for rule in rules)


def _asked(method: str) -> str:
    """The method for rules: HEAD needs what GET needs."""
    return "GET" if method == "HEAD" else method


def _is_below(path: str, pattern: str) -> bool:
    """Whether any server could read *path* as one below *pattern*. If in doubt, yes.

    A rule only requires more, so the doubtful answer is the safe one.
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


def _any_named(names: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    """Whether any server could read one of *names* as one of *globs*. If in doubt, yes."""
    return not globs or any(
        _any_match(reading, _folded_globs(globs)) for name in names for reading in _readings(name)
    )


@lru_cache(maxsize=256)
def _folded_globs(globs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_folded, globs))


_URI_LIKE: Final = re.compile(r"[/%\\:?#]")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):")


@lru_cache(maxsize=1024)
def _readings(name: str) -> frozenset[str]:
    """The ways in which servers may read *name*: without case, and a URI in every usual form.

    That is: decoded, with dot segments resolved, with and without query, fragment, port and user,
    and with any number of slashes after the scheme.
    """
    found = {_folded(name)}
    if not _URI_LIKE.search(name):
        return frozenset(found)
    decoded = _folded(unquote(unquote(name))).replace("\\", "/")
    for text in {decoded, decoded.partition("#")[0], re.split("[?#]", decoded, maxsplit=1)[0]}:
        found.add(text)
        scheme = _SCHEME.match(text)
        if scheme is None:
            found.add(normpath(f"/{text}")[1:])
            continue
        rest = text[scheme.end() :].lstrip("/")
        host, slash, path = rest.partition("/")
        bare = host.rpartition("@")[2].partition(":")[0]
        for start in {host, bare, "" if bare == "localhost" else bare}:
            where = normpath(f"/{start}{slash}{path}").lstrip("/")
            found |= {f"{scheme[1]}:{slashes}{where}" for slashes in ("", "/", "//", "///")}
    return frozenset(found)


def _folded(text: str) -> str:
    """*text* in compatibility form (NFKC), without case and without blanks at its ends."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return plain.strip().casefold()


def _any_match(value: str | None, globs: tuple[str, ...]) -> bool:
    return not globs or (value is not None and any(fnmatchcase(value, glob) for glob in globs))


def _values(claim: object) -> list[str]:
    found = claim if isinstance(claim, list) else [claim]
    return [value for value in found if isinstance(value, str)]
