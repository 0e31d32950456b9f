"""Opens the store for the commands that work on it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mintage.app.opening import vault_keys
from mintage.app.secret_needs import SecretNeeds, open_needs
from mintage.clients.registration import ClientIds
from mintage.errors import ConfigError
from mintage.settings.load import Config, load_for_the_store
from mintage.stores.opening import open_store
from mintage.vault import installation
from mintage.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class OpenInstallation:
    """A configuration, the vault on its store, and what its grants need."""

    config: Config
    vault: Vault
    needs: SecretNeeds

    @property
    def client_ids(self) -> ClientIds:
        """What reads the ids of its clients."""
        return self.needs.client_ids


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[OpenInstallation]:
    """The vault of the configuration file *path*. Servers may be running on the same store.

    If no server has created the store yet, this does not create it: it raises `ConfigError` or
    `StoreUnusable`.
    """
    async with opened_with(load_for_the_store(path), existing=True) as here:
        yield here


@asynccontextmanager
async def opened_with(config: Config, *, existing: bool = False) -> AsyncIterator[OpenInstallation]:
    """`opened`, for settings that are already loaded."""
    if config.store == "memory://":
        raise ConfigError("store", "is in a server's memory: no other process can look into it")
    store = await open_store(config.store, clock=time.time, existing=existing)
    try:
        ids = [keys.id for keys in vault_keys(config.secrets)]
        await installation.check(store, config.issuer, ids)
        needs = open_needs(config, store)
        yield OpenInstallation(config, needs.vault, needs)
    finally:
        await store.close()
