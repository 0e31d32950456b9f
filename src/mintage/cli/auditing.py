"""Audit records of what operators do on the command line."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from typing import Final

from mintage.app.opening import vault_keys
from mintage.audit.opening import open_audit
from mintage.events.event import Emit, ignore
from mintage.events.operation import AdminAction, KeysChanged
from mintage.settings.load import Config

_STDERR: Final = 2  # of a command, standard output is its result


@contextlib.contextmanager
def audited(config: Config) -> Iterator[Emit]:
    """What a command reports its security events to. They are written when the block ends."""
    if config.audit is None:
        yield ignore
        return
    auditor = open_audit(
        config.audit,
        config.secret,
        clock=time.time,
        random_bytes=secrets.token_bytes,
        stdout=_STDERR,
    )
    try:
        yield auditor
    finally:
        auditor.trail.close()


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
