"""How long `mintage serve` takes from the start of its process to its first answer.

The compiled modules are there, as after an installation: one start that does not count makes them.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.aims import Aim, tell
from benchmarks.timing import machine
from mintage.testing.nanoidp import free_port

ROUNDS: Final = 15
AIM: Final = 0.5  # seconds, on a quiet machine
ASKED: Final = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
CONFIG: Final = """\
issuer = "http://127.0.0.1:{port}"
store  = "sqlite:///{directory}/mintage.db"
secret = "env:MINTAGE_SECRET"
[upstream]
issuer    = "http://127.0.0.1:{nobody}"
client_id = "mintage"
[[resource]]
path    = "/mcp"
backend = "http://127.0.0.1:{nobody}"
"""


def started(file: Path, port: int) -> tuple[float, float]:
    """(seconds until the first answer, CPU seconds of the process until then)."""
    environment = {**os.environ, "MINTAGE_SECRET": "x9" * 20}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "mintage", "serve", "--config", str(file)]
    begin = time.perf_counter()
    server = subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not answers(port):
            if server.poll() is not None:
                raise RuntimeError("the server ended")
            time.sleep(0.002)
        seconds = time.perf_counter() - begin
        return seconds, cpu(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(ASKED)
            return b" 200 " in connection.recv(4096)[:16]
    except OSError:
        return False


def cpu(pid: int) -> float:
    """What all threads of the process *pid* have used, in seconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def main() -> None:
    print(f"A start of `mintage serve` ({machine()})\n")
    with tempfile.TemporaryDirectory() as name:
        port, file = free_port(), Path(name) / "mintage.toml"
        file.write_text(CONFIG.format(port=port, nobody=free_port(), directory=name))
        started(file, port)
        rounds = [started(file, port) for _ in range(ROUNDS)]
    wall, used = (statistics.median(each) for each in zip(*rounds, strict=True))
    print("| start to the first answer, medians | seconds | aim |\n|---|---:|---:|")
    print(f"| wall time | {wall:.2f} | {AIM} |")
    tell(Aim("`mintage serve`, start to the first answer", wall, AIM, "s", at_most=True))
    print(f"| CPU time of the process | {used:.2f} | |")
    print(f"| fastest start, wall time | {min(each for each, _ in rounds):.2f} | |")


if __name__ == "__main__":
    main()
