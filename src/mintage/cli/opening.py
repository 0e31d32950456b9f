"""Opens the store for the commands that work on it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import msgspec

from mintage.app.described import Described
from mintage.app.opening import vault_keys
from mintage.app.secret_needs import SecretNeeds, open_needs
from mintage.cli.auditing import audited, unrecorded
from mintage.clients.registration import ClientIds
from mintage.errors import ConfigError
from mintage.events.event import Emit, ignore
from mintage.settings.for_the_store import load_for_the_store
from mintage.settings.load import Config
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.vault import installation
from mintage.vault.vault import Vault


class OpenInstallation(msgspec.Struct, frozen=True):
    """A configuration, its store, the vault on it, and what its grants need.

    *emit*: what the command reports to the audit trail.
    """

    config: Config
    store: Store
    vault: Vault
    needs: SecretNeeds
    emit: Emit = ignore

    @property
    def recorded(self) -> bool:
        """Whether the audit trail has what the command reports."""
        return self.emit is not ignore

    @property
    def client_ids(self) -> ClientIds:
        """What reads the ids of its clients."""
        return self.needs.client_ids

    @property
    def described(self) -> Described:
        """What describes its grants and clients."""
        return Described(self.config, self.vault, self.client_ids)


@asynccontextmanager
async def opened(path: Path, *, acts: bool = False) -> AsyncIterator[OpenInstallation]:
    """The vault of the configuration file *path*. Servers may be running on the same store.

    If no server has created the store yet, this does not create it: it raises `ConfigError` or
    `StoreUnusable`. *acts*: whether the command changes anything, which is then audited.
    """
    config = load_for_the_store(path, unrecorded=unrecorded if acts else None)
    async with opened_with(config, existing=True, acts=acts) as here:
        yield here


@asynccontextmanager
async def opened_with(
    config: Config, *, existing: bool = False, acts: bool = False
) -> AsyncIterator[OpenInstallation]:
    """`opened`, for settings that are already loaded."""
    if config.store == "memory://":
        raise ConfigError("store", "is in a server's memory: no other process can look into it")
    store = await open_store(config.store, clock=time.time, existing=existing)
    try:
        ids = [keys.id for keys in vault_keys(config.secrets)]
        await installation.check(store, config.issuer, ids)
        with audited(config) if acts else nullcontext(ignore) as emit:
            needs = open_needs(config, store, emit)
            yield OpenInstallation(config, store, needs.vault, needs, emit)
    finally:
        await store.close()
