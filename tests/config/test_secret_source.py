"""Where secrets come from."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mintage.errors import ConfigError
from mintage.secret_source import generate_once, resolve


def test_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  from the file\n")
    environ = {"NAME": "from outside", "RAW": "\udcff", "ENDED": "from a shell\r\n"}
    found = [
        resolve(spec, key="k", environ=environ, base=tmp_path).reveal()
        for spec in ("env:NAME", "env:RAW", "env:ENDED", "file:secret", f"file:{tmp_path}/secret")
    ]
    assert found == [
        b"from outside", b"\xff", b"from a shell", b"from the file", b"from the file",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "why"), [(None, "is not set"), ("", "is empty"), ("\n", "is empty")]
)
def test_a_variable_that_holds_nothing_is_told_from_one_that_is_not_there(
    value: str | None, why: str
) -> None:
    environ = {} if value is None else {"NAME": value}
    with pytest.raises(ConfigError, match=why):
        resolve("env:NAME", key="k", environ=environ, base=Path())


def test_one_is_made_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "mintage.secret"
    first = generate_once(path, key="secret").reveal()
    assert len(first) == 44
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert generate_once(path, key="secret").reveal() == first
    assert list(tmp_path.iterdir()) == [path]


def test_ten_threads_at_once_get_one(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / str(number)
        with ThreadPoolExecutor(10) as pool:
            made = pool.map(lambda _, at=path: generate_once(at, key="k").reveal(), range(10))
        assert len(set(made)) == 1


def test_processes_at_once_get_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mintage.secret_source import generate_once;"
        "print(generate_once(Path(sys.argv[1]), key='k').reveal())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / "secret"], stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=20)[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0] * 4


def test_one_that_is_there_is_read_from_a_read_only_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    first = generate_once(path, key="k").reveal()

    def read_only(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.open", read_only)
    assert generate_once(path, key="k").reveal() == first
    with pytest.raises(ConfigError, match="Read-only file system"):
        generate_once(tmp_path / "other", key="k")


@pytest.mark.parametrize("place", ["missing/secret", "file/secret"])
def test_a_place_that_can_not_keep_it_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=place):
        generate_once(tmp_path / place, key="secret")


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(ConfigError, match="is empty"):
        generate_once(tmp_path / "secret", key="secret")
