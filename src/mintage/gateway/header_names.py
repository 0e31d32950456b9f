"""Which header names are forwarded to a backend, and what ``Connection`` may name. Pure.

Servers that speak CGI or WSGI turn every punctuation mark of a name into an underscore. So names
that pass consist of letters, digits and hyphens, and names are folded before they are compared. The
one exception is ``Mcp-Param-…``: those names are the names of a tool's parameters.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import InvalidRequest

_PLAIN: Final = re.compile(rb"[0-9a-z-]+")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 §5.6.2, in small letters
_TOOL_PARAMETER: Final = b"mcp-param-"
_PUNCTUATION: Final = re.compile(rb"[^0-9a-z]+")

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"trailers",
        b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_MAY_BE_NAMED: Final = HOP_BY_HOP - {b"transfer-encoding"} | {b"close", b""}
_NEEDED: Final = frozenset(
    {
        b"cookie", b"date", b"dnt", b"last-event-id", b"origin", b"prefer", b"priority", b"range",
        b"referer", b"traceparent", b"tracestate", b"transfer-encoding", b"user-agent",
    }
)  # fmt: skip
_NEEDED_PREFIX: Final = (b"accept", b"access-control-", b"content-", b"if-", b"mcp-", b"sec-")
NEVER: Final = frozenset(
    {
        b"authorization", b"x-authorization", b"x-identity-token",
        b"client-cert", b"dpop", b"eppn", b"expect", b"forwarded", b"gap-auth", b"host", b"proxy",
        b"remote-user", b"teleport-jwt-assertion", b"via",
        b"x-access-token", b"x-apigateway-api-userinfo", b"x-client-cert", b"x-client-ip",
        b"x-cluster-client-ip", b"x-email", b"x-endpoint-api-userinfo", b"x-forwarded",
        b"x-group", b"x-groups", b"x-http-method", b"x-http-method-override", b"x-id-token",
        b"x-jwt-assertion", b"x-method-override", b"x-original-uri", b"x-original-url",
        b"x-real-ip", b"x-rewrite-url", b"x-role", b"x-roles", b"x-uid", b"x-user", b"x-userid",
        b"x-username", b"true-client-ip", b"cf-connecting-ip",
    }
)  # fmt: skip
NEVER_PREFIX: Final = (
    b"x-forwarded-", b"x-auth-", b"x-authenticated-", b"x-remote-", b"x-user-", b"x-ssl-",
    b"x-client-cert-", b"client-cert-", b"x-amzn-oidc-", b"x-goog-authenticated-",
    b"x-goog-iap-", b"x-ms-client-principal", b"x-ms-token-", b"x-webauth-", b"x-token-",
    b"x-vouch-", b"x-authentik-", b"x-consumer-", b"x-anonymous-", b"x-credential-", b"x-oidc-",
    b"oidc-", b"tailscale-user-", b"teleport-", b"x-pomerium-", b"remote-", b"cf-access-",
    b"x-mintage-", b"ssl-client-", b"x-hasura-", b"impersonate-", b"iv-", b"sm-", b"oam-",
    b"shib-", b"mellon-", b"proxy-", b"x-jwt-", b"x-saml-", b"x-envoy-", b"x-original-",
    b"x-rewrite-", b"x-tls-client-", b"x-arr-",
)  # fmt: skip
# Names an identity, anywhere in a name: x-authuser, end-user-id, x-principal. What ends with
# user-agent is about a program, and sec-fetch-user only says that the user clicked.
_SAYS_WHO: Final = re.compile(rb"user(?!-agent$)|principal|identity")
_SAYS_NOTHING: Final = b"sec-fetch-user"
_USUAL: Final = 64  # bytes of a name that is remembered
_MAX_REMEMBERED: Final = 1024


def folded(name: bytes) -> bytes:
    """*name* as read by a server that does not distinguish punctuation marks."""
    return _PUNCTUATION.sub(b"-", name.lower()).strip(b"-")


def claims_something(name: bytes) -> bool:
    """Whether a backend could take the header for one that the gateway or another proxy set."""
    read = folded(name)
    if read in NEVER or (read + b"-").startswith(NEVER_PREFIX):
        return True
    if read == _SAYS_NOTHING:
        return False
    return _SAYS_WHO.search(read) is not None and not read.startswith(_TOOL_PARAMETER)


class _Decided(BoundedMemory[bytes, bool]):
    """Cached results of *decide*, because clients send the same few names."""

    def __init__(self, decide: Callable[[bytes], bool]) -> None:
        super().__init__(_MAX_REMEMBERED)
        self._decide = decide

    def __missing__(self, name: bytes) -> bool:
        decided = self._decide(name)
        if len(name) <= _USUAL:
            self[name] = decided
        return decided


@dataclass(frozen=True, slots=True)
class Passing:
    """Which of a client's headers are forwarded to one backend.

    *dropped*: more names to drop; *only*: the only names to forward, None for all. A name may end
    with ``*`` for any ending. ``Content-Length`` is always forwarded: the body needs it. *lets*:
    whether the header of a lower-case name is forwarded.
    """

    dropped: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    lets: Mapping[bytes, bool] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lets", _Decided(self._decide))

    def _decide(self, name: bytes) -> bool:
        if not is_readable_in_one_way(name) or claims_something(name) or name in HOP_BY_HOP:
            return False
        if name == b"content-length":
            return True
        return not _is_among(name, self.dropped) and (
            self.only is None or _is_among(name, self.only)
        )


ALL: Final = Passing()
"""No backend's own wishes: what claims nothing passes."""


def is_readable_in_one_way(name: bytes) -> bool:
    """Whether *name* has no character that servers fold, or is that of a tool's parameter."""
    if _PLAIN.fullmatch(name):
        return True
    return name.startswith(_TOOL_PARAMETER) and _TOKEN.fullmatch(name) is not None


def _is_among(name: bytes, names: Iterable[str]) -> bool:
    read = folded(name)
    return any(
        read.startswith(folded(wanted[:-1].encode()))
        if wanted.endswith("*")
        else read == folded(wanted.encode())
        for wanted in names
    )


def check_connection(values: Iterable[bytes]) -> None:
    """Refuse a ``Connection`` header that would remove a header that was checked, set or is needed.

    It may name hop-by-hop headers, and unknown ones: those are dropped, as RFC 9110 §7.6.1 says.
    Raises `InvalidRequest`.
    """
    for value in values:
        for name in _options(value):
            if name not in _MAY_BE_NAMED and _is_needed(name):
                shown = name[:_USUAL].decode("latin-1")
                raise InvalidRequest(
                    "Connection may hold only names like close and keep-alive",
                    reason=f"Connection names {shown!r}",
                )


def _options(value: bytes) -> list[bytes]:
    """The names in a ``Connection`` header. Clients send the same few values."""
    if value in (b"keep-alive", b"close"):
        return []
    return [option.strip(b" \t").lower() for option in value.split(b",")]


@lru_cache(maxsize=256)
def _is_needed(name: bytes) -> bool:
    read = folded(name)
    return (
        not is_readable_in_one_way(name)
        or read in _NEEDED
        or read.startswith(_NEEDED_PREFIX)
        or claims_something(name)
    )


def named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What the ``Connection`` headers name, as far as `check_connection` allows it."""
    named = {
        option for name, value in headers if name == b"connection" for option in _options(value)
    }
    return frozenset(name for name in named if name and not _is_needed(name))
