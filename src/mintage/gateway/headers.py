"""Which headers pass the gateway, in each direction. Pure functions on raw header lists.

A backend believes the identity headers it gets. So nothing that a client sends may look
like one, in any spelling that a server behind us might read as one (RFC 9700 §4.13).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote, urljoin

from mintage.emails import verified_email
from mintage.errors import InvalidRequest
from mintage.grant import Identity

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2, less "_"

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_TOOL_PARAMETER: Final = re.compile(rb"mcp-param-[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NEVER: Final = frozenset(
    {
        b"authorization", b"x-authorization", b"x-identity-token",
        b"expect", b"forwarded", b"host", b"remote-user",
        b"via", b"x-real-ip", b"x-user", b"x-email", b"x-groups", b"x-access-token",
        b"x-client-cert", b"x-original-url", b"x-rewrite-url", b"x-http-method-override",
        b"x-http-method", b"x-method-override", b"x-username", b"x-userid", b"x-roles",
        b"x-id-token", b"x-jwt-assertion", b"x-client-ip", b"x-cluster-client-ip",
        b"true-client-ip", b"cf-connecting-ip",
    }
)  # fmt: skip
_NEVER_PREFIX: Final = (
    b"x-forwarded-", b"x-auth-", b"x-authenticated-", b"x-remote-", b"x-user-", b"x-ssl-",
    b"x-client-cert-", b"x-amzn-oidc-", b"x-goog-authenticated-", b"x-goog-iap-",
    b"x-ms-client-principal", b"x-ms-token-", b"x-webauth-", b"x-token-", b"x-vouch-",
    b"x-authentik-", b"x-consumer-", b"x-credential-", b"x-oidc-", b"oidc-", b"tailscale-user-",
    b"x-pomerium-", b"remote-", b"cf-access-", b"x-mintage-", b"ssl-client-",
)  # fmt: skip
_REWRITTEN: Final = frozenset({b"location", b"set-cookie"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_USUAL_NAME: Final = 64  # bytes
_MAX_KNOWN: Final = 512
# The headers of an identity that is in memory, by its id, with itself so that no other has it.
_known_headers: dict[int, tuple[Identity, dict[str, str]]] = {}
# Every header that `identity_headers` may give.
TELLING: Final = (
    "x-forwarded-user",
    "x-forwarded-preferred-username",
    "x-forwarded-groups",
    "x-forwarded-email",
)
_OUR_COOKIES: Final = ("__Host-mintage-", "mintage-")


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
    identity: Mapping[str, str],
    authorization: str | None,
    client_host: str | None,
    scheme: str,
    host: str,
) -> RawHeaders:
    """The client's headers as the backend gets them, with what it may believe put in.

    *client_host* is the client's IP address; *scheme* and *host* are the public ones, in the
    issuer, for nobody sent them. The client's own ``Authorization`` never passes. ``Host`` is the
    HTTP client's to set.
    """
    kept = [header for header in _without_hop_by_hop(headers) if _known_harmless(header[0])]
    cookies = _other_cookies([value for name, value in headers if name.lower() == b"cookie"])
    ours = [(name.encode(), value.encode("latin-1")) for name, value in identity.items()]
    if cookies:
        ours.append((b"cookie", cookies.encode("latin-1")))
    if authorization is not None:
        ours.append((b"authorization", authorization.encode("latin-1")))
    return [*kept, *ours, *_way(client_host, scheme, host)]


@lru_cache(maxsize=1024)
def _way(client_host: str | None, scheme: str, host: str) -> RawHeaders:
    """Where a request came from and where to, in the old words and in those of RFC 7239."""
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


def to_client(
    headers: Iterable[tuple[bytes, bytes]], *, asked: str, backend: str, public: str
) -> RawHeaders:
    """The backend's headers as the client gets them, without cookies that pose as ours.

    *asked* is the URL that the backend was asked for; *backend* is known to clients as *public*.
    """
    passed = _without_hop_by_hop(headers)
    if _REWRITTEN.isdisjoint([name for name, _ in passed]):
        return passed
    return [
        (name, value if name != b"location" else _moved(value, asked, backend, public))
        for name, value in passed
        if name != b"set-cookie" or not value.decode("latin-1").lstrip().startswith(_OUR_COOKIES)
    ]


def _moved(location: bytes, asked: str, backend: str, public: str) -> bytes:
    """A redirect within the backend, as one within the resource: clients know no other address.

    A server that wants a slash at the end, or none, answers with its own address in it; the
    official clients follow a redirect within one origin only.
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


