"""Runs the benchmarks named on the command line, or all of them, each in its own process."""

import subprocess
import sys

ALL = (
    "kernel", "dpop", "costs", "start", "vault", "endpoints", "gateway", "login_in_proxies",
    "integrations", "metrics", "servers", "workers", "audit", "growth",
)  # fmt: skip

for name in sys.argv[1:] or ALL:
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)  # noqa: S603
    print()
