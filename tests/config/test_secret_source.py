"""Where secrets come from."""

import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mintage import secret_command
from mintage.errors import ConfigError
from mintage.secret_source import Sources, generate_once, resolve


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


def asked(command: str, base: Path, **environ: str) -> bytes:
    environ = {"PATH": os.environ["PATH"]} | environ
    return resolve(f"command:{command}", key="k", environ=environ, base=base).reveal()


def refused(command: str, base: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        asked(command, base)
    assert caught.value.key == "k"
    return caught.value.advice


def test_a_command_prints_it(tmp_path: Path) -> None:
    (tmp_path / "vault").write_text('#!/bin/sh\necho "$1-$TOKEN"\n')
    (tmp_path / "vault").chmod(0o700)
    assert asked("./vault 'two words'", tmp_path, TOKEN="x") == b"two words-x"
    assert asked("echo '$HOME' ; echo two", tmp_path) == b"$HOME ; echo two"  # no shell


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("sh -c 'echo SECRET; echo denied: no token >&2; echo more >&2; exit 3'",
         "the command 'sh' failed with exit code 3: denied: no token"),
        ("sh -c 'echo SECRET; exit 3'", "the command 'sh' failed with exit code 3"),
        ("sh -c 'echo SECRET; kill -9 $$'", "the command 'sh' was ended by signal 9"),
        ("sh -c 'printf \"\\033[2J\" >&2; exit 1'", "failed with exit code 1: \ufffd[2J"),
        ("true SECRET", "the command 'true' printed nothing"),
        ("yes SECRET", "the command 'yes' printed more than 65536 bytes"),
        ("sh -c 'yes SECRET >&2 & sleep 0.2; kill $!; exit 1'", "failed with exit code 1: SECRET"),
        ("no-such-program SECRET", "the command 'no-such-program' can't be started: No such file"),
        ("'half a SECRET", "is no command line: no closing quotation"),
        ("''", "names no command"),
    ],
)  # fmt: skip
def test_a_command_that_gives_none_is_named_with_what_it_complained_about(
    tmp_path: Path, command: str, why: str
) -> None:
    advice = refused(command, tmp_path)
    assert why in advice
    assert "more" not in advice or "more than" in advice
    assert advice.count("SECRET") == why.count("SECRET")  # no argument, and no standard output


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    line = f"sh -c 'sleep 60 & echo $! > {tmp_path}/pid; cat /dev/zero > /dev/null'"
    started = time.monotonic()
    with pytest.raises(ConfigError, match="'sh' ran longer than"):
        secret_command.output_of(line, key="k", environ=os.environ, base=tmp_path, timeout=3)
    assert time.monotonic() - started < 30
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether *pid* is a process that has not ended; one that nobody waited for has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_command_runs_once_in_a_load(tmp_path: Path) -> None:
    sources = Sources(os.environ, tmp_path)
    line = f"command:sh -c 'echo ran >> {tmp_path}/log; echo value'"
    assert [sources(line, key).reveal() for key in ("a", "b")] == [b"value"] * 2
    assert (tmp_path / "log").read_text() == "ran\n"


def test_a_credential_of_systemd_is_read(tmp_path: Path) -> None:
    (tmp_path / "upstream").write_text("s3\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    found = resolve("credential:upstream", key="k", environ=environ, base=Path("/"))
    assert found.reveal() == b"s3"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("credential:missing", "missing can't be read: No such file"),
        ("credential:../other", "without slashes"),
        ("credential:..", "without slashes"),
    ],
)
def test_a_credential_that_is_not_there_is_named(tmp_path: Path, spec: str, why: str) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "c")}
    with pytest.raises(ConfigError, match=why):
        resolve(spec, key="k", environ=environ, base=tmp_path)


def test_without_systemd_a_credential_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LoadCredential=upstream:PATH"):
        resolve("credential:upstream", key="k", environ={}, base=tmp_path)
