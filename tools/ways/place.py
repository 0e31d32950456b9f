"""An empty directory with an empty home, in which a way types its lines."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Final

_KEPT: Final = ("PIP_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "LANG", "UV_")
_MINUTES: Final = 900.0
_LIB: Final = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_HERE: Final = Path(__file__).parents[2]


class Failed(Exception):
    """A line of a way did not do what the page promises. The text is the line and what it said."""


class NotRun(Exception):
    """This machine can't do what a way needs. The text says what."""


class Network:
    """A network of its own with nothing but loopback, so that the pages' ports are free in it."""

    def __init__(self) -> None:
        holder = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"]
        self._holder = subprocess.Popen(
            holder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "up\n":
            self.close()
            raise PermissionError("this user may not make a network namespace")
        self.enter = ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--")

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


class Place:
    """The directory, and the shells in it.

    What one shell exports, the later ones have too, and they go on in its directory.
    """

    def __init__(self, directory: Path, wheels: Path, network: Network | None) -> None:
        self.directory = directory / "here"
        self.home = directory / "home"
        self._state = directory / "state"
        self._network = network
        self._servers: list[subprocess.Popen[bytes]] = []
        self._log = directory / "log"
        for each in (self.directory, self.home):
            each.mkdir()
        kept = {key: value for key, value in os.environ.items() if key.startswith(_KEPT)}
        python = Path(sys.base_prefix, "bin")  # the machine's, with the pip that came with it
        self._environ = kept | {
            "HOME": str(self.home),
            "PATH": f"{python}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PIP_FIND_LINKS": f"{wheels} {kept.get('PIP_FIND_LINKS', '')}".strip(),
            "UV_FIND_LINKS": f"{wheels}",
        }

    def have(self, program: str) -> None:
        """Put *program* of the caller's PATH into that of the way."""
        found = shutil.which(program)
        if found is not None:
            (self.home / "bin").mkdir(exist_ok=True)
            (self.home / "bin" / program).symlink_to(found)
            path = self._environ["PATH"]
            self._environ["PATH"] = f"{self.home / 'bin'}:{path.removeprefix(f'{self.home}/bin:')}"

    def needs_its_own_network(self) -> None:
        """Raises `NotRun` if the ports of the place are those of the machine."""
        if self._network is None:
            raise NotRun("this user may not make a network namespace")

    def link_packages(self) -> None:
        """Let new environments have this one's packages, and pip nothing to do.

        A way then types the same lines, and nothing is downloaded.
        """
        here, packages = Path(sys.executable).parent, sysconfig.get_path("purelib")
        lines = [
            "#!/bin/sh",
            f'if [ "$1 $2" != "-m venv" ]; then exec {here}/python "$@"; fi',
            f'{here}/python -m venv --without-pip "$3" && cd "$3"',
            f"printf '%s\\n' {packages} {_HERE / 'src'} > lib/{_LIB}/site-packages/linked.pth",
            *(f"ln -sf {here / name} bin/{name}" for name in ("mintage", "nanoidp")),
            "printf '#!/bin/sh\\n' > bin/pip",
            "chmod +x bin/pip",
        ]
        shim = self.home / "bin" / "python3"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text("\n".join(lines) + "\n")
        shim.chmod(0o755)
        self._environ["PATH"] = f"{shim.parent}:{self._environ['PATH']}"

    def export(self, **variables: str) -> None:
        """What the reader has set before: a browser, say."""
        self._environ |= variables
        with self._state.open("a") as state:  # it holds what earlier shells exported
            state.writelines(f"export {name}={quote(value)}\n" for name, value in variables.items())

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def type(self, lines: str, *, inside: bool = False) -> str:
        """Run *lines* in a shell. Returns what they said. *inside*: in the network of its own."""
        done = subprocess.run(
            self._shell(lines, inside=inside),
            cwd=self.directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_MINUTES,
            check=False,
        )
        if done.returncode:
            raise Failed(
                f"{lines.strip()}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout + done.stderr

    def start(self, lines: str, *, until: str, inside: bool = True) -> None:
        """Run *lines*, whose last one is a server, until something answers at the URL *until*."""
        before = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            server = subprocess.Popen(
                self._shell(lines, inside=inside),
                cwd=self.directory,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._servers.append(server)
        end = time.monotonic() + 60
        while not self._answers(until, inside=inside):
            if server.poll() is not None or time.monotonic() > end:
                said = self._log.read_bytes()[before:].decode(errors="replace")
                raise Failed(f"{lines.strip()}\ndid not answer at {until}\n{said}")
            time.sleep(0.2)

    def log_in(self, resource: str, *arguments: str, inside: bool = True) -> str:
        """Log in at *resource* with a scripted browser. Returns what the login ended with."""
        command = [sys.executable, "-m", "tools.ways.login", resource, *arguments]
        return self._tool(command, inside=inside).strip()

    def browser(self, script: str) -> str:
        """A value for BROWSER: a program that opens a page and clicks as *script* says."""
        program = self.home / "browser"
        program.write_text(f'#!/bin/sh\ncd {_HERE}\nexec {sys.executable} -m {script} "$1" >&2\n')
        program.chmod(0o755)
        return f"{program} %s"

    def megabytes(self) -> int:
        """What is on the disk now, without what a package manager keeps only for the next time."""
        cache = self.home / ".cache/pip"
        shutil.rmtree(cache, ignore_errors=True)
        said = subprocess.run(
            ["du", "-sm", self.directory.parent], capture_output=True, text=True, check=True
        )
        return int(said.stdout.split()[0])

    def close(self) -> None:
        """End each server as Ctrl-C does, and then whatever of it is left."""
        for server in reversed(self._servers):
            for number in (signal.SIGINT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    server.wait(15)

    def _shell(self, lines: str, *, inside: bool) -> list[str]:
        state = f"[ ! -e {self._state} ] || . {self._state}\n"
        new = f"{self._state}.new"
        keep = f"\n{{ export -p; echo \"cd '$PWD'\"; }} > {new} && mv {new} {self._state}\n"
        return [*self._entered(inside=inside), "bash", "-c", f"{state}set -e\n{lines}{keep}"]

    def _entered(self, *, inside: bool) -> Sequence[str]:
        return self._network.enter if inside and self._network is not None else ()

    def _answers(self, url: str, *, inside: bool) -> bool:
        command = [*self._entered(inside=inside), "curl", "-s", "-o", os.devnull, "-m", "5", url]
        return not subprocess.run(command, check=False, env={"PATH": os.defpath}).returncode

    def _tool(self, command: Sequence[str], *, inside: bool) -> str:
        done = subprocess.run(
            [*self._entered(inside=inside), *command],
            cwd=_HERE,
            env=os.environ | {k: v for k, v in self._environ.items() if k == "SSL_CERT_FILE"},
            capture_output=True,
            text=True,
            timeout=_MINUTES,
            check=False,
        )
        if done.returncode:
            raise Failed(f"{' '.join(command[2:])}\n{done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def empty_place(wheels: Path, *, linked: bool = False) -> Iterator[Place]:
    """A place that is gone afterwards. *linked*: see `Place.link_packages`."""
    try:
        network = Network()
    except OSError:
        network = None
    with TemporaryDirectory(prefix="mintage-way-", ignore_cleanup_errors=True) as directory:
        place = Place(Path(directory), wheels, network)
        if linked:
            place.link_packages()
        try:
            yield place
        finally:
            place.close()
            if network is not None:
                network.close()
