"""``mintage keys rotate`` and ``retire``: use a new root secret, and remove old ones."""

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mintage.app.client_denials import denials_in
from mintage.app.secret_needs import Need
from mintage.cli.auditing import action, audited, keys_changed, unrecorded
from mintage.cli.opening import OpenInstallation, opened
from mintage.cli.plain_text import counted
from mintage.cli.settings_file import SettingsFile
from mintage.errors import ConfigError
from mintage.settings.for_the_store import load_for_the_store
from mintage.settings.load import Config
from mintage.settings.reading import HERE
from mintage.settings.secret_file import SecretFile


def rotate(
    *,
    config: SettingsFile = HERE,
    stage: Annotated[
        bool, Parameter(help="Make it known first: for several servers.", negative="")
    ] = False,
) -> int:
    """Put a new root secret into use.

    The old one is kept: it opens what it has sealed. Reload the server afterwards (SIGHUP).
    Several servers must know a secret before one of them uses it: rotate with --stage, reload them
    all, rotate without it, reload them all again.
    """
    settings = load_for_the_store(config, unrecorded=unrecorded)
    file = _file(settings)
    if stage:
        with audited(settings) as emit:
            file.stage(secrets.token_urlsafe(32)).write()
            emit(action("keys rotate --stage"))
        print(f"A new secret is staged in {file.path}. Reload all servers, then rotate.")  # noqa: T201
        return 0
    with audited(settings) as emit:
        file.rotate(secrets.token_urlsafe(32)).write()
        emit(action("keys rotate"))
        emit(keys_changed(load_for_the_store(config)))
    print(  # noqa: T201
        f"A new secret is first in {file.path}. Reload the servers (SIGHUP); `mintage keys status` "
        "tells how many grants still need the old one, `mintage keys retire` removes it."
    )
    return 0


def retire(
    *,
    config: SettingsFile = HERE,
    force: Annotated[
        bool,
        Parameter(help="Also secrets that grants need: their users log in anew.", negative=""),
    ] = False,
) -> int:
    """Remove the root secrets that nobody needs.

    Those that are needed stay, and the exit code is 1 then. While a grant can't be read, nothing
    is removed: it may need any of them.
    """
    return asyncio.run(_retire(config, force=force))


async def _retire(path: Path, *, force: bool) -> int:
    async with opened(path, acts=True) as here:
        file = _file(here.config)
        if not force and (unread := await here.needs.unread()):
            print(  # noqa: T201
                f"Nothing was removed: {counted(unread, 'grant')} can't be read, and may need any "
                "secret. "
                "`mintage grants list` shows them and why; end them, or give --force.",
                file=sys.stderr,
            )
            return 1
        former = (await here.needs.count())[1 : len(file.used)]
        return await _remove(path, here, file, former, force=force)


async def _remove(
    path: Path, here: OpenInstallation, file: SecretFile, former: list[Need], *, force: bool
) -> int:
    kept = [need.grants > 0 and not force for need in former]
    for need, stays in zip(former, kept, strict=True):
        fate = "kept" if stays else "removed"
        print(f"{need.secret_id}: needed by {counted(need.grants, 'grant')}, {fate}")  # noqa: T201
    if all(kept):
        print("Nothing was removed.")  # noqa: T201
    else:
        await denials_in(here.store, here.config).reseal()
        file.keep(kept).write()
        here.emit(action("keys retire", count=kept.count(False)))
        here.emit(keys_changed(load_for_the_store(path)))
        print(f"{file.path} was changed. Reload the servers (SIGHUP).")  # noqa: T201
        gone = {
            bytes.fromhex(need.secret_id)
            for need, stays in zip(former, kept, strict=True)
            if not stays
        }
        # Their tokens can't be verified any more. Without an end they would get 503 for ever.
        if ended := await here.needs.give_up(gone):
            print(f"{counted(ended, 'grant')} ended: the users log in again.")  # noqa: T201
    return 1 if any(kept) else 0


def _file(config: Config) -> SecretFile:
    if config.secret_file is None:
        raise ConfigError(
            "secret",
            "is not in one file. Put a new secret (mintage keys new) on a line before the "
            "old one, where the old one comes from",
        )
    return SecretFile.read(config.secret_file)
