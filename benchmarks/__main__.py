"""Runs the benchmarks named on the command line, or all of them, each in its own process.

The table at the end has every aim. One that fails is named there, and does not stop the others.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.aims import RECORD, table, told

ALL = (
    "kernel", "dpop", "costs", "start", "vault", "endpoints", "gateway", "login_in_proxies",
    "integrations", "metrics", "servers", "workers", "audit", "growth",
)  # fmt: skip


def main() -> int:
    failed = []
    with tempfile.NamedTemporaryFile(prefix="mintage-aims-") as file:
        for name in sys.argv[1:] or ALL:
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-m", f"benchmarks.{name}"],
                check=False,
                env=os.environ | {RECORD: file.name},
            )
            if done.returncode:
                failed.append(name)
            print(flush=True)
        if aims := told(Path(file.name)):
            print(f"The aims\n\n{table(aims)}")
    for name in failed:
        print(f"\nThe benchmark {name} failed: its messages are above.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
