"""Four processes at the same grant in the same moment: who wins, and that only one does.

::

    python -m stress.races [--rounds 10000] [--store sqlite|postgres|redis|cluster|all]

In a round every process asks the same of one grant, each from its own opening of the store.
Rounds go in batches, so that one signal starts many of them: a process takes eight grants at
a time and asks for them in an order of its own. *met* counts the rounds in which requests of
two processes or more really were under way at one time.
"""

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Final, Self, TypeVar

from mintage.vault.values import OpenGrant, Refused
from stress.engines import ENGINES, NAMES, engine
from stress.replica import Replica, secret_of
from stress.worker_pool import WorkerPool

G = TypeVar("G")
T = TypeVar("T")

PROCESSES: Final = 4
_BATCH: Final = 200  # rounds whose grants are made in one go
_SIGNAL: Final = 40  # rounds that one signal starts
_AT_ONCE: Final = 8  # grants that a process asks for at one time
_GENERATIONS: Final = 10  # refreshes of one grant, one after the other


@dataclass(frozen=True, slots=True)
class Seen:
    """What one process got, and when (seconds of the clock that all processes share).

    *successor*: the generation and the time of rotation, from which its tokens follow.
    """

    began: float
    ended: float
    successor: tuple[int, int] | None


@dataclass(slots=True)
class Tally:
    """*lost* is None where the grant is meant to end."""

    store: str
    race: str
    rounds: int = 0
    met: int = 0
    doubles: int = 0
    resurrected: int = 0
    lost: int | None = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.doubles or self.resurrected or self.lost)

    def count(self, seen: Iterable[Seen]) -> set[tuple[int, int]]:
        """Note one round; the different successors that were handed out in it."""
        spans = sorted((one.began, one.ended) for one in seen)
        self.rounds += 1
        self.met += any(later < end for (_, end), (later, _) in pairwise(spans))
        return {one.successor for one in seen if one.successor is not None}

    def row(self) -> str:
        lost = "–" if self.lost is None else self.lost
        return (
            f"| {self.store} | {self.race} | {self.rounds:,} | {self.met:,} | {self.doubles} "
            f"| {self.resurrected} | {lost} | {self.seconds:.0f} |"
        )


HEAD: Final = (
    "| store | race | rounds | met | double successes | resurrected grants | lost sessions "
    "| seconds |\n|---|---|---:|---:|---:|---:|---:|---:|"
)


class Racer:
    """One of the processes."""

    def __init__(self, number: int, replica: Replica) -> None:
        self._number = number
        self._replica = replica
        self._random_bytes = random.Random(number)  # noqa: S311  (an order, not a secret)

    @classmethod
    @asynccontextmanager
    async def open(cls, number: int, url: str) -> AsyncIterator[Self]:
        async with Replica.open(url) as replica:
            yield cls(number, replica)

    async def codes(self, count: int) -> list[str]:
        return await _some_at_once(self._replica.code() for _ in range(count))

    async def logins(self, count: int) -> list[bytes]:
        return await _some_at_once(self._replica.login() for _ in range(count))

    async def redeem(self, codes: list[str]) -> list[Seen]:
        return await self._race(codes, self._replica.redeem)

    async def refresh(self, secrets: list[bytes], generation: int) -> list[Seen]:
        return await self._race(secrets, lambda one: self._replica.refresh(one, generation))

    async def revoke_or_refresh(self, secrets: list[bytes]) -> list[Seen]:
        """Of every grant one process asks for its end, while the others refresh it."""
        turns = {secret: turn % PROCESSES for turn, secret in enumerate(secrets)}

        async def ask(secret: bytes) -> OpenGrant | Refused:
            if turns[secret] == self._number:
                return await self._replica.revoke(secret)
            return await self._replica.refresh(secret, 1)

        return await self._race(secrets, ask)

    async def open_still(self, secrets: list[bytes]) -> list[bool]:
        """Which of them open for a refresh token of any generation."""

        async def opens(secret: bytes) -> bool:
            outcomes = [await self._replica.refresh(secret, number) for number in (1, 2, 3)]
            return any(isinstance(outcome, OpenGrant) for outcome in outcomes)

        return await _some_at_once(opens(secret) for secret in secrets)

    async def _race(
        self, grants: list[G], ask: Callable[[G], Awaitable[OpenGrant | Refused]]
    ) -> list[Seen]:
        seen: dict[G, Seen] = {}

        async def run(grant: G) -> None:
            began = time.monotonic()
            outcome = await ask(grant)
            successor = None
            if isinstance(outcome, OpenGrant):
                successor = (outcome.grant.generation, outcome.grant.rotated_at)
            seen[grant] = Seen(began, time.monotonic(), successor)

        for some in _portions(grants, _AT_ONCE):
            self._random_bytes.shuffle(some)
            await asyncio.gather(*map(run, some))
        return [seen[grant] for grant in grants]


