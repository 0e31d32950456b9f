"""Where ``mintage dev`` keeps its secret: among the user's own files."""

import os
import stat
from pathlib import Path

import pytest

from mintage.demo.dev import private_directory
from mintage.errors import ConfigError


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's programs keep what should outlive them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_secret_is_this_users_alone_and_stays_the_same(state: Path) -> None:
    """So a client that registered before a restart is still known."""
    first = private_directory()
    secret = (first / "secret").read_bytes()
    assert first.parent.parent == state
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert stat.S_IMODE((first / "secret").stat().st_mode) == 0o600
    assert (private_directory(), (first / "secret").read_bytes()) == (first, secret)


def test_a_directory_that_others_can_read_is_refused(state: Path) -> None:
    path = private_directory()
    assert path.parent.parent == state
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="is not this user's alone; remove it"):
        private_directory()


def test_a_link_that_somebody_planted_is_refused(state: Path) -> None:
    path = private_directory()
    elsewhere = state / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is not this user's alone; remove it"):
        private_directory()


def test_a_home_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"can't be kept in .*: XDG_STATE_HOME=DIRECTORY"):
        private_directory()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere users have no number")
def test_a_user_without_a_home_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is started with a number for a user."""
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(ConfigError, match=r"has no home directory.*: XDG_STATE_HOME=DIRECTORY"):
        private_directory()
