"""Runs the benchmarks named on the command line, or all of them, each in its own process.

The table at the end has every aim. One that fails is named there, and does not stop the others.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.aims import RECORD, table, told

HERE = Path(__file__).parent
ALL = (
    "kernel", "dpop", "costs", "start", "vault", "endpoints", "gateway", "login_in_proxies",
    "integrations", "metrics", "servers", "workers", "audit", "growth",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compares Mintage with its peers, and ends with the aims. Run"
        " them on a machine that does nothing else: other work makes the figures wrong.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(ALL)}")
    names = parser.parse_args().names or ALL
    if unknown := [name for name in names if not (HERE / f"{name}.py").is_file()]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}")
    failed = []
    with tempfile.NamedTemporaryFile(prefix="mintage-aims-") as file:
        for name in names:
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
