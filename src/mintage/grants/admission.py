"""Decides who may log in, from what the identity provider says about the user. Pure.

A rule matches if each of its conditions does, and one matching rule admits the user. Without
rules, every user of the provider may log in.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from string import ascii_uppercase
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from mintage.access.emails import without_unverified_email
from mintage.access.json_pointers import parse_pointer
from mintage.errors import ConfigError, HalfKnown, NotAdmitted
from mintage.grants.states import Identity

_DOMAIN: Final = re.compile(r"[^\s@,]*[.*][^\s@,]*|localhost")  # with * and ? for any characters
_SMALL: Final = {ord(letter): letter.lower() for letter in ascii_uppercase}

Words: TypeAlias = str | tuple[str, ...]
"""One word or several, of which one is enough; ``*`` and ``?`` match any characters."""


class AllowRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[allow]]``: admits users who match all of its conditions.

    Each condition has a word or several, of which one is enough; ``*`` and ``?`` match any
    characters: [who may log in](how-to/say-who-may-log-in.md).
    """

    emails: Words = ()
    """E-mail addresses, in any case. One counts only if the provider says that it is verified."""
    email_domains: Words = ()
    """Domains of e-mail addresses, under the same condition."""
    subjects: Words = ()
    """The users' permanent ids at the provider. With several providers they begin with the
    provider's name.
    """
    groups: Words = ()
    """Groups or roles that the provider lists."""
    organizations: Words = ()
    """GitHub's organizations. Request the scope `read:org` from the provider."""
    teams: Words = ()
    """GitHub's teams, as `organization/team`; the same scope."""
    claims: dict[str, Words] = {}
    """Any claim of the provider, by JSON pointer (RFC 6901); of a list, any member."""
    accept_unverified_emails: bool = False
    """Accepts an address that the provider has not verified. The risk: a user may enter another
    person's address.
    """

    @property
    def asks(self) -> bool:
        """Whether it has any condition."""
        named = (self.emails, self.email_domains, self.subjects, self.groups)
        return any((*named, self.organizations, self.teams, self.claims))

    def misses(self, who: Identity) -> list[str]:
        """The conditions that do not hold for *who*, by name; empty if the rule admits the user.

        `_claim_of` tells which claim each is about.
        """
        trusts_any = self.accept_unverified_emails
        claims = who.claims if trusts_any else without_unverified_email(who.claims)
        email = claims.get("email")
        email = email if isinstance(email, str) else ""
        found = {
            "emails": ([email], self.emails),
            "email_domains": ([email.rpartition("@")[2]], self.email_domains),
            "subjects": ([who.subject], self.subjects),
            "groups": (_words(claims.get("groups")), self.groups),
            "organizations": (_words(claims.get("organizations")), self.organizations),
            "teams": (_words(claims.get("groups")), self.teams),
        } | {
            f"claims {pointer}": (_words(_at(claims, pointer)), wanted)
            for pointer, wanted in self.claims.items()
        }
        folded = {"emails", "email_domains"}
        return [
            name
            for name, (have, wanted) in found.items()
            if wanted and not _any_fits(have, wanted, fold=name in folded)
        ]


def admit(rules: Sequence[AllowRule], who: Identity) -> None:
    """Returns if one of *rules* matches *who*, or if there are none.

    Raises `NotAdmitted`, which says what each rule misses; and `HalfKnown` if all that a rule
    misses is in a list that the provider did not return in full.
    """
    missed = [rule.misses(who) for rule in rules]
    if not missed or not all(missed):
        return
    told = "; ".join(f"rule {n} misses {', '.join(names)}" for n, names in enumerate(missed, 1))
    half = set(who.incomplete)
    if any({_claim_of(name) for name in names} <= half for names in missed):
        raise HalfKnown(f"the provider did not name all {', '.join(sorted(half))}; {told}")
    raise NotAdmitted(told)


def _claim_of(missed: str) -> str:
    """The claim that a condition compares."""
    if missed.startswith("claims /"):
        return missed.removeprefix("claims /").partition("/")[0]
    return {"teams": "groups", "emails": "email", "email_domains": "email"}.get(missed, missed)


def admit_again(
    rules: Sequence[AllowRule],
    before: Identity,
    now: Identity,
    complete: bool,  # noqa: FBT001  (as `Judge` has it)
) -> Identity:
    """`admit`, for a user who was admitted as *before*. Returns who the user is from now on.

    What the provider leaves out is taken from *before*, unless it was asked for everything:
    userinfo often says less than the first response. A list that it did not return in full is taken
    from *before* too.
    """
    if now.subject != before.subject:
        raise NotAdmitted("the provider speaks of another user than before")
    half = {name: before.claims[name] for name in now.incomplete if name in before.claims}
    known = (now.claims if complete else before.claims | now.claims) | half
    same_email = now.claims.get("email") in (None, before.claims.get("email"))
    if not complete and same_email and "email_verified" in before.claims:
        known = known | {"email_verified": before.claims["email_verified"]}
    who = replace(now, issuer=before.issuer, claims=known)
    admit(rules, who)
    return who


def check_rules(rules: Sequence[AllowRule]) -> None:
    """Raises `ConfigError` for a rule that can't be intended."""
    for number, rule in enumerate(rules):
        key = f"allow[{number}]"
        if not rule.asks:
            raise ConfigError(key, "asks for nothing: it would let everybody in")
        for pointer in rule.claims:
            try:
                parse_pointer(pointer)
            except ValueError:
                raise ConfigError(f"{key}.claims", "holds JSON pointers, like /groups") from None
        if not all("/" in team for team in _each(rule.teams)):
            raise ConfigError(f"{key}.teams", "holds teams like organization/team")
        if not all(map(_DOMAIN.fullmatch, _each(rule.email_domains))):
            raise ConfigError(
                f"{key}.email_domains", "holds domains like example.com, without an @ in front"
            )
        if not all("@" in email for email in _each(rule.emails)):
            raise ConfigError(f"{key}.emails", "holds addresses like alice@example.com")


def _each(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


def _any_fits(have: Iterable[str], wanted: Words, *, fold: bool) -> bool:
    patterns = _each(wanted)
    if fold:  # addresses differ in case where people do not
        have, patterns = map(_lower, have), tuple(map(_lower, patterns))
    return any(word and fnmatchcase(word, pattern) for word in have for pattern in patterns)


def _lower(text: str) -> str:
    """*text* with only ASCII letters in lower case. Unicode's folding turns U+212A into "k"."""
    return text.translate(_SMALL)


def _words(value: object) -> list[str]:
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str)]
    if isinstance(value, bool):
        return [str(value).lower()]
    return [value] if isinstance(value, str) else []


def _at(claims: object, pointer: str) -> object:
    """The value at *pointer*, or None."""
    for name in parse_pointer(pointer):
        if isinstance(claims, Mapping):
            claims = claims.get(name)
        elif isinstance(claims, list) and name.isdecimal() and int(name) < len(claims):
            claims = claims[int(name)]
        else:
            return None
    return claims
