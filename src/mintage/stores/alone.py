"""Whether another process keeps its logins in its own memory under the same issuer."""

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
    """Hold a lock in the name of *issuer* while the block lasts; log an error if another has it.

    Two processes with ``memory://`` (``uvicorn --workers 2``, say) each know half of the logins:
    a code of one is refused by the other.
    """
    descriptor = _open(issuer)
    try:
        if descriptor is not None and not _locked(descriptor):
            log.error(
                "another process serves %s with memory:// too, and each keeps its logins to "
                "itself: codes and tokens of one are refused by the other; give both a store that "
                "they share, such as sqlite://",
                issuer,
            )
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(issuer: str) -> int | None:
    """A file of this user's for the lock; None where there can be none, which is no fault."""
    if sys.platform == "win32":
        return None
    name = f"mintage-memory-{os.getuid()}-{hashlib.sha256(issuer.encode()).hexdigest()[:16]}"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        return os.open(os.path.join(tempfile.gettempdir(), name), flags, 0o600)  # noqa: PTH118
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
