"""The command as a person runs it: another process."""

import os
import subprocess
import sys


def mintage(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mintage", *arguments],
        input=given,
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
    )
