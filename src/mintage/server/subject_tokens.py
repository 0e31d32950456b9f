"""Subject tokens (RFC 8693 §2.1): what a backend has of a user's request, verified.

It has the user's access token where it checks tokens itself, or where a proxy that asks ``/verify``
forwards them. Behind the gateway it has a signed identity. If it may exchange tokens, that has one
more claim: the grant's secret, encrypted, so that only this server can read it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NoReturn, TypeAlias

import msgspec

from mintage.crypto.base64url import decode_text, encode_text
from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_any, seal
from mintage.errors import (
    ExpiredToken,
    InvalidRequest,
    MalformedToken,
    SealError,
    WrongAudience,
    WrongIssuer,
)
from mintage.grant_tokens import Tokens, UnknownHandle
from mintage.grants.delegation import Actors, Delegation, is_over
from mintage.grants.handles import Handle
from mintage.grants.states import Active
from mintage.jwt.algorithms import Verifier
from mintage.jwt.jws import open_token
from mintage.partly_shown import PartlyShown
from mintage.site.resource import Resource
from mintage.values import ClientId, Clock, RandomBytes, Scopes
from mintage.vault.values import CLOCK_LEEWAY

IDENTITY_TYPE: Final = "identity+jwt"
CLAIM: Final = "subject_of"
"""The claim of a signed identity that makes it a subject token."""

SubjectKind: TypeAlias = Literal["access_token", "identity"]
"""An access token of Mintage, or the signed identity that the gateway gave a backend."""


class Subject(msgspec.Struct, frozen=True):
    """A user's access, as a subject token proves it. It ends at *ends_at*, without any leeway."""

    handle: Handle
    scopes: Scopes
    ends_at: float
    delegation: Delegation | None

    def check(
        self,
        grant: Active,
        client_id: ClientId,
        denied: Callable[[ClientId], bool],
        *,
        now: float,
    ) -> None:
        """Raises `InvalidRequest` if it has ended, was denied, or *client_id* may not use it."""
        delegation = self.delegation
        actors = () if delegation is None else delegation.actors
        if is_over(grant, delegation):
            refuse_subject("revoked by the client that exchanged it")
        if any(map(denied, (grant.login.client_id, *actors))):
            refuse_subject("client_denied")
        if delegation is not None and delegation.may_act not in (None, client_id):
            refuse_subject("may_act names another client")
        if now >= self.ends_at:
            refuse_subject("expired_token")


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    secret: bytes
    scopes: Scopes
    ends_at: float
    actors: Actors = ()
    issued_at: int = 0
    may_act: ClientId | None = None


class _Identity(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    exp: int
    subject_of: str


_decode_sealed: Callable[[bytes], _Sealed] = msgspec.msgpack.Decoder(_Sealed).decode
_decode_identity: Callable[[bytes], _Identity] = msgspec.json.Decoder(_Identity).decode


class SubjectBox(PartlyShown, frozen=True):
    """Encrypts the claim `CLAIM` for one audience. *keys*: the first encrypts, all decrypt."""

    not_shown = ("keys", "random_bytes")

    keys: Sequence[BoxKey]
    random_bytes: RandomBytes

    def seal(self, subject: Subject, audience: str) -> str:
        told = subject.delegation
        content = _Sealed(
            subject.handle.secret,
            subject.scopes,
            subject.ends_at,
            () if told is None else told.actors,
            0 if told is None else told.issued_at,
            None if told is None else told.may_act,
        )
        box = seal(
            msgspec.msgpack.encode(content),
            key=self.keys[0],
            context=_context(audience),
            nonce=self.random_bytes(NONCE_BYTES),
        )
        return encode_text(box)

    def open(self, text: str, audience: str) -> Subject:
        """What `seal` got. Raises `MalformedToken`."""
        try:
            box = open_any(decode_text(text), keys=self.keys, context=_context(audience))
            found = _decode_sealed(box)
        except (SealError, ValueError):
            raise MalformedToken from None
        delegation = None
        if found.actors:
            delegation = Delegation(
                actors=found.actors, issued_at=found.issued_at, may_act=found.may_act
            )
        return Subject(Handle(found.secret, 0, "access"), found.scopes, found.ends_at, delegation)


class SubjectTokens(PartlyShown, frozen=True, kw_only=True):
    """Verifies subject tokens. *pins*: the headers of signed identities, and their keys."""

    not_shown = ("pins",)

    issuer: str
    tokens: Tokens
    box: SubjectBox
    pins: Mapping[str, Verifier]
    clock: Clock

    def read(self, subject_token: str, kind: SubjectKind, resource: Resource) -> Subject:
        """What *subject_token* proves. It must be for *resource*. Raises `TokenError`."""
        if kind == "identity":
            return self._identity(subject_token, resource)
        token = self.tokens.read_access(subject_token, resource.identifier)
        return Subject(token.handle, token.scopes, token.ends_at - CLOCK_LEEWAY, token.delegation)

    def _identity(self, token: str, resource: Resource) -> Subject:
        payload = open_token(token, self.pins)
        try:
            claims = _decode_identity(payload)
        except msgspec.DecodeError:
            raise UnknownHandle from None  # a signed identity that is for no exchange
        if claims.iss != self.issuer:
            raise WrongIssuer
        if claims.aud != resource.audience:
            raise WrongAudience
        if self.clock() >= claims.exp + CLOCK_LEEWAY:
            raise ExpiredToken
        return self.box.open(claims.subject_of, resource.audience)


def refuse_subject(reason: str) -> NoReturn:
    """RFC 8693 §2.2.2: whatever is wrong with a subject token, it is ``invalid_request``."""
    raise InvalidRequest(
        "subject_token must be a live token of a user, for the resource of this client",
        reason=f"subject token: {reason}",
        stage="token",
    )


def _context(audience: str) -> bytes:
    return b"mintage subject\0" + audience.encode()
