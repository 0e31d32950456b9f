"""For how long a proxy may keep an answer of ``/verify``, and for which requests. Pure.

A kept answer is given again to each request with the same key. So a proxy names what its key holds,
in the header `KEY_HEADER` of its question. Mintage lets it keep an answer only if the key holds
everything that the question consists of. A proxy that does not say so keeps nothing.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from mintage.resource.bearer import Access
from mintage.site.resource import Resource

KEY_HEADER: Final = "x-answer-key"
# What nginx describes a request with, and with which of its variables: all of it is in its key.
# The manual's configuration is compared with this list.
IN_THE_KEY: Final = {
    "x-original-method": "$request_method",
    "x-original-uri": "$request_uri",
    "authorization": "$http_authorization",
    "dpop": "$http_dpop",
    "origin": "$http_origin",
    "mcp-protocol-version": "$http_mcp_protocol_version",
    "mcp-method": "$http_mcp_method",
    "mcp-name": "$http_mcp_name",
    "sec-websocket-key": "$http_sec_websocket_key",
}
_KEY: Final = " ".join(IN_THE_KEY).encode()
# A WebSocket lasts for longer than any answer, and a proof is good for one request.
_NEVER: Final = frozenset({b"sec-websocket-key", b"dpop"})
# What belongs to the question itself, or is for the log alone. It changes no answer.
_WITHOUT_EFFECT: Final = frozenset(
    {b"host", b"connection", b"x-forwarded-for", b"x-request-id", KEY_HEADER.encode()}
)
_MAY_BE_THERE: Final = frozenset(name.encode() for name in IN_THE_KEY) - _NEVER | _WITHOUT_EFFECT
# What the time of a grant in memory must be at least: otherwise it would be read too often.
_LEAST_FRESHNESS: Final = 4.0
# nginx counts whole seconds, from the one in which the answer came: it keeps up to one more.
_ROUNDING: Final = 1
WORTH_KEEPING: Final = _ROUNDING + 1


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """*most*: the longest time, in seconds; 0: no answer is kept."""

    most: int = 0

    def may_keep(self, headers: Iterable[tuple[bytes, bytes]], resource: Resource) -> bool:
        """Whether an answer about *resource* to a question with these *headers* may be kept at all.

        Not if any header is there that is not in the proxy's key, whatever it is (a cookie, a DPoP
        proof), and not with a token of the provider in the answer, unless *resource* allows it.
        """
        if not self.most or (_holds_a_token(resource) and not resource.proxy_keeps_tokens):
            return False
        key = None
        for name, value in headers:
            if name not in _MAY_BE_THERE:
                return False
            if name == b"x-answer-key":
                key = value if key is None else b""
            elif name == b"authorization" and value[:7].lower() != b"bearer ":
                return False
        return key == _KEY

    def seconds(self, access: Access, *, fresh_for: float, now: float) -> int:
        """For how many seconds the answer for *access* may be kept; 0: it may not be.

        At most *fresh_for*, the time for which the grant need not be read again: so a proxy accepts
        a revoked grant for no longer than Mintage itself. Never past the end of the token, and not
        with a session's cookie or for a token that is bound to a key: each of its requests has a
        proof of its own.
        """
        if access.by_cookie or access.cnf is not None:
            return 0
        left = min(fresh_for, access.ends_at - now)
        return max(0, min(self.most, int(left - _ROUNDING)))


KEEPS_NOTHING: Final = Keeping()


def keeping(*, most: int, fresh_for: float, counts: bool) -> Keeping:
    """What the settings allow: nothing if a limit *counts* each request of a user.

    *fresh_for*: for how many seconds a grant that was just read need not be read again.
    """
    return KEEPS_NOTHING if counts or fresh_for < _LEAST_FRESHNESS else Keeping(most=most)


def _holds_a_token(resource: Resource) -> bool:
    return resource.credential in ("upstream", "exchange", "id_jag")
