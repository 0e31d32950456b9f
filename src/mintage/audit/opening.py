"""Opens the audit trail that the settings describe."""

import os
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mintage.audit.auditor import Auditor, AuditSettings
from mintage.audit.file import FileSink, StreamSink
from mintage.audit.record import Recorder
from mintage.audit.trail import Sink, Trail
from mintage.crypto.derivation import purpose_key
from mintage.errors import ConfigError
from mintage.values import Clock, RandomBytes, Secret

_STDOUT: Final = 1


def open_audit(
    settings: AuditSettings,
    secret: Secret,
    *,
    clock: Clock,
    random_bytes: RandomBytes,
    stdout: int = _STDOUT,
) -> Auditor:
    """The auditor of *settings*. Users are hashed under a key from *secret*, the root secret.

    Close its trail. *stdout*: the descriptor that ``stdout`` means. Raises `ConfigError` if the
    file can't be written: a server that is to have an audit trail does not start without one.
    """
    key = purpose_key(secret, "audit") if settings.hashed else None
    return Auditor(
        trail=Trail(_sink(settings, clock, stdout)),
        recorder=Recorder(socket.gethostname(), os.getpid(), key),
        refusals=settings.refusals,
        clock=clock,
        random_bytes=random_bytes,
    )


def _sink(settings: AuditSettings, clock: Clock, stdout: int) -> Sink:
    if isinstance(settings.to, Path):
        try:
            return FileSink(settings.to)
        except OSError as error:
            raise ConfigError(
                "audit.to",
                f"{settings.to} can't be written: {error.strerror}. Let this process write there, "
                "or name another file",
            ) from None
    if not urlsplit(settings.to).netloc:
        return StreamSink(stdout)
    from mintage.audit.webhook import WebhookSink

    return WebhookSink(
        settings.to,
        clock=clock,
        authorization=settings.authorization,
        signing_secret=settings.signing_secret,
    )
