"""A long run of the reading lab: odd requests by every way, and what each backend saw.

::

    python -m stress.seams [REQUESTS]

Without a number, 100,000. It runs ``tests/seams`` with every proxy before every backend, and prints
how many requests were sent and seen. A fault makes it fail, and shows the request.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
USUAL: Final = 100_000


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m stress.seams")
    parser.add_argument("requests", nargs="?", type=int, default=USUAL)
    wanted = parser.parse_args(arguments).requests
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/seams"]
    environ = os.environ | {"LAB_REQUESTS": str(wanted)}
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
