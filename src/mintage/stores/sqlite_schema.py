"""The file of the SQLite store: created, checked and upgraded before anything is written to it.

**The rule for a new format** is that of PostgreSQL's tables (`postgres_schema`): a step only adds,
and a Mintage works with a file that is one step newer than it knows.
"""

import contextlib
import errno
import itertools
import logging
import os
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

from mintage.concurrency.backoff import pause
from mintage.errors import StoreError, StoreUnavailable, StoreUnusable

log = logging.getLogger("mintage.store")

APPLICATION_ID: Final = 0x4D696E74  # "Mint"
_NEWER: Final = 1  # so many steps more than it knows a Mintage can work with
_BUSY_SECONDS: Final = 4.0  # less than a call may take, so that it ends with the reason
_PASSING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EAGAIN)
_LOCKING: Final = (
    "SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_UNLOCK", "SQLITE_IOERR_SHM",
    "SQLITE_IOERR_CHECKRESERVEDLOCK", "SQLITE_PROTOCOL",
)  # fmt: skip
_READING: Final = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_creating: Final = threading.Lock()  # until the new file's descriptor is closed

MIGRATIONS: Final = (
    """
    CREATE TABLE record (
        key BLOB PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        record BLOB NOT NULL,
        expires_at INTEGER NOT NULL,
        subject BLOB,
        client BLOB,
        summary BLOB
    ) STRICT;
    CREATE INDEX record_by_expiry ON record (expires_at);
    CREATE INDEX record_by_subject ON record (subject, key) WHERE subject IS NOT NULL;
    CREATE INDEX record_by_client ON record (client, key) WHERE client IS NOT NULL;
    CREATE TABLE change (
        version INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL,
        at INTEGER NOT NULL
    ) STRICT;
    """,
)
"""Number n brings a file from version n to n + 1; a new one is added, an old one never changes."""


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """A connection for any thread, one at a time. Raises ``sqlite3.Error``.

    A reader does not wait for a lock, because it runs in the event loop.
    """
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    if readonly:
        db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA busy_timeout = 0")
    return db


def prepare(path: Path) -> None:
    """Create the file if there is none, upgrade an older one, and refuse any other file."""
    _create(path)
    try:
        _check(path)
        db = connect(path)
        try:
            _use_wal(db)
            _migrate(db, path)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise _named(path, error) from error


def _named(path: Path, error: sqlite3.Error) -> StoreError:
    """What *error* means when *path* is opened, and who can fix it."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if not isinstance(error, sqlite3.OperationalError):
        return StoreUnusable(f"{path} is damaged or no database ({name})")
    if name.startswith(_LOCKING):
        return StoreUnusable(
            f"{path} can't be locked ({name}): keep the database on a local disk, not on a "
            "network or shared file system that has no locks"
        )
    if name.startswith(_READING) and not os.access(path.parent, os.W_OK | os.X_OK):
        return StoreUnusable(
            f"{path} can't be opened ({name}): SQLite keeps its log beside the database, and "
            f"{path.parent} can't be written by this process{_who()}"
        )
    if name == "SQLITE_BUSY":
        return StoreUnavailable(
            f"{path} stays locked ({name}): another process holds it, or its file system "
            "has no locks (keep the database on a local disk)"
        )
    return StoreUnavailable(f"{path} can't be opened ({name})")


def _who() -> str:
    return f" (uid {os.geteuid()})" if hasattr(os, "geteuid") else ""


def _create(path: Path) -> None:
    """An empty file that only its owner can read. SQLite gives its other files the same mode.

    Only SQLite may open an existing file. Closing any descriptor of it would drop all locks of this
    process (POSIX). Another process would then think that it is the last one, and remove the log
    that this one writes.
    """
    if not path.parent.is_dir():
        raise StoreUnusable(f"the directory {path.parent} does not exist; create it first")
    try:
        with _creating, contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        kind = StoreUnavailable if error.errno in _PASSING else StoreUnusable
        advice = ""
        if error.errno in _FORBIDDEN:
            advice = f"; let this process{_who()} write there, or name another file"
        raise kind(f"{path} can't be opened: {error.strerror}{advice}") from error


def _check(path: Path) -> None:
    if path.stat().st_size == 0:
        return
    place = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(place, uri=True, timeout=_BUSY_SECONDS)
    try:
        db.execute("BEGIN")  # all of it as of one moment: another process may be making the file
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise StoreUnusable(f"{path} is no SQLite database; name another file") from error
        raise
    finally:
        db.close()
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreUnusable(f"{path} is another program's database; name another file")
    _check_version(path, version)


def _check_version(path: Path, version: int) -> None:
    known = len(MIGRATIONS)
    if version > known + _NEWER:
        raise StoreUnusable(
            f"{path} was written by a newer Mintage (format {version}; this one works with up to "
            f"{known + _NEWER}): upgrade Mintage, or name another file"
        )
    if version > known:
        log.warning(
            "%s has format %d, this Mintage knows %d: it can work with it; finish the upgrade",
            path,
            version,
            known,
        )


def _use_wal(db: sqlite3.Connection) -> None:
    """Change the journal mode. SQLite does not wait for other processes here, so this does."""
    deadline = time.monotonic() + _BUSY_SECONDS
    for failures in itertools.count():
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause(failures, random.random, first=0.01, most=0.1))
        else:
            return


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """All missing steps in one transaction. Of several processes one does them."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version >= len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        _check_version(path, version)  # a newer version may have migrated it just now
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {max(version, len(MIGRATIONS))}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
