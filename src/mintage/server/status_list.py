"""``/status-list``: the numbers of ended grants as a signed list, for verifiers elsewhere.

A list is signed when it has changed, and again after ten seconds so that its ``exp`` moves on; it
is not signed for each request. Its ``iat`` is when the store was read, not when it was signed: a
server that can't read its store doesn't claim to know more than it does.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import NotSupported
from mintage.jwt.keyring import KeyRing
from mintage.jwt.status_list import MEDIA_TYPE, StatusList, compress, encode
from mintage.vault.status_slots import Ended, StatusSlots
from mintage.web.edge import check_get, json_response, read_query

VALID_SECONDS: Final = 60
"""Seconds from the look at the store to the end of the list (``exp``)."""

SIGNED_AGAIN: Final = 10
"""Seconds after which a list that has not changed is signed again."""


class _Signed(msgspec.Struct, frozen=True):
    ended: Ended
    body: bytes
    etag: str


@dataclass(slots=True, kw_only=True)
class StatusListEndpoint:
    """*keys* sign. *uri*, *aggregation_uri*: where this is, and where `StatusListsEndpoint` is."""

    slots: StatusSlots
    keys: KeyRing
    issuer: str
    uri: str
    aggregation_uri: str
    ttl: int
    _lst: tuple[bytes, str] = field(default=(b"", ""), init=False, repr=False)
    _signed: _Signed | None = field(default=None, init=False, repr=False)

    async def __call__(self, request: Request) -> Response:
        """The list (Token Status List §8). Raises `StoreUnavailable`."""
        check_get(request)
        if "time" in read_query(request):
            raise NotSupported("there are no lists of former times: leave out time")
        signed = self._current(await self.slots.ended())
        headers = {
            "cache-control": f"public, max-age={self.ttl}",
            "etag": signed.etag,
        }
        if signed.etag in _tags(request):
            return Response(status_code=304, headers=headers)
        return Response(signed.body, headers=headers, media_type=MEDIA_TYPE)

    def _current(self, ended: Ended) -> _Signed:
        known = self._signed
        if (
            known is not None
            and known.ended.bits is ended.bits
            and ended.as_of < known.ended.as_of + SIGNED_AGAIN
        ):
            return known
        if self._lst[0] is not ended.bits:
            self._lst = ended.bits, compress(ended.bits)
        listed = StatusList(
            issuer=self.issuer,
            uri=self.uri,
            iat=ended.as_of,
            exp=ended.as_of + VALID_SECONDS,
            ttl=self.ttl,
            aggregation_uri=self.aggregation_uri,
        )
        body = encode(listed, self._lst[1], self.keys).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self._signed = _Signed(ended, body, etag)
        return self._signed


class StatusListsEndpoint(msgspec.Struct, frozen=True):
    """``/status-lists``: the status lists of this issuer, which are one (§9)."""

    uri: str

    async def __call__(self, request: Request) -> Response:
        check_get(request)
        headers = {"cache-control": "public, max-age=300"}
        return json_response({"status_lists": [self.uri]}, headers=headers)


def _tags(request: Request) -> set[str]:
    """The entity tags that the client has (RFC 9110 §13.1.2)."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return {tag.strip().removeprefix("W/") for tag in given.split(",")}
