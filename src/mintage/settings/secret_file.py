"""The file that root secrets stand in, one a line: the first is in use, those below it were.

A secret under the remark ``# next`` is not in use yet: servers read with it already, so that
it can be put into use on one of them while the others still work with the old one.
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
    """What stands in the file at *path*. *used*: in use, then former ones."""

    path: Path
    used: Sequence[str] = field(repr=False)
    staged: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `ConfigError` for a file that can't be read, or holds no text."""
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
        """With *secret* to come; nothing changes where one is to come already."""
        return self if self.staged else type(self)(self.path, self.used, secret)

    def rotate(self, secret: str) -> Self:
        """With the staged secret in use, or else with *secret*."""
        return type(self)(self.path, (self.staged or secret, *self.used))

    def keep(self, former: Sequence[bool]) -> Self:
        """With only those of the former secrets that *former* says yes to."""
        kept = [secret for secret, keep in zip(self.used[1:], former, strict=True) if keep]
        return type(self)(self.path, (self.used[0], *kept), self.staged)

    def write(self) -> None:
        """Replace the file whole, or leave it. Raises `ConfigError`."""
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
    """A name beside *path* to write to; it takes the place of *path*, with its owner and mode."""
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