def identity_headers(identity: Identity) -> dict[str, str]:
    """Who is calling, for a backend. An e-mail that the provider did not verify is left out.

    What is not plain ASCII is percent-encoded UTF-8: a header holds nothing else safely. The
    percent sign is too, so that no two users look the same.
    """
    known = _known_headers.get(id(identity))
    if known is not None and known[0] is identity:
        return dict(known[1])
    found = _identity_headers(identity)
    if len(_known_headers) >= _MAX_KNOWN:
        del _known_headers[next(iter(_known_headers))]
    _known_headers[id(identity)] = identity, found
    return dict(found)


def _identity_headers(identity: Identity) -> dict[str, str]:
    claims = identity.claims
    found = {
        "x-forwarded-user": _safe(identity.subject),
        "x-forwarded-email": _safe(verified_email(claims)),
        "x-forwarded-preferred-username": _safe(claims.get("preferred_username")),
        "x-forwarded-groups": _listed(claims.get("groups")),
    }
    return {name: value for name, value in found.items() if value}


def _listed(groups: object) -> str:
    """The groups with commas between; one inside a name is percent-encoded."""
    if not isinstance(groups, list):
        return ""
    return ",".join(_safe(group).replace(",", "%2C") for group in groups if _safe(group))


def _safe(value: object) -> str:
    """*value* in printable ASCII, empty for what is no string."""
    return _quoted(value) if isinstance(value, str) else ""


@lru_cache(maxsize=4096)
def _quoted(value: str) -> str:
    """*value* percent-encoded as far as needed. Outer spaces would get lost on the way."""
    blank = " " if value == value.strip(" ") else ""
    return quote(value, safe=f"{blank}!#$&'()*+,-./:;<=>?@[]^_`{{|}}~")


def _without_hop_by_hop(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """RFC 9110 §7.6.1: what concerns one connection stays on it, and so does what it names."""
    lowered = [(name.lower(), value) for name, value in headers]
    kept = [header for header in lowered if header[0] not in _HOP_BY_HOP]
    if len(kept) == len(lowered):
        return kept
    named = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    # A client can't use Connection to strip what the backend relies on.
    named -= {b"content-length", b"content-type", b"cookie"}
    return [header for header in kept if header[0] not in named]


def _harmless(name: bytes) -> bool:
    return name != b"cookie" and not _claims_something(name)


_remembered = lru_cache(maxsize=1024)(_harmless)


def _known_harmless(name: bytes) -> bool:
    """`_harmless`, by memory: clients send the same few names. Long ones are not remembered."""
    return _remembered(name) if len(name) <= _USUAL_NAME else _harmless(name)


def _claims_something(name: bytes) -> bool:
    """Whether a backend could take the header for the gateway's word.

    CGI and WSGI read ``X_Forwarded_User`` as ``X-Forwarded-User``: no underscores pass, but in
    the name of a tool's parameter, which claims nothing however it is read.
    """
    if _TOOL_PARAMETER.fullmatch(name):
        return False
    return not _TOKEN.fullmatch(name) or name in _NEVER or name.startswith(_NEVER_PREFIX)


def _other_cookies(values: list[bytes]) -> str:
    """The cookies that are the backend's, without those of our own pages."""
    if not values:
        return ""
    pairs = [pair.strip() for value in values for pair in value.decode("latin-1").split(";")]
    return "; ".join(pair for pair in pairs if pair and not pair.startswith(_OUR_COOKIES))
