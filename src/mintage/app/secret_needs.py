"""Counts the live grants that need each root secret, and ends those whose secret is lost."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from mintage.app.opening import open_vault, vault_keys
from mintage.clients.registration import ClientIds, key_id
from mintage.crypto.derivation import purpose_keys
from mintage.events.event import Emit, ignore
from mintage.settings.load import Config
from mintage.stores.protocol import Store
from mintage.values import Clock
from mintage.vault.secret_register import SecretRegister
from mintage.vault.settings import ProviderCalls
from mintage.vault.values import Listed
from mintage.vault.vault import Vault

log = logging.getLogger("mintage")

_STRIKE_OUT_AFTER: Final = 86400  # seconds: a new secret may not have reached this server yet


class Need(msgspec.Struct, frozen=True):
    """How many live grants need one root secret, and what for."""

    secret_id: str
    sealed: int
    signed: int
    registered: int
    grants: int


def register_of(config: Config, store: Store, *, clock: Clock, steady: Clock) -> SecretRegister:
    """The register in *store*, with the secrets of *config*."""
    ids = [keys.id for keys in vault_keys(config.secrets)]
    client_keys = map(key_id, purpose_keys(config.secrets, "client-id"))
    configured = dict(zip(ids, client_keys, strict=True))
    return SecretRegister(store, configured, clock=clock, steady=steady)


class SecretNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """What the grants of *vault* need. *config* has the secrets of this server."""

    config: Config
    vault: Vault
    client_ids: ClientIds
    register: SecretRegister

    async def count(self) -> list[Need]:
        """The needs of each configured secret, and then of each one that is missing."""
        ids = [keys.id for keys in vault_keys(self.config.secrets)]
        client_keys = await self._client_keys()
        kinds: dict[str, Counter[bytes]] = {
            kind: Counter() for kind in ("sealed", "signed", "registered", "grants")
        }
        async for grant in self.vault.listing.find():
            found = dict(self._of(grant, ids, client_keys))
            for kind, names in found.items():
                kinds[kind].update(names)
            kinds["grants"].update(set().union(*found.values()))
        missing = sorted(kinds["grants"].keys() - set(ids))
        return [
            Need(name.hex(), **{kind: counted[name] for kind, counted in kinds.items()})
            for name in (*ids, *missing)
        ]

    async def unread(self) -> int:
        """How many grants can't be read, so that it is unknown which secrets they need."""
        found = self.vault.listing.find()
        return sum([grant.unread is not None and not grant.foreign async for grant in found])

    async def missing(self) -> list[Need]:
        """The secrets that grants need and that are not configured.

        It counts the grants only if the register names a secret that is missing.
        """
        if not await self.register.missing():
            return []
        return (await self.count())[len(self.config.secrets) :]

    async def review(self, *, now: float) -> None:
        """Enter this server's secrets in the register, log missing ones, and forget unused ones.

        A secret that no grant needs any more was removed on purpose. Mintage then tells clients
        that registered under it to register again.
        """
        await self.register.note()
        if not (missing := await self.register.missing()):
            return
        needed = {bytes.fromhex(need.secret_id): need for need in await self.missing()}
        for name, need in needed.items():
            log.error(
                "%d grants need the secret %s, which is not among the configured ones: they get "
                "503 until it is put back",
                need.grants,
                name.hex(),
            )
        await self.register.strike_out(
            [
                name
                for name, used in missing.items()
                if name not in needed and now - used.first_seen >= _STRIKE_OUT_AFTER
            ]
        )

    async def give_up(self, names: Collection[bytes]) -> int:
        """End the grants that only the secrets *names* can open. Returns how many it ended.

        Use it for secrets that are lost. Grants of clients that registered under them continue:
        such a client registers again when it next needs to.
        """
        ended = 0
        async for grant in self.vault.listing.find():
            if {grant.sealed_under, grant.signed_with} & set(names):
                await self.vault.listing.end(grant, reason="secret_lost")
                ended += 1
        await self.register.strike_out(names)
        return ended

    async def _client_keys(self) -> dict[bytes, bytes]:
        missing = await self.register.missing()
        return {used.client_key: name for name, used in missing.items()}

    def _of(
        self, grant: Listed, ids: list[bytes], client_keys: dict[bytes, bytes]
    ) -> Iterator[tuple[str, set[bytes]]]:
        """What *grant* needs each secret for."""
        # A record of the first format does not say: it may need any that was in use before.
        former = set(ids[1:])
        yield "sealed", {grant.sealed_under} if grant.sealed_under else former
        yield "signed", {grant.signed_with} if grant.signed_with else former
        if grant.summary is None:
            return
        client_id = grant.summary.client_id
        number = self.client_ids.made_with(client_id)
        if number is not None:
            yield "registered", {ids[number]}
        elif (unknown := self.client_ids.unknown_key(client_id)) in client_keys and unknown:
            yield "registered", {client_keys[unknown]}


def open_needs(config: Config, store: Store, emit: Emit = ignore) -> SecretNeeds:
    """What the grants in *store* need, for a command that runs beside the servers.

    Its vault asks no provider, and reports nothing to one. *emit* gets the ends of grants.
    """
    vault = open_vault(
        config,
        store,
        clock=time.time,
        steady=time.monotonic,
        random_bytes=secrets.token_bytes,
        calls=ProviderCalls(),
        emit=emit,
    )
    return SecretNeeds(
        config=config,
        vault=vault,
        client_ids=ClientIds(*purpose_keys(config.secrets, "client-id")),
        register=register_of(config, store, clock=time.time, steady=time.monotonic),
    )
