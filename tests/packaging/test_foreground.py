"""``make demo`` on a terminal: Ctrl-C ends the demo, and `make` says that all is well."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODES = r"([0-9a-f]+(?::[0-9a-f]+){10,})\r"
MAKEFILE = """\
job:
\t@{python} -m tools.foreground {python} job.py
"""
JOB = """\
import os, signal, sys, time
def stop(number, frame):
    print("Stopped.", flush=True)
    sys.exit(0)
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), stop)
def wake(number, frame):
    print("awake in", "front" if os.tcgetpgrp(0) == os.getpgrp() else "back", flush=True)
signal.signal(signal.SIGCONT, wake)
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""


# Not those of a make that runs the tests: one within another says so with lines of its own.
ENVIRON = {
    name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
} | {"PS1": "$ ", "TERM": "dumb"}


class Shell:
    """An interactive shell on a terminal of its own, and what stands on that terminal."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self.descriptor, self.pid, self.text = descriptor, pid, ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """Read until what stands there since the last call matches *pattern*."""
        end = time.monotonic() + 100
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < end, self.text
            self.text += os.read(self.descriptor, 65536).decode(errors="replace")
        self.text = self.text[found.end() :]
        return found


@contextmanager
def shell(name: str, directory: Path) -> Iterator[Shell]:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(directory)
        plain = ["--norc", "--noprofile"] if name == "bash" else []
        os.execvpe(name, [name, *plain, "-i"], ENVIRON)  # noqa: S606
    here = Shell(descriptor, pid)
    try:
        yield here
    finally:
        os.close(descriptor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE.format(python=sys.executable))
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    return tmp_path


@pytest.fixture(params=["bash", "dash"])
def here(request: pytest.FixtureRequest, directory: Path) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param} here")
    with shell(request.param, directory) as found:
        yield found


def test_ctrl_c_is_an_orderly_end_of_make_too(here: Shell) -> None:
    here.type("stty -g\n")
    before = here.until(MODES)[1]
    here.until(r"\$ ")
    here.type("make job; echo code=$?\n")
    here.until("ready\r")
    here.type("\x03")
    said = here.until(r"(?s)(.*)\ncode=(\d+)")
    assert said[2] == "0"
    assert said[1].replace("^C", "").split() == ["Stopped."]
    here.type("stty -g\n")
    assert here.until(MODES)[1] == before
    here.type("read line; echo got=$line\n")  # the terminal is the shell's again
    here.type("hello\n")
    here.until("got=hello")


def test_ctrl_z_puts_all_to_sleep_and_fg_wakes_it(here: Shell) -> None:
    here.type("make job; echo code=$?\n")
    here.until("ready\r")
    here.type("\x1a")
    here.until(r"\$ ")
    here.type("fg; echo code=$?\n")
    here.until("awake in front")
    here.type("\x03")
    here.until(r"Stopped\.\r\ncode=0")


def test_bg_leaves_the_terminal_to_the_shell_until_fg(here: Shell) -> None:
    here.type("make job; echo code=$?\n")
    here.until("ready\r")
    here.type("\x1a")
    here.until(r"\$ ")
    here.type("bg\n")
    here.until("awake in back")
    here.type("echo the-shell-$((40 + 2))\n")
    here.until("the-shell-42")
    here.type("fg; echo code=$?\n")
    here.until("make job")
    time.sleep(1)  # no shell says when it has given the terminal away
    here.type("\x03")
    here.until(r"Stopped\.\r\ncode=0")


def test_a_hangup_leaves_nothing_behind(directory: Path) -> None:
    with shell("bash", directory) as here:
        here.type("make job\n")
        here.until("ready\r")
        assert running(directory)
    for _ in range(200):
        if not running(directory):
            return
        time.sleep(0.05)
    raise AssertionError(running(directory))


def running(directory: Path) -> list[str]:
    """The processes that work in *directory*."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if place.readlink() == directory:
                found.append(place.parent.name)
    return found


def test_without_a_terminal_the_command_just_runs(directory: Path) -> None:
    child = subprocess.Popen(
        ["make", "job"], cwd=directory, env=ENVIRON, stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    (job,) = [
        pid for pid in running(directory) if b"job.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(int(job), signal.SIGTERM)
    assert child.communicate(timeout=30)[0] == b"Stopped.\n"
    assert child.returncode == 0
