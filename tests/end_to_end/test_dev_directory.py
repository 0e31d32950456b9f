"""Where ``mintage dev`` keeps its secret: among temporary files, where others may write too."""

import stat
import tempfile
from pathlib import Path

import pytest

from mintage.demo.dev import private_directory
from mintage.errors import ConfigError


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's directory of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_secret_is_this_users_alone_and_stays_the_same(shared: Path) -> None:
    """So a client that registered before a restart is still known."""
    first = private_directory()
    secret = (first / "secret").read_bytes()
    assert first.parent == shared
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert stat.S_IMODE((first / "secret").stat().st_mode) == 0o600
    assert (private_directory(), (first / "secret").read_bytes()) == (first, secret)


def test_a_directory_that_others_can_read_is_refused(shared: Path) -> None:
    path = private_directory()
    assert path.parent == shared
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="is not this user's alone; remove it"):
        private_directory()


def test_a_link_that_somebody_planted_is_refused(shared: Path) -> None:
    path = private_directory()
    elsewhere = shared / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is not this user's alone; remove it"):
        private_directory()
