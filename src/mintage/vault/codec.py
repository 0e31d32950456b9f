"""Encodes grants: each is encrypted under a key from its own secret and the server's."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from mintage.crypto.sealing import NONCE_BYTES, record_key
from mintage.errors import NewerRecord, RecordError, SealError, SecretMissing
from mintage.grants import handles, records
from mintage.grants.records import NO_TOKENS, SETTLED, Head, inside
from mintage.grants.states import Active, Grant, Pending, Reason, Revoked
from mintage.values import ClientId, RandomBytes
from mintage.vault.values import VaultKeys

_ENDED: Final = Revoked(reason=Reason.ENDED, client_id=ClientId(""), at=0)


class EndedUnread(msgspec.Struct, frozen=True):
    """A grant that was ended without its own secret.

    *before*: what it was. The provider has not been told that its tokens are not needed any more.
    """

    before: Pending | Active


class GrantCodec:
    """*keys*: the first encrypts, all decrypt. *key* is the store key of the grant of *secret*."""

    def __init__(self, keys: Sequence[VaultKeys], random_bytes: RandomBytes) -> None:
        self._keys = {one.id: one for one in keys}
        self._active = keys[0]
        self._random_bytes = random_bytes

    def seal_new(self, grant: Grant, *, secret: bytes, key: bytes) -> bytes:
        """The record of a grant that no store has yet."""
        head = Head.of_grant(grant, self._active.id, self._active.id)
        return self._seal(grant, secret, key, head)

    def seal_next(
        self, grant: Grant, *, secret: bytes, key: bytes, record: bytes, before: Grant
    ) -> bytes:
        """The record that replaces *record*, which contains *before*.

        It is encrypted under the secret in use. New tokens are signed with that; old ones may not
        be.
        """
        if not isinstance(grant, Active):
            return self._seal(grant, secret, key, Head.make(self._active.id, NO_TOKENS))
        signed_with = self._active.id
        if isinstance(before, Active) and before.generation == grant.generation:
            signed_with = Head.of(record).signed_with
        return self._seal(grant, secret, key, Head.of_grant(grant, self._active.id, signed_with))

    def is_current(self, record: bytes) -> bool:
        """Whether *record* is encrypted under the secret in use."""
        return Head.of(record).sealed_under == self._active.id

    def open(self, record: bytes, *, secret: bytes, key: bytes) -> Grant | EndedUnread:
        """The grant in *record*. Raises `SecretMissing`, `NewerRecord`, `SealError`, `RecordError`.

        A record of the first format does not say which secret it is under.
        """
        if record == SETTLED:
            return _ENDED
        head = Head.of(record)
        if head.signed_with == NO_TOKENS and (inner := inside(record)) is not None:
            try:
                before = self._open(inner, Head.of(inner), secret, key)
            except SecretMissing:  # it has ended, whatever it was; and it opens once that is back
                return _ENDED
            return before if isinstance(before, Revoked) else EndedUnread(before)
        return self._open(record, head, secret, key)

    def _open(self, record: bytes, head: Head, secret: bytes, key: bytes) -> Grant:
        sealed_under = head.sealed_under
        known = self._keys.get(sealed_under)
        if known is not None:
            under = record_key(known.seal, secret)
            return records.decode(record, key=under, store_key=key, known=head)
        if sealed_under:
            raise SecretMissing(f"grant {handles.grant_id(key)}", sealed_under.hex())
        for each in self._keys.values():
            with suppress(SealError):
                under = record_key(each.seal, secret)
                return records.decode(record, key=under, store_key=key, known=head)
        raise SealError("the box does not open")

    def check_secrets(self, record: bytes, key: bytes) -> None:
        """Raise `SecretMissing` if the live grant in *record* needs a secret that is not here.

        Nothing is decrypted: the head of the record says it. Raises `NewerRecord`.
        """
        try:
            head = Head.of(record)
        except NewerRecord:
            raise
        except RecordError:
            return
        if head.signed_with == NO_TOKENS:
            return
        for named in (head.sealed_under, head.signed_with):
            if named and named not in self._keys:
                raise SecretMissing(f"grant {handles.grant_id(key)}", named.hex())

    def _seal(self, grant: Grant, secret: bytes, key: bytes, head: Head) -> bytes:
        return records.encode(
            grant,
            head=head,
            key=record_key(self._active.seal, secret),
            store_key=key,
            nonce=self._random_bytes(NONCE_BYTES),
        )
