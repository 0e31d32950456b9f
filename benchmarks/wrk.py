"""Load by wrk, which takes less of the machine than clients of our own."""

import asyncio
import re
from collections.abc import Mapping

_UNITS = {"us": 1e-3, "ms": 1, "s": 1e3}


async def by_wrk(
    program: str, url: str, headers: Mapping[str, str], *, clients: int, seconds: int
) -> tuple[float, float]:
    """Requests/s and median milliseconds of GETs. Raises `RuntimeError` if any of them failed."""
    options = [f"-c{clients}", "-t1", f"-d{seconds}s", "--latency"]
    lines = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        program, *options, *lines, url, stdout=asyncio.subprocess.PIPE
    )
    text = (await process.communicate())[0].decode()
    rate = re.search(r"^Requests/sec: +([\d.]+)", text, re.MULTILINE)
    median = re.search(r"^ +50% +([\d.]+)(us|ms|s)", text, re.MULTILINE)
    if rate is None or median is None or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    return float(rate[1]), float(median[1]) * _UNITS[median[2]]
