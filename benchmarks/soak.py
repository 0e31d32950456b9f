"""Mixed traffic at a fixed rate for a long time, with restarts in between.

``python -m benchmarks.soak --minutes 30 --rate 50``: three ``mintage serve`` processes share
one store. The first is never restarted: its memory must stay flat. The second is stopped
gracefully and the third killed, in turn. Clients behave as real ones do: where a
connection breaks or the answer is 503 they try again, at the next process. Any other answer than
the right one is an error. Exit code 1 where there was an error or the memory grew.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.bench_client import BenchClient, Session, UnexpectedAnswer
from benchmarks.systems import MintageServers, mintage, provider
from benchmarks.timing import machine

T = TypeVar("T")

SESSIONS: Final = 200
UPSTREAM_SECONDS: Final = 120  # so that upstream tokens are renewed many times in a run
SAMPLE_SECONDS: Final = 5
AT_ONCE: Final = 32  # operations under way at the most, after a stall; the others wait in line
PATIENCE: Final = 30  # seconds that a client goes on trying
GROWTH_MB: Final = 3.0
MIX: Final = {"log in": 2, "refresh": 20, "request": 76, "revoke": 2}
ROLES: Final = ("never restarted", "stopped, again and again", "killed, again and again")


class Interrupted(Exception):
    """A step that can't simply be sent again has lost its answer."""


