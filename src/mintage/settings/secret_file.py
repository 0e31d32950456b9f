"""The file with the root secrets, one in each line: the one in use, and below it former ones.

A secret below the comment ``# next`` is not in use yet, but servers can read with it already. So
one server can begin to use it while the others still use the old one.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from mintage.errors import ConfigError

_NEXT: Final = "# next"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """The content of the file at *path*. *used*: the one in use, then former ones."""

    path: Path
    used: Sequence[str] = field(repr=False)
    staged: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `ConfigError` for a file that can't be read, or is not text."""
        try:
            found = path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("secret", f"{path} can't be read as text: {error}") from None
        used, staged = [], None
        marked = False
        for line in map(str.strip, found):
            if line and not line.startswith("# "):
                if marked:
                    staged = line
                else:
                    used.append(line)
            marked = line == _NEXT
        if not used:
            raise ConfigError("secret", f"{path} holds no secret")
        return cls(path, used, staged)

    def stage(self, secret: str) -> Self:
        """With *secret* as the next one. Nothing changes if there is a next one already."""
        return self if self.staged else type(self)(self.path, self.used, secret)

    def rotate(self, secret: str) -> Self:
        """With the next secret in use, or *secret* if there is none."""
        return type(self)(self.path, (self.staged or secret, *self.used))

    def keep(self, former: Sequence[bool]) -> Self:
        """Only with those former secrets for which *former* returns True."""
        kept = [secret for secret, keep in zip(self.used[1:], former, strict=True) if keep]
        return type(self)(self.path, (self.used[0], *kept), self.staged)

    def write(self) -> None:
        """Replace the whole file, or nothing. Raises `ConfigError`."""
        lines = [*self.used, *([_NEXT, self.staged] if self.staged else [])]
        try:
            with _replacing(self.path.resolve()) as fresh:
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123
                    file.write("\n".join(lines) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError("secret", f"{self.path} can't be written: {error.strerror}") from None


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside *path*. It replaces *path*, with the same owner and mode."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield fresh
        old = path.stat()
        fresh.chmod(old.st_mode & 0o777)
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(fresh, old.st_uid, old.st_gid)
        fresh.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        fresh.unlink(missing_ok=True)
