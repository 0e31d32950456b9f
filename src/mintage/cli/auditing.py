"""Audit records of what operators do on the command line."""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mintage.app.opening import vault_keys
from mintage.audit.auditor import Auditor
from mintage.audit.opening import open_audit
from mintage.cli.plain_text import as_text
from mintage.errors import ConfigError
from mintage.events.event import Emit, ignore
from mintage.events.operation import AdminAction, KeysChanged
from mintage.settings.load import Config
from mintage.settings.reading import settings_in

_STDERR: Final = 2  # of a command, standard output is its result


@contextlib.contextmanager
def audited(config: Config) -> Iterator[Emit]:
    """What a command reports its security events to. They are written when the block ends.

    A trail that can't be opened does not stop the command: it may be the answer to an attack.
    """
    auditor = _opened(config)
    if auditor is None:
        yield ignore
        return
    try:
        yield auditor
    finally:
        auditor.trail.close()


def _opened(config: Config) -> Auditor | None:
    if config.audit is None:
        return None
    try:
        return open_audit(
            config.audit,
            config.secret,
            clock=time.time,
            random_bytes=secrets.token_bytes,
            stdout=_STDERR,
        )
    except ConfigError as error:
        unrecorded(error)
        return None


def unrecorded(error: ConfigError) -> None:
    """Say on standard error that the audit trail gets no record of this command, and why."""
    why = as_text(" ".join(str(error).split()))
    print(f"mintage: not in the audit trail: {why}", file=sys.stderr)  # noqa: T201


def has_trail(path: Path) -> bool:
    """Whether the settings in *path* ask for an audit trail. No secret of it is read."""
    with settings_in(path, os.environ) as data:
        return data.get("audit") is not None


def who_ended_it(path: Path) -> str:
    """Where an operator finds when a login ended, and who ended it. *path*: the settings."""
    if has_trail(path):
        return "the audit trail says when, and who ended it"
    return (
        "the server's log says when, and who ended it, unless a command did: only an audit trail "
        "records that, and [audit] is not set"
    )


def action(operation: str, *, count: int | None = None) -> AdminAction:
    """The event of an *operation*, like ``grants end``, by the user who runs this process."""
    return AdminAction(operation=operation, via="cli", operator=user(), count=count)


def keys_changed(config: Config) -> KeysChanged:
    """The event of a change after which *config* has the root secrets that it has."""
    return KeysChanged(ids=tuple(keys.id.hex() for keys in vault_keys(config.secrets)))


def user() -> str:
    """The user of this process, as the machine names them. The environment could say anything."""
    if os.name != "posix":
        return "unknown"
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