@dataclass
class Soak:
    servers: MintageServers
    rate: float
    client_id: str = ""
    live: int = 0
    sessions: deque[Session] = field(default_factory=deque)
    idle: list[deque[BenchClient]] = field(default_factory=list)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    up: asyncio.Event = field(default_factory=asyncio.Event)
    done: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    memory: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    async def traffic(self, seconds: float) -> None:
        """Begins *rate* operations in each second, whatever became of those before."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        running: set[asyncio.Task[None]] = set()
        for number in range(int(seconds * self.rate)):
            await asyncio.sleep(max(0, begin + number / self.rate - loop.time()))
            task = asyncio.create_task(self._operation())
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def _operation(self) -> None:
        async with self.room:
            await self._choose()

    async def _choose(self) -> None:
        (name,) = random.choices(list(MIX), list(MIX.values()))  # noqa: S311
        if name in ("log in", "revoke") or not self.sessions or self.live < SESSIONS // 4:
            name = "revoke" if self.sessions and self.live > SESSIONS else "log in"
        begin = time.perf_counter()
        try:
            await self._play(name)
        except (UnexpectedAnswer, TimeoutError, AssertionError) as error:
            self.errors[f"{name}: {type(error).__name__} {error}"[:200]] += 1
            return
        self.done[name] += 1
        if name == "request":
            self.milliseconds.append((time.perf_counter() - begin) * 1000)

    async def _play(self, name: str) -> None:
        """One operation; a session is in one operation at a time, as in one client."""
        if name == "log in":
            self.live += 1
            self.sessions.append(await self._log_in())
            return
        session = self.sessions.popleft()
        if name == "revoke":
            self.live -= 1
            await self._patiently(lambda bench_client: _revoked(bench_client, session))
            return
        if name == "refresh":
            session = await self._patiently(lambda bench_client: bench_client.refresh(session))
        else:
            await self._patiently(lambda bench_client: _served(bench_client, session))
        self.sessions.append(session)

    async def _log_in(self) -> Session:
        """A login that was interrupted is begun again, as its user would."""
        while True:
            try:
                code = await self._patiently(BenchClient.log_in, repeat=False)
                redeem = partial(BenchClient.redeem, code=code)
                return await self._patiently(redeem, repeat=False)
            except Interrupted:
                self.retried["login begun again"] += 1

    async def _patiently(
        self, step: Callable[[BenchClient], Awaitable[T]], *, repeat: bool = True
    ) -> T:
        """*step* at one process after another until one answers; *repeat*: it may come twice."""
        first = random.randrange(len(self.servers.ports))  # noqa: S311
        async with asyncio.timeout(PATIENCE):
            for attempt in range(10_000):
                with self._bench_client(first + attempt) as bench_client:
                    try:
                        return await step(bench_client)
                    except ConnectionRefusedError:
                        self.retried["connection refused"] += 1
                    except OSError:
                        self.retried["connection broken"] += 1
                        if not repeat:
                            raise Interrupted from None
                    except UnexpectedAnswer as error:
                        if error.answer.status not in (502, 503):
                            raise
                        self.retried[str(error.answer.status)] += 1
                        if not repeat:
                            raise Interrupted from None
                await asyncio.sleep(0.05)
        raise AssertionError("unreachable")

    @contextmanager
    def _bench_client(self, number: int) -> Iterator[BenchClient]:
        """A client of that process, its connections kept for the next."""
        idle = self.idle[number % len(self.idle)]
        bench_client = idle.pop() if idle else self.servers.bench_client(number, self.client_id)
        try:
            yield bench_client
        finally:
            idle.append(bench_client)

    async def keep(
        self, number: int, *, kill: bool, first: float, every: float, until: float
    ) -> None:
        """Process *number*, ended after *first* seconds, and again *every* so many."""
        pause = first
        while True:
            async with self.servers.serving(number) as child:
                self.up.set()
                watch = asyncio.create_task(self._watch(number, child.pid))
                left = until - time.monotonic()
                with suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), min(pause, left))
                    self.errors[f"process {number} ended by itself"] += 1
                watch.cancel()
                if pause >= left:
                    return
                if kill:
                    child.kill()
                else:
                    child.terminate()
                    if await child.wait() != 0:
                        self.errors[f"process {number}: exit code {child.returncode}"] += 1
                self.done["killed" if kill else "stopped"] += 1
            pause = every

    async def _watch(self, number: int, pid: int) -> None:
        """Resident memory of a process, in MB, every few seconds."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            with suppress(OSError):
                self.memory.setdefault(number, []).append((time.monotonic(), resident_mb(pid)))

    def grew(self) -> float:
        """MB by which the first process's last quarter lies above its second one."""
        sizes = [size for _, size in self.memory[0]]
        quarter = max(len(sizes) // 4, 1)
        return statistics.median(sizes[-quarter:]) - statistics.median(sizes[quarter : 2 * quarter])

    def report(self) -> None:
        print("| operation | done |\n|---|---:|")
        for name, count in self.done.items():
            print(f"| {name} | {count} |")
        print(f"\n{self.live} sessions alive; tried again: {dict(self.retried)}")
        times = sorted(self.milliseconds)
        shares = [times[int(len(times) * share)] for share in (0.5, 0.99, 0.999)]
        print("a request, retries included, ms: median {:.1f}, p99 {:.1f}, p99.9 {:.1f}"
              .format(*shares))  # fmt: skip
        print("\n| process | RSS first, MB | last | slope, MB an hour |\n|---|---:|---:|---:|")
        for number, samples in sorted(self.memory.items()):
            rate = "–" if number else f"{slope(samples) * 3600:+.2f}"
            ends = f"{samples[0][1]:.1f} | {samples[-1][1]:.1f}"
            print(f"| {number}, {ROLES[number]} | {ends} | {rate} |")
        print(f"\nerrors: {sum(self.errors.values())}")
        for error, count in self.errors.most_common():
            print(f"  {count} × {error}")


async def _served(bench_client: BenchClient, session: Session) -> None:
    answer = await bench_client.call(session)
    if answer.status != 200:
        raise UnexpectedAnswer(answer, "/mcp")


async def _revoked(bench_client: BenchClient, session: Session) -> None:
    """End the session; the same process must refuse it from then on."""
    await bench_client.revoke(session)
    answer = await bench_client.call(session)
    if answer.status != 401:
        raise UnexpectedAnswer(answer, "/mcp after /revoke")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def slope(samples: list[tuple[float, float]]) -> float:
    """MB a second, by least squares."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*samples, strict=True)).slope


async def run(options: argparse.Namespace, directory: Path) -> int:
    seconds, every = options.minutes * 60, options.restart_every
    store = options.store or f"sqlite://{directory}/mintage/mintage.db"
    async with provider(directory, lifetime=UPSTREAM_SECONDS) as upstream:
        soak = Soak(mintage(directory / "mintage", upstream, store, processes=3), options.rate)
        soak.idle = [deque() for _ in soak.servers.ports]
        until = time.monotonic() + seconds + 15
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(soak.servers.serving(0))
            # The first makes the secret and the store; the others find both.
            bench_client = soak.servers.bench_client()
            await bench_client.register()
            soak.client_id = bench_client.client_id
        servers = [
            asyncio.create_task(soak.keep(0, kill=False, first=seconds * 2, every=1, until=until)),
            asyncio.create_task(soak.keep(1, kill=False, first=every, every=every, until=until)),
            asyncio.create_task(soak.keep(2, kill=True, first=every / 2, every=every, until=until)),
        ]
        await soak.up.wait()
        await soak.traffic(seconds)
        await asyncio.gather(*servers)
    engine = store.partition(":")[0]
    print(f"{options.minutes:g} minutes at {options.rate:g}/s on {engine} ({machine()})\n")
    soak.report()
    growth = soak.grew()
    print(f"memory of the process that stayed, last quarter over the second: {growth:+.1f} MB")
    return 1 if soak.errors or growth > GROWTH_MB else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=50, help="operations a second")
    parser.add_argument("--store", help="a store's URL; SQLite in a new directory by default")
    parser.add_argument("--restart-every", type=float, default=180, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(run(options, Path(directory)))


if __name__ == "__main__":
    sys.exit(main())
