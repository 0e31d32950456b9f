"""Who logged in, from what the provider said. Pure.

The claims that are kept have the same names and types whatever the provider calls them:
``email`` (a word), ``email_verified`` (yes or no), ``groups`` and ``organizations`` (lists
of words). Rules can rely on that; what does not fit is left out.
"""

from dataclasses import fields
from typing import Any, Final, TypeGuard

from mintage.errors import UpstreamMisbehaved
from mintage.grant import Identity
from mintage.upstream.picking import Pick
from mintage.upstream.preset import IdentityMap

CLAIMS: Final = (
    "email", "email_verified", "name", "preferred_username", "given_name", "family_name",
    "picture", "locale", "groups", "organizations", "hd", "tid", "oid",
)  # fmt: skip
_MAPPED: Final = tuple(each.name for each in fields(IdentityMap) if each.name != "subject")
_LISTS: Final = frozenset({"groups", "organizations"})
MAX_SUBJECT: Final = 255
_MAX_NUMBER: Final = 2**53
_MAX_TEXT: Final = 1000
_MAX_LIST: Final = 500


def from_claims(claims: dict[str, Any], userinfo: dict[str, Any], where: IdentityMap) -> Identity:
    """The identity in an id_token's *claims*.

    *userinfo* fills gaps; it must be about the same person (OpenID Connect Core §5.3.2).
    """
    if userinfo and userinfo.get("sub") != claims["sub"]:
        raise UpstreamMisbehaved("userinfo is about somebody else")
    merged = _merged(userinfo, {name: v for name, v in claims.items() if v is not None})
    return Identity(
        issuer=claims["iss"],
        subject=_subject(merged, where),
        claims=_claims(merged, where),
    )


def from_answers(answers: dict[str, Any], where: IdentityMap, *, issuer: str) -> Identity:
    """The identity in what the lookups found."""
    return Identity(issuer=issuer, subject=_subject(answers, where), claims=_claims(answers, where))


def _merged(userinfo: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    """Both, the id_token first. Whether an address is verified is told by who told the address."""
    teller = claims if "email" in claims else userinfo
    return userinfo | claims | {"email_verified": teller.get("email_verified")}


def _subject(document: dict[str, Any], where: IdentityMap) -> str:
    """The user's lasting name there; some have a number."""
    value = (where.subject or Pick(("sub",))).read(document)
    if type(value) is int and 0 < value < _MAX_NUMBER:
        value = str(value)
    if not is_text(value) or not 0 < len(value) <= MAX_SUBJECT:
        raise UpstreamMisbehaved("the provider does not say who logged in")
    return value


def _claims(document: dict[str, Any], where: IdentityMap) -> dict[str, Any]:
    found = {name: document.get(name) for name in CLAIMS}
    for name in _MAPPED:
        if (pick := getattr(where, name)) is not None:
            found[name] = pick.read(document)
    for name in _LISTS:
        if isinstance(found[name], str):
            found[name] = [found[name]]
    verified = found.pop("email_verified")
    known = {name: value for name, value in found.items() if _fits(name, value)}
    if "email" in known and verified is not None:
        # Some say it as a word. What is no clear yes is a no: rules let people in by it.
        known["email_verified"] = verified is True or verified == "true"
    return known


def _fits(name: str, value: object) -> bool:
    """Whether *value* is what that claim is: a word, or a list of words; none of them endless."""
    if name not in _LISTS:
        return _is_word(value)
    return isinstance(value, list) and len(value) <= _MAX_LIST and all(map(_is_word, value))


def _is_word(value: object) -> bool:
    return is_text(value) and len(value) <= _MAX_TEXT


def is_text(value: object) -> TypeGuard[str]:
    """A string that UTF-8 can hold: a lone surrogate is none."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False
