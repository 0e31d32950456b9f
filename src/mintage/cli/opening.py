"""What the commands that work on a store share."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mintage.app import open_vault
from mintage.clients.registration import ClientIds
from mintage.config import Config, load
from mintage.errors import ConfigError
from mintage.keys import purpose_keys
from mintage.stores.opening import open_store
from mintage.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration, the vault on its store, and who reads its clients' ids."""

    config: Config
    vault: Vault
    client_ids: ClientIds


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Opened]:
    """The vault of the configuration file *path*, beside whatever servers work on it."""
    config = load(path)
    if config.store == "memory://":
        raise ConfigError("store", "is in a server's memory: no other process can look into it")
    store = await open_store(config.store, clock=time.time)
    try:
        vault = open_vault(config, store, clock=time.time, dice=secrets.token_bytes)
        yield Opened(config, vault, ClientIds(*purpose_keys(config.secrets, "client-id")))
    finally:
        await store.close()
