"""Numbers that are read from time to time: what is open, and how the process is doing."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from mintage.gateway.gateway import Gateway
from mintage.telemetry.metrics import (
    BACKEND_REQUESTS,
    CACHED_GRANTS,
    COMMAND_PROCESSES,
    LOOP_LAG,
    PROCESS_CPU,
    PROCESS_FILES,
    PROCESS_MEMORY,
    PROCESSES,
    RENEWALS_PAUSED,
    STORE_RESTING,
)
from mintage.telemetry.steps import Meter
from mintage.vault.vault import Vault

SECONDS: Final = 2.0
"""Between two samples."""

_STATUS: Final = Path("/proc/self/statm")
_FILES: Final = Path("/proc/self/fd")


class Sampler:
    """Reads the numbers of one process, and sets the gauges of *meter*."""

    def __init__(self, meter: Meter, vault: Vault, gateway: Gateway) -> None:
        self._meter = meter
        self._vault = vault
        self._gateway = gateway
        self._cpu = 0.0

    async def run(self) -> None:
        """Sample until it is cancelled."""
        self._meter.set(PROCESSES, 1)
        late = 0.0
        while True:
            self.sample()
            self._meter.set(LOOP_LAG, late)
            due = time.perf_counter() + SECONDS
            await asyncio.sleep(SECONDS)
            late = max(0.0, time.perf_counter() - due)

    def sample(self) -> None:
        meter, condition = self._meter, self._vault.condition()
        meter.set(CACHED_GRANTS, condition.cached)
        meter.set(STORE_RESTING, float(condition.store_resting))
        meter.set(RENEWALS_PAUSED, condition.renewals_paused)
        for backend in self._gateway.resources.values():
            if backend.pool is not None:
                meter.set(BACKEND_REQUESTS, backend.pool.taken, backend.resource.path)
            if backend.sessions is not None:
                meter.set(COMMAND_PROCESSES, len(backend.sessions), backend.resource.path)
        cpu = time.process_time()
        meter.add(PROCESS_CPU, cpu - self._cpu)
        self._cpu = cpu
        if _STATUS.exists():  # Linux
            pages = int(_STATUS.read_text(encoding="ascii").split()[1])
            meter.set(PROCESS_MEMORY, pages * os.sysconf("SC_PAGE_SIZE"))
            meter.set(PROCESS_FILES, sum(1 for _ in _FILES.iterdir()))
