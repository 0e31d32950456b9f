"""Private PostgreSQL and Redis servers, on loopback and free ports, gone with the test session.

Unless they are to be *durable*, they hand what they write to the system and don't wait for the
disk: what they wrote outlives their process, and no test ends the machine.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from mintage.testing.nanoidp import free_port


def program(name: str) -> str:
    """The path of an installed server. Without one the test skips; in CI it fails."""
    places = [f"/usr/lib/postgresql/{version}/bin" for version in (18, 17, 16, 15)]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        missing(f"{name} is not installed")
    return found


def missing(what: str) -> NoReturn:
    """Skip the test, which can't run here; in CI, where everything is installed, fail it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@dataclass
class Server:
    """One server process that can be killed, stopped and started again on its data."""

    command: list[str]
    ready: list[str]  # succeeds as soon as the server answers
    port: int
    directory: Path
    user: str | None = None
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Returns when it answers. PostgreSQL may need a second try after `kill`."""
        self.child = None
        if self.user is not None:
            make_reachable(self.directory)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.child is None or self.child.poll() is not None:
                with (self.directory / "server.log").open("ab") as log:
                    self.child = subprocess.Popen(
                        self.command, stdout=log, stderr=log, cwd=self.directory, user=self.user
                    )
            if subprocess.run(self.ready, check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError((self.directory / "server.log").read_text(errors="replace")[-2000:])

    def kill(self) -> None:
        """Gone at once, as after a power cut of the process."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def freeze(self) -> None:
        """It holds its connections and says nothing (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.child is not None
        for pid in (self.child.pid, *children(self.child.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:  # one that waits for a replica that is gone
                self.kill()


def make_reachable(directory: Path) -> None:
    """Let every user into *directory*. pytest shuts its own folders again at each start."""
    for path in (directory, *directory.parents):
        if Path(tempfile.gettempdir()) in path.parents:
            path.chmod(0o755)


def children(pid: int) -> list[int]:
    """PostgreSQL answers in processes of its own."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in tasks.split()]


def redis_server(
    directory: Path, *options: str, port: int | None = None, durable: bool = False
) -> Server:
    port = port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "yes", "--appendfsync", "always" if durable else "no",
        "--dir", str(directory), *options,
    ]  # fmt: skip
    ready = [program("redis-cli"), "-p", str(port), "ping"]
    return Server(command, ready, port, directory)


def postgres_server(directory: Path, *, durable: bool = False) -> Server:
    """A cluster of its own. PostgreSQL refuses to run as root, so it runs as its own user then."""
    initdb, postgres = program("initdb"), program("postgres")
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        directory.mkdir(parents=True, exist_ok=True)
        make_reachable(directory)
        account = pwd.getpwnam(user)
        os.chown(directory, account.pw_uid, account.pw_gid)
    data = directory / "data"
    subprocess.run(
        [initdb, "-D", str(data), "-U", "mintage", "-A", "trust", "--no-sync", "-E", "UTF8"],
        check=True, capture_output=True, user=user, cwd=directory,
    )  # fmt: skip
    port = free_port()
    command = [
        postgres, "-D", str(data), "-p", str(port), "-h", "127.0.0.1",
        "-k", str(directory), "-c", "max_connections=100",
        "-c", f"fsync={'on' if durable else 'off'}",
    ]  # fmt: skip
    ready = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
    return Server(command, ready, port, directory, user)


def pgbouncer(directory: Path, postgres: Server, *, mode: str = "transaction") -> Server:
    """A pooler before *postgres*. It refuses to run as root as well, and to be any one's user."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    users = directory / "users.txt"
    users.write_text('"mintage" ""\n', encoding="ascii")
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"""[databases]
* = host=127.0.0.1 port={postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = 4
max_client_conn = 200
server_login_retry = 1
""",
        encoding="ascii",
    )
    if postgres.user is not None:
        account = pwd.getpwnam(postgres.user)
        for path in (directory, users, settings):
            os.chown(path, account.pw_uid, account.pw_gid)
    ready = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
    return Server([program("pgbouncer"), str(settings)], ready, port, directory, postgres.user)


@contextlib.contextmanager
def started(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Wire:
    """A TCP line to a server that can be cut, swallow everything, be slow, and be mended.

    *cut*: who connects is turned away. *delay*: seconds that each packet takes. *lose*: how
    many answers get lost, each with its connection.
    """

    target: int
    port: int = 0
    cut: bool = False
    delay: float = 0
    lose: int = 0
    carried: int = 0
    _passable: asyncio.Event = field(default_factory=asyncio.Event)
    _lines: set[asyncio.Task[None]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Wire"]:
        self._passable.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            lines = list(self._lines)
            self.break_off()
            if lines:
                await asyncio.wait(lines, timeout=5)

    def break_off(self) -> None:
        """Every connection ends, in the middle of whatever it was doing."""
        for line in list(self._lines):
            line.cancel()

    def swallow(self) -> None:
        """Nothing arrives any more, and nobody hears that it does not."""
        self._passable.clear()

    def forget(self) -> None:
        """New connections are carried; those that were swallowed hang for ever."""
        self._passable = asyncio.Event()
        self._passable.set()

    def mend(self) -> None:
        """What is still under way arrives after all."""
        self.cut, self.delay = False, 0
        self._passable.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.transport.abort()
            return
        self.carried += 1
        line = asyncio.ensure_future(self._carry(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passable.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        pumps = [
            asyncio.ensure_future(self._pump(reader, back)),
            asyncio.ensure_future(self._pump(there, writer, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, back):
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        passable = self._passable
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay)
                await passable.wait()
                if answers and self.lose:
                    self.lose -= 1
                    return
                writer.write(data)
                await writer.drain()