def redemption(pool: WorkerPool, tally: Tally, rounds: int) -> None:
    """One code, redeemed by all: it opens once, and being used again it ends what it opened."""
    codes: list[str] = _made(pool, "codes", rounds)
    for seen in _raced(pool, "redeem", codes):
        winners = sum(one.successor is not None for one in seen)
        tally.count(seen)
        tally.doubles += winners > 1
        _lose(tally, winners == 0)
    tally.resurrected += sum(pool.ask(0, "open_still", [secret_of(code) for code in codes]))


def refresh(pool: WorkerPool, tally: Tally, rounds: int) -> None:
    """One refresh token, used by all: all get the same successor, and the login lives on."""
    secrets: list[bytes] = _made(pool, "logins", max(rounds // _GENERATIONS, 1))
    for generation in range(1, _GENERATIONS + 1):
        for seen in _raced(pool, "refresh", secrets, generation):
            successors = tally.count(seen)
            tally.doubles += len(successors) > 1
            _lose(tally, any(one.successor is None for one in seen))


def revocation(pool: WorkerPool, tally: Tally, rounds: int) -> None:
    """One process ends the grant while the others refresh it: in the end it is over."""
    tally.lost = None
    secrets: list[bytes] = _made(pool, "logins", rounds)
    for seen in _raced(pool, "revoke_or_refresh", secrets):
        tally.doubles += len(tally.count(seen)) > 1
    tally.resurrected += sum(map(any, zip(*pool.all("open_still", secrets), strict=True)))


def _made(pool: WorkerPool, method: str, count: int) -> list[Any]:
    """*count* new grants, made by all of them."""
    return list(chain.from_iterable(pool.all(method, count // PROCESSES + 1)))[:count]


def _raced(
    pool: WorkerPool, method: str, grants: list[Any], *args: object
) -> Iterator[tuple[Seen, ...]]:
    """What each of them saw of each of *grants*. After every few they begin together again."""
    for some in _portions(grants, _SIGNAL):
        yield from zip(*pool.all(method, some, *args), strict=True)


RACES: Final[dict[str, Callable[[WorkerPool, Tally, int], None]]] = {
    "redemption": redemption,
    "refresh": refresh,
    "revoke against refresh": revocation,
}


def run_races(store: str, url: str, rounds: int) -> Iterator[Tally]:
    """*rounds* of each race on the store at *url*, as each is done."""
    with WorkerPool(Racer.open, url, size=PROCESSES) as pool:
        for name, race in RACES.items():
            tally = Tally(store, name)
            begin = time.monotonic()
            while tally.rounds < rounds:
                race(pool, tally, min(_BATCH, rounds - tally.rounds))
            tally.seconds = time.monotonic() - begin
            yield tally


def _lose(tally: Tally, lost: bool) -> None:  # noqa: FBT001
    tally.lost = (tally.lost or 0) + lost


def _portions(grants: list[G], size: int) -> list[list[G]]:
    return [grants[n : n + size] for n in range(0, len(grants), size)]


async def _some_at_once(work: Iterable[Awaitable[T]]) -> list[T]:
    done: list[T] = []
    for some in _portions(list(work), _AT_ONCE):
        done += await asyncio.gather(*some)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.races")
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--store", choices=[*ENGINES, "all"], default="all")
    wanted = parser.parse_args()
    print(HEAD)
    clean = True
    for name in ENGINES if wanted.store == "all" else [wanted.store]:
        with engine(name) as url:
            for tally in run_races(NAMES[name], url, wanted.rounds):
                print(tally.row(), flush=True)
                clean &= tally.clean
    raise SystemExit(not clean)


if __name__ == "__main__":
    main()
