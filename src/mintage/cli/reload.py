"""Reads the settings again while a server runs, and says in the log what came of it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mintage.app import Mintage, Running
from mintage.app.opening import vault_keys
from mintage.cli.supervisor import notify, notify_reloading
from mintage.errors import ConfigError, MintageError
from mintage.events.operation import KeysChanged, SettingsLoaded, SettingsRefused
from mintage.settings.load import Config
from mintage.settings.reloading import Loaded, read_again

log = logging.getLogger("mintage.serve")

_NOT_RELOADED: Final = "settings not reloaded, the former ones stay in use"


class Source(msgspec.Struct, frozen=True):
    """Where a server's settings are. *check*: raises `ConfigError` for settings it can't run."""

    path: Path
    command: tuple[str, ...]
    check: Callable[[Config], None]

    def read(self, before: Loaded | None = None) -> Loaded:
        """The settings as they are now (see `read_again`). Raises `ConfigError`."""
        found = read_again(self.path, before, command=self.command)
        self.check(found.config)
        return found


def refused(error: MintageError | OSError) -> None:
    """Say that a reload failed."""
    log.error("%s: %s", _NOT_RELOADED, error)
    notify("READY=1", f"STATUS=Settings not reloaded: {error}".replace("\n", " "))


def applied(found: Loaded) -> None:
    """Say what a reload has changed, and what it could not change."""
    log.info("settings reloaded; changed: %s", ", ".join(found.changed) or "nothing")
    if found.waiting:
        log.warning("restart to apply: %s", ", ".join(found.waiting))
    notify("READY=1", "STATUS=Settings reloaded")


class Checked:
    """The settings of a parent of workers: *loaded*, those that a new worker begins with.

    *tell* gets the key of what was wrong in settings that it refuses.
    """

    def __init__(self, source: Source, loaded: Loaded, tell: Callable[[str], None]) -> None:
        self._source = source
        self._tell = tell
        self.loaded = loaded

    def reload(self) -> bool:
        """Read the settings again. Returns whether they are good, so that workers may read them."""
        try:
            self.loaded = self._source.read(self.loaded)
        except (MintageError, OSError) as error:
            if isinstance(error, ConfigError):
                self._tell(error.key)
            refused(error)
            return False
        except Exception:
            log.exception(_NOT_RELOADED)
            return False
        return True


class Reloader:
    """Reloads *app*, one reload at a time. One more follows if a signal comes meanwhile."""

    def __init__(
        self,
        app: Mintage,
        source: Source,
        loaded: Loaded,
        running: Running,
        opened: Callable[[Running], None],
    ) -> None:
        """*loaded*: the settings in use. *opened* gets the server that a reload has opened."""
        self._app = app
        self._source = source
        self._loaded = loaded
        self._opened = opened
        self._emit = running.events  # a reload keeps it, with its listeners
        self._asked = False
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Reload soon. Call it in the event loop."""
        self._asked = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._reload())

    async def stop(self) -> None:
        """Begin no reload any more, and wait for one under way."""
        self._asked = False
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _reload(self) -> None:
        while self._asked:
            self._asked = False
            notify_reloading()
            try:
                await self._once()
            except (MintageError, OSError) as error:
                refused(error)
            except Exception:
                log.exception(_NOT_RELOADED)
                notify("READY=1", f"STATUS={_NOT_RELOADED}")

    async def _once(self) -> None:
        try:
            # In a thread: a command that prints a secret may take its time.
            found = await asyncio.to_thread(self._source.read, self._loaded)
            running = await self._app.reload(found.config)
        except ConfigError as error:
            self._emit(SettingsRefused(key=error.key))
            raise
        before, self._loaded = self._loaded.config, found
        self._opened(running)
        self._emit(SettingsLoaded(occasion="reload", digest=found.config.digest))
        ids = _key_ids(found.config)
        if ids != _key_ids(before):
            self._emit(KeysChanged(ids=ids))
        applied(found)


def _key_ids(config: Config) -> tuple[str, ...]:
    """The public ids of all secrets and signing keys."""
    roots = (keys.id.hex() for keys in vault_keys(config.secrets))
    return (*roots, *(key.kid for key in config.signing_keys))
