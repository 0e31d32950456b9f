"""A supervisor that holds the listening socket, as systemd does: servers come and go behind it."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

# As systemd does between fork and exec: the socket becomes file 3, and the id is the process's own.
_LAUNCH: Final = """\
import os, sys
number = int(sys.argv[1])
if number != 3:
    os.dup2(number, 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mintage"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Supervisor:
    """Starts ``mintage serve`` on one socket, again and again."""

    def __init__(self, listening: socket.socket, file: Path, log: Path) -> None:
        self._listening = listening
        self._file = file
        self._log = log

    @property
    def log(self) -> str:
        """What all servers have logged."""
        return self._log.read_text()

    async def start(self, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
        """A server, from when it serves."""
        before = self._starts()
        number = self._listening.fileno()
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _LAUNCH, str(number),
                "-m", "mintage", "serve", "--config", str(self._file), *arguments,
                pass_fds=[number], stderr=log, env=_environment(environ),
            )  # fmt: skip
        async with asyncio.timeout(60):
            while self._starts() == before:
                assert process.returncode is None, self.log
                await asyncio.sleep(0.02)
        return process

    async def restart(self, process: asyncio.subprocess.Process) -> asyncio.subprocess.Process:
        """Stop *process* and then start another one: nobody accepts connections meanwhile."""
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0, self.log
        return await self.start()

    def _starts(self) -> int:
        return self.log.count("running on") if self._log.exists() else 0


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **more}


@asynccontextmanager
async def supervised(file: Path, port: int) -> AsyncIterator[Supervisor]:
    """A supervisor that listens on *port* of loopback, for servers with the settings *file*."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listening:
        yield Supervisor(listening, file, file.with_suffix(".log"))
