"""Lists grants under keyed hashes, with an encrypted summary: a stolen store reveals no names."""

import hmac
from collections.abc import Sequence

import msgspec

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.crypto.sealing import NONCE_BYTES, BoxKey, open_any, seal
from mintage.errors import RecordError, SealError
from mintage.grants.records import NO_TOKENS, Head
from mintage.grants.states import Active, Consent, Pending
from mintage.stores.protocol import Entry, Index
from mintage.values import ClientId, RandomBytes
from mintage.vault.values import Listed, Summary, VaultKeys

_MOST = 2048  # users and clients whose hashes are kept: each refresh names them again


class GrantNames:
    """*keys*: the first makes names, all find and read them."""

    def __init__(self, keys: Sequence[VaultKeys], random_bytes: RandomBytes) -> None:
        self._keys = {one.id: one for one in keys}
        self._active = keys[0]
        self._random_bytes = random_bytes
        self._of_logins: BoundedMemory[tuple[str, str, ClientId], tuple[bytes, bytes]] = (
            BoundedMemory(_MOST)
        )
        self._made: BoundedMemory[tuple[str, ...], tuple[bytes, ...]] = BoundedMemory(_MOST)

    def make(self, grant: Pending | Active, key: bytes) -> Index:
        """The hashes to find *grant* by, and its summary."""
        subject, client = self._names_of(grant.login)
        return Index(
            subject=subject,
            client=client,
            summary=seal(
                msgspec.msgpack.encode(Summary.of(grant)),
                key=BoxKey(self._active.seal),
                context=b"summary\0" + key,
                nonce=self._random_bytes(NONCE_BYTES),
            ),
        )

    def read(self, entry: Entry) -> Listed | None:
        """The content of *entry*; None for an ended grant. It tells if it can't be read."""
        try:
            head = Head.of(entry.head)
        except RecordError as error:
            summary = self._summary(entry)
            return Listed(entry.key, summary, entry.expires_at, b"", b"", unread=str(error))
        if head.signed_with == NO_TOKENS:
            return None
        summary, unread = None, None
        foreign = bool(head.sealed_under) and head.sealed_under not in self._keys
        if foreign:
            unread = f"under the secret {head.sealed_under.hex()}, which is not configured here"
        elif (summary := self._summary(entry)) is None:
            unread = "its name is damaged"
        heads = (head.sealed_under, head.signed_with)
        return Listed(entry.key, summary, entry.expires_at, *heads, unread, foreign)

    def of_subject(self, issuer: str, subject: str) -> tuple[bytes, ...]:
        """The hashes of one user: under the secret in use, and under others."""
        return self._hashes(("subject", issuer, subject))

    def of_client(self, client_id: ClientId) -> tuple[bytes, ...]:
        """The hashes of one client, likewise."""
        return self._hashes(("client", client_id))

    def _summary(self, entry: Entry) -> Summary | None:
        keys = [BoxKey(one.seal) for one in self._keys.values()]
        try:
            opened = open_any(entry.summary, keys=keys, context=b"summary\0" + entry.key)
            return msgspec.msgpack.decode(opened, type=Summary)
        except (SealError, msgspec.DecodeError):
            return None

    def _names_of(self, login: Consent) -> tuple[bytes, bytes]:
        """The hashes of the user and of the client of *login*, under the secret in use."""
        who = login.identity
        pair = who.issuer, who.subject, login.client_id
        names = self._of_logins.get(pair)
        if names is None:
            subject, client = self.of_subject(*pair[:2]), self.of_client(login.client_id)
            names = self._of_logins[pair] = subject[0], client[0]
        return names

    def _hashes(self, name: tuple[str, ...]) -> tuple[bytes, ...]:
        made = self._made.get(name)
        if made is None:
            encoded = msgspec.msgpack.encode(name)
            keys = (known.index for known in self._keys.values())
            made = self._made[name] = tuple(hmac.digest(key, encoded, "sha256") for key in keys)
        return made
