"""Who logged in, by what the provider said. Pure.

The claims that are kept have the same names and types for every provider: ``email`` (a string),
``email_verified`` (a boolean), ``groups`` and ``organizations`` (lists of strings). Rules can rely
on that. Values that do not fit are left out.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final, TypeGuard

from msgspec.structs import replace

from mintage.errors import UpstreamMisbehaved
from mintage.grants.states import Identity
from mintage.upstream.json_paths import Each, Pick
from mintage.upstream.preset import IdentityMap

CLAIMS: Final = (
    "email", "email_verified", "name", "preferred_username", "given_name", "family_name",
    "picture", "locale", "groups", "organizations", "hd", "tid", "oid",
)  # fmt: skip
_MAPPED: Final = tuple(each for each in IdentityMap.__struct_fields__ if each != "subject")
_LISTS: Final = frozenset({"groups", "organizations"})
MAX_SUBJECT: Final = 255
_MAX_NUMBER: Final = 2**53
_MAX_TEXT: Final = 1000
_MAX_LIST: Final = 500


def from_claims(claims: dict[str, Any], userinfo: dict[str, Any], where: IdentityMap) -> Identity:
    """The identity in an id_token's *claims*.

    *userinfo* fills gaps; it must be about the same person (OpenID Connect Core §5.3.2).
    """
    if userinfo and _number_as_text(userinfo.get("sub")) != claims["sub"]:
        raise UpstreamMisbehaved("userinfo is about somebody else")
    merged = _merged(userinfo, {name: v for name, v in claims.items() if v not in (None, "")})
    # OpenID Connect Core §5.6.2: these claims exist, but elsewhere. Entra does so
    # with the groups of users who have too many.
    elsewhere = merged.get("_claim_names")
    half = set(elsewhere) if isinstance(elsewhere, dict) else set()
    if merged.get("hasgroups") in (True, "true"):
        half.add("groups")
    return _identity(merged, where, claims["iss"], half)


def from_answers(
    answers: dict[str, Any], where: IdentityMap, *, issuer: str, half: Collection[str] = ()
) -> Identity:
    """The identity in the answers to the lookups. *half*: the ones that were incomplete."""
    return _identity(answers, where, issuer, half)


def _identity(
    document: dict[str, Any], where: IdentityMap, issuer: str, half: Collection[str]
) -> Identity:
    claims, unread = _claims(document, where)
    incomplete = unread | {name for name in _LISTS if _source(name, where) in half}
    return Identity(
        issuer=issuer,
        subject=_subject(document, where),
        claims=claims,
        incomplete=tuple(sorted(incomplete)),
    )


def _source(name: str, where: IdentityMap) -> str:
    """The member of the document that the list *name* is read from."""
    pick = getattr(where, name)
    return name if pick is None else str(pick.path[0])


def _merged(userinfo: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    """Both, the id_token first. Whether an address is verified comes from the same source."""
    teller = claims if "email" in claims else userinfo
    return userinfo | claims | {"email_verified": teller.get("email_verified")}


def _subject(document: dict[str, Any], where: IdentityMap) -> str:
    """The user's permanent identifier there; for some providers it is a number."""
    value = _number_as_text((where.subject or Pick(("sub",))).read(document))
    if not is_text(value) or not 0 < len(value) <= MAX_SUBJECT:
        raise UpstreamMisbehaved("the provider does not say who logged in")
    return value


def _number_as_text(value: object) -> object:
    return str(value) if type(value) is int and 0 < value < _MAX_NUMBER else value


def _claims(document: dict[str, Any], where: IdentityMap) -> tuple[dict[str, Any], set[str]]:
    """(claims, the lists of which something was left out)."""
    found = {name: told for name in CLAIMS if (told := document.get(name)) is not None}
    for name, pick in _picks(where):
        found[name] = pick.read(document)
    unread = set()
    for name in _LISTS:
        pick, read = getattr(where, name), found.pop(name, None)
        told = Pick(pick.path).read(document) if isinstance(pick, Each) else read
        kept = _words(read)
        if kept is not None and (kept or read == []):
            found[name] = kept
        if told is not None and (kept is None or len(kept) < _length(told)):
            unread.add(name)
    verified = found.pop("email_verified", None)
    known = {}
    for name, value in found.items():
        told = value if name in _LISTS else _alone(value)
        if name in _LISTS or _is_word(told):
            known[name] = told
    if "email" in known and verified is not None:
        # Some send it as a string. Anything but a clear yes is a no: rules admit users by it.
        known["email_verified"] = verified is True or verified == "true"
    return known, unread


@lru_cache(maxsize=64)
def _picks(where: IdentityMap) -> tuple[tuple[str, Each | Pick], ...]:
    """What *where* says of claims. There are as few of these as providers."""
    named = ((name, getattr(where, name)) for name in _MAPPED)
    return tuple((name, pick) for name, pick in named if pick is not None)


def vouched(who: Identity) -> Identity:
    """*who*, at a provider that verifies every address and has no claim for it."""
    if "email" not in who.claims or "email_verified" in who.claims:
        return who
    return replace(who, claims=who.claims | {"email_verified": True})


def _alone(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _words(value: object) -> list[str] | None:
    """The words of a list, or one word; None for anything else, and for a list that is too long."""
    if isinstance(value, str):
        value = [value] if value else []
    if not isinstance(value, list) or len(value) > _MAX_LIST:
        return None
    return [word for word in value if _is_word(word)]


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 1 if value else 0


def _is_word(value: object) -> bool:
    return is_text(value) and len(value) <= _MAX_TEXT


def is_text(value: object) -> TypeGuard[str]:
    """A string that UTF-8 can encode, so without lone surrogates."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False
