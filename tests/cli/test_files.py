"""Files and rights, as containers and shared disks have them: it works, or a sentence says why."""

import asyncio
import errno
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from mintage.errors import ConfigError
from mintage.network.tls import trusted
from mintage.settings.load import load
from mintage.testing.nanoidp import free_port
from tests.support.command import WORKERS_CONFIG, mintage
from tests.support.seccomp import FCNTL

GOOD = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"
UID = 54321  # no user has it

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="takes root and util-linux: another user is needed",
)


def write(directory: Path, store: str, *, port: int = 8080, secret: str = "") -> Path:
    file = directory / "mintage.toml"
    file.write_text(secret + WORKERS_CONFIG.format(port=port, store=store))
    return file


async def answers(prefix: Sequence[str], file: Path, port: int) -> tuple[bool, str]:
    """Whether the server of *file* comes up when *prefix* starts it, and its log."""
    child = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-m", "mintage", "serve", "--config", str(file),
        "--port", str(port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd="/", env={k: v for k, v in os.environ.items() if k != "HOME"},
    )  # fmt: skip
    up = False
    async with httpx2.AsyncClient(verify=trusted(), trust_env=False) as http:
        for _ in range(600):
            try:
                up = (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
                break
            except httpx2.HTTPError:
                if child.returncode is not None:
                    break
                await asyncio.sleep(0.1)
    if child.returncode is None:
        child.terminate()
    said, _ = await child.communicate()
    return up, said.decode()


def refused(prefix: Sequence[str], file: Path) -> str:
    """The one line with which the start is refused."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "mintage", "serve", "--config", str(file), "--port", "0"],
        capture_output=True, timeout=100, check=False, text=True,
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mintage: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def as_stranger(group: int) -> list[str]:
    return ["setpriv", f"--reuid={UID}", f"--regid={group}", "--clear-groups"]


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that any user can reach."""
    with TemporaryDirectory(prefix="mintage-files-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@as_root
async def test_an_arbitrary_uid_of_the_directorys_group(open_path: Path) -> None:
    """As some clusters run images: a uid that nobody has, in group 0."""
    data, port = open_path / "data", free_port()
    data.mkdir()
    data.chmod(0o770)
    file = write(open_path, f"sqlite://{data}/mintage.db", port=port)
    up, said = await answers(as_stranger(0), file, port)
    assert up, said
    for name in ("mintage.db", "mintage.secret"):
        found = (data / name).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (UID, 0o600)


@as_root
async def test_a_root_file_system_that_is_read_only(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    file = write(tmp_path, f"sqlite://{data}/mintage.db", port=port)
    script = f'mount -t tmpfs tmpfs {data} && mount -o remount,bind,ro / && exec "$@"'
    sealed = ["unshare", "--mount", "sh", "-c", script, "sh"]
    trial = await asyncio.create_subprocess_exec(*sealed, "true", stderr=subprocess.DEVNULL)
    if await trial.wait() != 0:
        pytest.skip("this machine gives nobody a mount namespace")
    up, said = await answers(sealed, file, port)
    assert up, said


@as_root
def test_a_directory_that_may_not_be_written(open_path: Path) -> None:
    data = open_path / "data"
    data.mkdir()
    file = write(open_path, f"sqlite://{data}/mintage.db")
    line = refused(as_stranger(UID), file)
    assert line.startswith(f"mintage: secret: a new secret can't be kept in {data}/mintage.secret")
    assert f"uid {UID}" in line
    secret = open_path / "secret"
    secret.write_text(GOOD)
    file = write(open_path, f"sqlite://{data}/mintage.db", secret=f'secret = "file:{secret}"\n')
    line = refused(as_stranger(UID), file)
    assert f"{data}/mintage.db can't be opened: Permission denied" in line
    assert f"uid {UID}" in line


@as_root
def test_a_database_in_a_directory_that_may_not_be_written(open_path: Path) -> None:
    data, secret = open_path / "data", open_path / "secret"
    data.mkdir()
    secret.write_text(GOOD)
    file = write(open_path, f"sqlite://{data}/mintage.db", secret=f'secret = "file:{secret}"\n')
    (data / "mintage.db").touch()
    (data / "mintage.db").chmod(0o666)
    line = refused(as_stranger(UID), file)
    assert f"SQLite keeps its log beside the database, and {data} can't be written" in line


@pytest.mark.parametrize("secret", ["", 'secret = "env:MINTAGE_SECRET_OF_A_TEST"\n'])
def test_a_directory_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("MINTAGE_SECRET_OF_A_TEST", GOOD)
    file = write(tmp_path, f"sqlite://{tmp_path}/none/mintage.db", secret=secret)
    done = mintage("serve", "--config", str(file), "--port", "0")
    assert done.returncode in (1, 2)
    last = done.stderr.decode().splitlines()[-1]
    assert f"the directory {tmp_path}/none does not exist; create it first" in last
    assert "secret" not in last.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.EOPNOTSUPP, "StoreUnusable: {path} can't be locked (SQLITE_IOERR_"),
        (errno.ENOLCK, "StoreUnavailable: {path} stays locked (SQLITE_BUSY)"),
    ],
)
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in FCNTL, reason="takes Linux's seccomp"
)
def test_a_path_that_has_no_locks(tmp_path: Path, code: int, sentence: str) -> None:
    path = tmp_path / "mintage.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.seccomp", str(code), str(path)],
        capture_output=True, timeout=100, check=False, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.startswith(sentence.format(path=path)), done.stdout + done.stderr
    assert "keep the database on a local disk" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="takes modes of files")
@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)]
)
def test_a_secret_that_every_user_can_read_is_named(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    warned: bool,  # noqa: FBT001
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(GOOD)
    secret.chmod(mode)
    file = write(tmp_path, "memory://", secret='secret = "file:secret"\n')
    with caplog.at_level(logging.WARNING):
        load(file)
    warnings = [r.getMessage() for r in caplog.records if "can read" in r.getMessage()]
    assert warnings == (
        [f"secret: every user of this machine can read {secret}: chmod o-r {secret}"]
        if warned
        else []
    )
    assert GOOD not in caplog.text


def test_a_secret_that_cannot_be_read(tmp_path: Path) -> None:
    file = write(tmp_path, "memory://", secret='secret = "file:none"\n')
    with pytest.raises(ConfigError, match=r"secret: .*none can't be read: No such file"):
        load(file)
