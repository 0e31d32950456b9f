"""Timing on a noisy machine: everything in turn, in one process, and medians of it."""

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(
    subjects: Mapping[str, Callable[[], object]], *, rounds: int = 60, seconds: float = 0.01
) -> dict[str, float]:
    """Microseconds for one call of each subject: the median over *rounds*.

    In each round every subject runs for about *seconds*, one after the other, so that a slow
    moment of the machine hits them all.
    """
    repeats = {name: _repeats(call, seconds) for name, call in subjects.items()}
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in subjects.items():
                samples[name].append(_time(call, repeats[name]))
    finally:
        gc.enable()
    return {name: statistics.median(times) * 1e6 for name, times in samples.items()}


def _repeats(call: Callable[[], object], seconds: float) -> int:
    return max(1, int(seconds / max(_time(call, 3), 1e-7)))


def _time(call: Callable[[], object], repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def machine() -> str:
    """The machine in a line, to stand next to every figure."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{len(models)} × {models[0]}, CPython {platform.python_version()}, {platform.system()}"
