"""Which workload an assertion is of, by rules on its claims. Pure.

A value is compared as a whole: there is no prefix. ``*`` is one whole part between two separators,
and a part has letters, digits, ``-`` and ``_`` alone. So ``repo:octo-org/*`` is each repository of
that organization, and neither ``repo:octo-org/x:ref:refs/heads/main`` nor ``repo:octo-org-2/x``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from mintage.access.json_pointers import parse_pointer
from mintage.trust.issuer import WorkloadRule

_PART: Final = r"[A-Za-z0-9_-]+"
_BESIDE: Final = re.compile(r"[A-Za-z0-9_*-]\*|\*[A-Za-z0-9_-]")
_MAX_VALUE: Final = 2048

SHARED_ISSUERS: Final[Mapping[str, frozenset[str]]] = {
    "https://token.actions.githubusercontent.com": frozenset(
        {"sub", "repository", "repository_id", "repository_owner", "repository_owner_id"}
    ),
    "https://gitlab.com": frozenset(
        {"sub", "project_path", "project_id", "namespace_path", "namespace_id"}
    ),
    "https://accounts.google.com": frozenset({"sub", "email", "azp"}),
}
"""Issuers that anybody can get assertions of, and the claims of which a rule must have one."""


def check_pattern(text: str) -> None:
    """Raises ``ValueError`` for a value that a rule can't have."""
    if not text or len(text) > _MAX_VALUE or not text.isprintable():
        raise ValueError("is empty, too long, or has characters that no claim has")
    if _BESIDE.search(text):
        raise ValueError(
            f"{text!r}: * is a whole part, as in repo:octo-org/*; beside a letter or a digit it "
            "would match names that others can take"
        )
    if not re.search(r"[A-Za-z0-9]", text):
        raise ValueError(f"{text!r} matches whatever an issuer says: name a part of it")


def matching(rules: Sequence[WorkloadRule], claims: Mapping[str, Any]) -> Iterator[WorkloadRule]:
    """Those of *rules* that fit a workload with these *claims*, in their order."""
    return (rule for rule in rules if fits(rule, claims))


def fits(rule: WorkloadRule, claims: Mapping[str, Any]) -> bool:
    """Whether each claim of *rule* has one of the values that it names."""
    return bool(rule.claims) and all(
        any(_fits(pattern, value) for pattern in wanted for value in _values(claims, name))
        for name, wanted in rule.claims.items()
    )


def told(rules: Sequence[WorkloadRule], claims: Mapping[str, Any]) -> dict[str, Any]:
    """The members of *claims* that *rules* ask for: enough to judge by the rules again."""
    tops = {_path(name)[0] for rule in rules for name in rule.claims}
    return {top: claims[top] for top in sorted(tops) if top in claims}


def _path(name: str) -> tuple[str, ...]:
    """Where the claim called *name* is: a JSON pointer, or a member by its name."""
    return parse_pointer(name) if name.startswith("/") else (name,)


def _values(claims: Mapping[str, Any], name: str) -> list[str]:
    """The texts at *name*: of a list each one, of a number or a boolean its JSON."""
    found: Any = claims
    for step in _path(name):
        if not isinstance(found, Mapping):
            return []
        found = found.get(step)
    several = found if isinstance(found, list) else [found]
    return [text for one in several if (text := _text(one)) is not None]


def _text(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return value
        case _:
            return None


def _fits(pattern: str, value: str) -> bool:
    return len(value) <= _MAX_VALUE and _compiled(pattern).fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_PART.join(map(re.escape, pattern.split("*"))))
