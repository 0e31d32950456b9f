"""Detects another process that keeps its logins in its own memory under the same issuer."""

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

log = logging.getLogger("mintage.stores")


@contextmanager
def alone(issuer: str) -> Iterator[None]:
    """Hold a lock named after *issuer* for the length of the block. Log an error if it is taken.

    Two processes with ``memory://`` (``uvicorn --workers 2``, say) each know half of the logins:
    one refuses the codes of the other.
    """
    path = _place(issuer)
    descriptor, ours = _open(path), False
    try:
        ours = descriptor is not None and _locked(descriptor)
        if descriptor is not None and not ours:
            log.error(
                "another process serves %s with memory:// too, and each keeps its logins to "
                "itself: codes and tokens of one are refused by the other; give both a store that "
                "they share, such as sqlite://",
                issuer,
            )
        yield
    finally:
        # Who starts in this very moment may miss the warning. A killed process leaves an empty
        # file, which the next one under this issuer takes over and removes.
        if ours:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
        if descriptor is not None:
            os.close(descriptor)


def _place(issuer: str) -> str:
    user = os.getuid() if hasattr(os, "getuid") else 0
    name = f"mintage-memory-{user}-{hashlib.sha256(issuer.encode()).hexdigest()[:16]}"
    return os.path.join(tempfile.gettempdir(), name)  # noqa: PTH118


def _open(path: str) -> int | None:
    """A file of this user for the lock; None if it can't be created, which is no error."""
    if sys.platform == "win32":
        return None
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        return os.open(path, flags, 0o600)
    return None


def _locked(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
