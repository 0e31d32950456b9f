"""Which headers the gateway forwards in each direction. Pure functions on raw header lists.

A backend trusts the identity headers that it gets. So no header of the client may look like one, in
any spelling that a server behind the gateway might accept (RFC 9700 §4.13).
"""

import logging
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote, urljoin

from mintage.access.emails import verified_email
from mintage.errors import InvalidRequest
from mintage.gateway.header_names import ALL, HOP_BY_HOP, Passing, named_by_connection
from mintage.grants.states import Identity
from mintage.web.cookie_header import cookie_pairs, set_cookie_name
from mintage.web.header_lines import lines_of

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

_REWRITTEN: Final = frozenset({b"location", b"set-cookie"})
_OURS: Final = frozenset({b"date", b"dpop-nonce"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_OUR_COOKIES: Final = (b"__host-mintage-", b"mintage-")
MAX_GROUP_BYTES: Final = 8192  # of the header with a user's groups, unless settings say otherwise
GROUPS_TRUNCATED: Final = "x-forwarded-groups-truncated"
# Every header that `identity_headers` may give.
TELLING: Final = (
    "x-forwarded-user",
    "x-forwarded-preferred-username",
    "x-forwarded-groups",
    GROUPS_TRUNCATED,
    "x-forwarded-email",
)

log = logging.getLogger("mintage.gateway")


def check_framing(headers: RawHeaders) -> None:
    """Refuse a message whose end two servers could see in two places (RFC 9112 §6.3)."""
    framing = [header for header in headers if header[0] in _FRAMING]
    if not framing:
        return
    lengths = [value for name, value in framing if name == b"content-length"]
    codings = [value for name, value in framing if name == b"transfer-encoding"]
    if lengths and codings:
        raise InvalidRequest("send Content-Length or Transfer-Encoding, not both")
    if len(lengths) > 1 or any(not value.isdigit() for value in lengths):
        raise InvalidRequest("Content-Length must be one number")
    if len(codings) > 1 or any(value.strip().lower() != b"chunked" for value in codings):
        raise InvalidRequest("Transfer-Encoding must be chunked")


def to_backend(
    headers: RawHeaders,
    *,
    identity: RawHeaders,
    authorization: str | None,
    client_host: str | None,
    scheme: str,
    host: str,
    passing: Passing = ALL,
) -> RawHeaders:
    """The client's headers for the backend, with the headers added that it may trust.

    They are `of_the_client` and `of_the_user`.
    """
    theirs = of_the_client(
        headers, client_host=client_host, scheme=scheme, host=host, passing=passing
    )
    return [*theirs, *of_the_user(identity, authorization)]


def of_the_client(
    headers: RawHeaders,
    *,
    client_host: str | None,
    scheme: str,
    host: str,
    passing: Passing = ALL,
) -> RawHeaders:
    """The client's headers for the backend, and where they came from and to.

    *passing*: which of the client's are forwarded. *client_host* is the client's IP address;
    *scheme* and *host* are the public ones, in the issuer. The client's own ``Authorization`` is
    never forwarded. The HTTP client sets ``Host``.
    """
    lets, hop_free = passing.lets, _without_hop_by_hop(headers)
    kept = [header for header in hop_free if lets[header[0]]]
    if b"cookie" in dict(kept):
        kept = [header for header in kept if header[0] != b"cookie"]
        if cookies := other_cookies(hop_free):
            kept.append((b"cookie", cookies.encode("latin-1")))
    return [*kept, *_way(client_host, scheme, host)]


def of_the_user(identity: RawHeaders, authorization: str | None) -> RawHeaders:
    """A new list: who the user is, and the credential for the backend."""
    if authorization is None:
        return [*identity]
    return [*identity, (b"authorization", authorization.encode("latin-1"))]


def lines_to_backend(headers: RawHeaders) -> bytes:
    """*headers* as bytes. Raises `InvalidRequest` for a line break in one."""
    # It would begin a line of its own, which could say whatever it likes.
    try:
        return lines_of(headers)
    except ValueError as error:
        raise InvalidRequest("a header holds a line break") from error


@lru_cache(maxsize=1024)
def _way(client_host: str | None, scheme: str, host: str) -> RawHeaders:
    """The client and the public address of a request, in ``X-Forwarded-…`` and as RFC 7239 says."""
    forwarded = f'host="{host}";proto={scheme}'
    way = {"x-forwarded-proto": scheme, "x-forwarded-host": host}
    if client_host is not None:
        way["x-forwarded-for"] = client_host
        forwarded = f"for={_node(client_host)};{forwarded}"
    way["forwarded"] = forwarded
    return [(name.encode(), value.encode("latin-1")) for name, value in way.items()]


def _node(address: str) -> str:
    """*address* as RFC 7239 §6 writes it: IPv6 in brackets, and in quotes because of them."""
    return f'"[{address}]"' if ":" in address else address


def to_client(headers: RawHeaders, *, asked: str, backend: str, public: str) -> RawHeaders:
    """The backend's headers for the client, without cookies that have the names of Mintage's own.

    *asked* is the URL that was requested from the backend; clients know *backend* as *public*.
    There is no ``Date``: the server that answers the client sends its own, and there is one only
    (RFC 9110 §6.6.1). Nor is there a nonce for proofs: Mintage checks them (RFC 9449 §9).
    """
    passed = _without_hop_by_hop(headers)
    names = dict(passed)
    if not _OURS.isdisjoint(names):
        passed = [header for header in passed if header[0] not in _OURS]
    if _REWRITTEN.isdisjoint(names):
        return passed
    return [
        (name, value if name != b"location" else _moved(value, asked, backend, public))
        for name, value in passed
        if name != b"set-cookie" or _may_be_set(value)
    ]


def _may_be_set(cookie: bytes) -> bool:
    """Whether a backend's cookie has a name that all programs read alike, and not Mintage's."""
    name = set_cookie_name(cookie)
    if name is None:
        log.warning(
            "a Set-Cookie header of a backend was dropped: its name is missing or not ASCII"
        )
        return False
    return not name.lower().startswith(_OUR_COOKIES)


def _moved(location: bytes, asked: str, backend: str, public: str) -> bytes:
    """A redirect to the backend's own address, rewritten to the resource's.

    Clients know no other address. A server that wants a slash at the end, or none, redirects to its
    own address. The official clients follow a redirect within one origin only.
    """
    base = backend.rstrip("/")
    try:
        target = urljoin(asked, location.decode("latin-1"))
    except ValueError:
        return location
    rest = target.removeprefix(base)
    if rest == target or rest[:1] not in ("", "/", "?", "#"):
        return location
    return f"{public}{rest}".encode("latin-1")


def identity_headers(identity: Identity, group_bytes: int = MAX_GROUP_BYTES) -> dict[str, str]:
    """Who the user is, for a backend. An e-mail that the provider did not verify is left out.

    What is not plain ASCII is percent-encoded UTF-8, because a header can't safely contain anything
    else. The percent sign is encoded too, so that no two users look the same. Groups beyond
    *group_bytes* bytes are left out, and another header says so.
    """
    claims = identity.claims
    groups = _listed(claims.get("groups"))
    told = _within(groups, group_bytes)
    if len(told) < len(groups):
        log.warning(
            "X-Forwarded-Groups of a user holds %d of %d groups: the others are beyond "
            "gateway.max_group_bytes (%d)",
            len(told), len(groups), group_bytes,
        )  # fmt: skip
    found = {
        "x-forwarded-user": _safe(identity.subject),
        "x-forwarded-email": _safe(verified_email(claims)),
        "x-forwarded-preferred-username": _safe(claims.get("preferred_username")),
        "x-forwarded-groups": ",".join(told),
        GROUPS_TRUNCATED: "true" if len(told) < len(groups) else "",
    }
    return {name: value for name, value in found.items() if value}


def _listed(groups: object) -> list[str]:
    """The groups as a header has them; a comma inside a name is percent-encoded."""
    if not isinstance(groups, list):
        return []
    return [_safe(group).replace(",", "%2C") for group in groups if _safe(group)]


def _within(groups: list[str], room: int) -> list[str]:
    """The first of *groups* that fit into *room* bytes with commas between."""
    told: list[str] = []
    for group in groups:
        room -= len(group) + bool(told)
        if room < 0:
            break
        told.append(group)
    return told


def _safe(value: object) -> str:
    """*value* in printable ASCII; empty if it is not a string."""
    return _quoted(value) if isinstance(value, str) else ""


@lru_cache(maxsize=4096)
def _quoted(value: str) -> str:
    """*value*, percent-encoded where needed. Spaces at its ends would get lost otherwise."""
    blank = " " if value == value.strip(" ") else ""
    return quote(value, safe=f"{blank}!#$&'()*+,-./:;<=>?@[]^_`{{|}}~")


def _without_hop_by_hop(headers: RawHeaders) -> RawHeaders:
    """Without the headers of one connection, and those that they name (RFC 9110 §7.6.1).

    The names are in lower case. Most messages have no such header, and their names are so already.
    """
    names = dict(headers)
    if HOP_BY_HOP.isdisjoint(names) and b"".join(names).islower():
        return headers
    lowered = [(name.lower(), value) for name, value in headers]
    kept = [header for header in lowered if header[0] not in HOP_BY_HOP]
    if len(kept) == len(lowered):
        return kept
    named = named_by_connection(lowered)
    return [header for header in kept if header[0] not in named] if named else kept


def other_cookies(headers: RawHeaders) -> str:
    """The cookies for the backend, without those of Mintage itself."""
    sent = [value for name, value in headers if name == b"cookie"]
    if not sent:
        return ""
    kept = [
        b"%b=%b" % (name, value)
        for name, value in cookie_pairs(sent)
        if not name.lower().startswith(_OUR_COOKIES)
    ]
    return b"; ".join(kept).decode("latin-1")
