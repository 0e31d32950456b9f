"""Explains in sentences which rule decides about a call, and why. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mintage.access.scopes import Call, Hierarchy, Rule, needed
from mintage.values import Scopes


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """*lines* say of each rule whether it matches and what it requires; the last line decides."""

    allowed: bool
    lines: tuple[str, ...]


def explain(
    base: Scopes,
    rules: Iterable[Rule],
    call: Call,
    *,
    granted: Scopes,
    claims: Mapping[str, Any],
    hierarchy: Hierarchy,
) -> Explanation:
    """What a resource answers to *call* with a token that has the scopes *granted*."""
    rules = tuple(rules)
    lines = [f"Every request needs {_words(base)}." if base else "Every request needs a token."]
    lines += [f"Rule {number} {_about(rule, call, claims)}" for number, rule in enumerate(rules, 1)]
    if not rules:
        lines.append("There are no rules.")
    wanted = needed(base, rules, (call,))
    missing = [scope for scope in wanted if not hierarchy.covers(granted, (scope,))]
    refusing = [
        str(number)
        for number, rule in enumerate(rules, 1)
        if rule.matches(call) and not rule.accepts(claims)
    ]
    if missing:
        lines.append(
            f"Refused with 403 insufficient_scope: the token has {_words(granted)}, "
            f"and {_words(missing)} is missing."
        )
    elif refusing:
        lines.append(
            f"Refused with 403 access_denied: rule {' and '.join(refusing)} does not take the user."
        )
    else:
        lines.append("Allowed: the token has all that the matching rules need.")
    return Explanation(allowed=not missing and not refusing, lines=tuple(lines))


def _about(rule: Rule, call: Call, claims: Mapping[str, Any]) -> str:
    """What *rule* does with *call*, to print after the rule's number."""
    differing = _differing(rule, call)
    if differing:
        return f"does not match: {'; '.join(differing)}."
    asked = [f"needs {_words(rule.scopes)}"] if rule.scopes else []
    for name, wanted in rule.claims.items():
        has = Rule(claims={name: wanted}).accepts(claims)
        verdict = "which the user has" if has else "which the user does not have"
        asked.append(f"needs the claim {name} to be {_words(wanted, 'or')}, {verdict}")
    return f"matches: it {' and '.join(asked)}."


def _differing(rule: Rule, call: Call) -> list[str]:
    """Why *rule* does not match *call*; empty where it does."""
    found = []
    if not Rule(methods=rule.methods).matches(call):
        found.append(f"the HTTP method {call.method} is not {_words(sorted(rule.methods), 'or')}")
    if not Rule(path=rule.path).matches(call):
        found.append(f"the path {call.path or '/'} is not below {rule.path}")
    if not Rule(operations=rule.operations).matches(call):
        said = (
            f"the MCP method is {call.operation}" if call.operation else "there is no MCP message"
        )
        found.append(f"{said}, not {_words(rule.operations, 'or')}")
    if not Rule(tools=rule.tools).matches(call):
        said = (
            f"the message names {_words(call.names)}" if call.names else "the message names nothing"
        )
        found.append(f"{said}, not {_words(rule.tools, 'or')}")
    return found


def _words(words: Iterable[str], between: str = "and") -> str:
    return f" {between} ".join(words) or "no scopes"
