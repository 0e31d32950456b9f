"""How long after a revocation another process still says yes, under load.

::

    python -m stress.revocation [--rounds 1000] [--deaf]
                                   [--store sqlite|postgres|redis|cluster|all]

One process revokes. Another asks about the same grant again and again, from its memory, and
notes when it is refused for the first time. Two more refresh and authenticate all the while.
With *--deaf* nobody hears of changes: what is left is the bound on what memory may believe.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from mintage.vault.cache import DEFAULT_TTL
from mintage.vault.values import OpenGrant
from stress.engines import ENGINES, NAMES, engine
from stress.replica import Replica
from stress.worker_pool import WorkerPool

PROCESSES: Final = 4  # one revokes, one looks, two make the load
AT_99: Final = 1.0  # seconds, that 99 of 100 revocations must be seen within
BOUND: Final = DEFAULT_TTL + 1.0  # seconds, for all of them: memory's own, and a look at the clock
_AT_ONCE: Final = 20  # grants that are revoked, one after the other, in one go
_AT_ONCE_DEAF: Final = 200
_LOOK: Final = 0.002  # seconds between two looks
_PACE: Final = 0.01  # seconds between two rounds of load
_SESSIONS: Final = 50  # that the load uses


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from the end of a revocation to the first refusal elsewhere, in order."""

    store: str
    seconds: list[float]
    refreshes: int

    def at(self, share: float) -> float:
        return self.seconds[min(int(share * len(self.seconds)), len(self.seconds) - 1)]

    def row(self) -> str:
        figures = " | ".join(f"{self.at(share) * 1000:,.0f}" for share in (0.5, 0.99, 1))
        return f"| {self.store} | {len(self.seconds):,} | {self.refreshes:,} | {figures} |"


HEAD: Final = (
    "| store | revocations | refreshes meanwhile | p50 (ms) | p99 (ms) | max (ms) |\n"
    "|---|---:|---:|---:|---:|---:|"
)


class Process:
    """One of the processes."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._load: asyncio.Task[int] | None = None
        self._loading = True

    @classmethod
    @asynccontextmanager
    async def open(cls, _: int, url: str, listening: bool) -> AsyncIterator[Self]:  # noqa: FBT001
        async with Replica.open(url, listening=listening) as replica:
            yield cls(replica)

    async def logins(self, count: int) -> list[bytes]:
        return [await self._replica.login() for _ in range(count)]

    async def remember(self, secrets: list[bytes]) -> None:
        """Have them all in memory."""
        for secret in secrets:
            assert isinstance(await self._replica.authenticate(secret), OpenGrant)

    async def revoke(self, secrets: list[bytes]) -> list[float]:
        """When each of the revocations returned."""
        ends = []
        for secret in secrets:
            await self._replica.revoke(secret)
            ends.append(time.monotonic())
            await asyncio.sleep(_PACE)
        return ends

    async def first_refusals(self, secrets: list[bytes]) -> list[float]:
        """When each of them was refused for the first time."""
        return await asyncio.gather(*map(self._first_refusal, secrets))

    async def load(self) -> None:
        """Begin to refresh and to authenticate, until `rest`."""
        sessions = await self.logins(_SESSIONS)
        self._load = asyncio.create_task(self._use(sessions))

    async def rest(self) -> int:
        """How many refreshes there were."""
        self._loading = False
        assert self._load is not None
        return await self._load

    async def _first_refusal(self, secret: bytes) -> float:
        while isinstance(await self._replica.authenticate(secret), OpenGrant):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
        return time.monotonic()

    async def _use(self, sessions: list[bytes]) -> int:
        refreshes = 0
        while self._loading:
            generation, session = divmod(refreshes, len(sessions))
            outcome = await self._replica.refresh(sessions[session], generation + 1)
            assert isinstance(outcome, OpenGrant), outcome
            refreshes += 1
            for secret in sessions:
                assert isinstance(await self._replica.authenticate(secret), OpenGrant)
            await asyncio.sleep(_PACE)
        return refreshes


def run_revocations(store: str, url: str, rounds: int, *, listening: bool = True) -> Latencies:
    """*rounds* revocations on the store at *url*, each timed."""
    seconds: list[float] = []
    with WorkerPool(Process.open, url, listening, size=PROCESSES) as pool:
        for number in (2, 3):
            pool.ask(number, "load")
        while len(seconds) < rounds:
            some = min(_AT_ONCE if listening else _AT_ONCE_DEAF, rounds - len(seconds))
            secrets = pool.ask(0, "logins", some)
            pool.ask(1, "remember", secrets)
            pool.tell(1, "first_refusals", secrets)
            pool.tell(0, "revoke", secrets)
            ended, refused = pool.result(0), pool.result(1)
            seconds += [max(0.0, no - end) for no, end in zip(refused, ended, strict=True)]
        refreshes = sum(pool.ask(number, "rest") for number in (2, 3))
    return Latencies(store, sorted(seconds), refreshes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.revocation")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--store", choices=[*ENGINES, "all"], default="all")
    parser.add_argument("--deaf", action="store_true", help="nobody hears of changes")
    wanted = parser.parse_args()
    print(HEAD)
    held = True
    for name in ENGINES if wanted.store == "all" else [wanted.store]:
        with engine(name) as url:
            latencies = run_revocations(NAMES[name], url, wanted.rounds, listening=not wanted.deaf)
            print(latencies.row(), flush=True)
            held &= latencies.at(1) <= BOUND and (wanted.deaf or latencies.at(0.99) <= AT_99)
    raise SystemExit(not held)


if __name__ == "__main__":
    main()
