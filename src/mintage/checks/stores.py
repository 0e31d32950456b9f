"""Checks the store: it exists, can be written, keeps what it gets, and is this installation's."""

import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from mintage.app.opening import vault_keys
from mintage.app.secret_needs import open_needs
from mintage.app.store_watch import clock_warning
from mintage.checks.findings import Finding, error, ok, warning
from mintage.errors import ConfigError, StoreError, StoreUnusable
from mintage.extras import MissingExtra
from mintage.settings.load import Config
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.vault import installation

_PROBE_SECONDS: Final = 60


async def check_store(config: Config) -> AsyncIterator[Finding]:
    """The store of *config*. One record is written, read and removed again."""
    scheme, _, path = config.store.partition("://")
    if scheme == "memory":
        yield warning(
            "store",
            "logins live in this server's memory: a restart ends them all",
            "use sqlite:// and a path, postgresql:// or redis://",
        )
        return
    if scheme == "sqlite" and (finding := _new_file(Path(path))) is not None:
        yield finding
        return
    try:
        store = await open_store(config.store, clock=time.time, existing=True)
    except MissingExtra as missing:
        yield error("store", f"its driver is not installed: {missing.advice}", "install it")
        return
    except StoreUnusable as unusable:
        yield error("store", str(unusable).removeprefix("store: "), _remedy(scheme))
        return
    except StoreError as away:
        yield error("store", f"it can't be reached: {away}", "check its address and the network")
        return
    except (OSError, ValueError, OverflowError) as wrong:  # of the driver, about the URL
        yield error("store", f"its URL can't be used: {wrong}", "correct the URL")
        return
    try:
        async for finding in _open(config, store):
            yield finding
    except StoreError as failure:
        yield error("store", f"it failed: {failure}", "check the engine's own log")
    finally:
        await store.close()


def _remedy(scheme: str) -> str:
    if scheme == "sqlite":
        return (
            "let the server's user read and write the file and its directory; if it is no "
            "database of Mintage, name another file"
        )
    return "correct the URL; if the tables are missing, make them with: mintage store init"


def _new_file(path: Path) -> Finding | None:
    """Whether the file can be created; None: it is there."""
    try:
        if path.is_dir():
            return error("store", f"{path} is a directory", "write the path of a file")
        if path.exists():
            return None
    except OSError as wrong:  # the name is too long, say
        return error("store", str(wrong.strerror), "write a shorter path")
    if not path.parent.is_dir():
        return error(
            "store", f"the directory {path.parent} does not exist", f"mkdir -p {path.parent}"
        )
    if not os.access(path.parent, os.W_OK):
        return error(
            "store",
            f"this user can't write to {path.parent}",
            "run the check as the server's user, and let that user write there",
        )
    return ok("store", f"the first start makes {path}")


async def _open(config: Config, store: Store) -> AsyncIterator[Finding]:
    status = await store.status()
    for said in status.warnings:
        yield warning("store", said, "see docs/reliability.md")
    off = clock_warning(status, time.time())
    if off is not None:
        yield warning("store", f"this machine's clock is {off}", "set the clocks (NTP) of both")
    key, record = secrets.token_bytes(32), secrets.token_bytes(32)
    await store.insert(key, record, None, int(time.time()) + _PROBE_SECONDS)
    found = await store.load(key)
    await store.delete(key)
    if found is None or found.record != record:
        yield error("store", "it does not return what was written to it", "use another server")
        return
    yield ok("store", "a record was written, read and removed")
    try:
        await installation.check(
            store, config.issuer, [one.id for one in vault_keys(config.secrets)]
        )
    except (ConfigError, StoreUnusable) as foreign:
        yield error("store", str(foreign), "give each installation a store of its own")
        return
    yield await _secrets(config, store)


async def _secrets(config: Config, store: Store) -> Finding:
    missing = await open_needs(config, store).missing()
    if missing:
        named = ", ".join(f"{need.secret_id} ({need.grants} logins)" for need in missing)
        return error(
            "secret",
            f"logins in the store need root secrets that are not configured: {named}",
            "put them back; `mintage keys status` shows which are needed",
        )
    return ok("secret", "every login in the store can be opened")
