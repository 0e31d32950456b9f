"""A running system while its operator changes it: nobody is refused untruly or let in wrongly.

::

    python -m stress.changes [--store sqlite|postgres|redis|all] [--changes 40] [--seed N]

Two replicas serve users who log in, call, refresh and log out. Changes are drawn at random: a
resource or a scope leaves the settings, a secret is rotated or removed too early, the provider
is another one, a clock is set, a newer Mintage wrote a record. Each is made, lived with for a
few seconds, and undone. Two things must hold:

- a client that did nothing wrong never gets an ``invalid_*``, but for ``invalid_target`` while
  its resource is not there;
- what was ended is not let in, and no provider sees another one's tokens.
"""

import argparse
import asyncio
import logging
import random
from collections.abc import Awaitable

import httpx2

from stress.engines import ENGINES, NAMES, engine
from stress.installation import PATHS, Installation, installation
from stress.operator_changes import CHANGES
from stress.users import Ledger, User


async def run_changes(store: str, *, changes: int, users: int, pause: float, seed: int) -> Ledger:
    """*changes* changes, *pause* seconds each, to an installation on *store* with *users* users.

    Every change is made at least once before one is made twice.
    """
    random_bytes, ledger = random.Random(seed), Ledger()  # noqa: S311
    async with (
        installation(store, random_bytes) as house,
        httpx2.AsyncClient(trust_env=False, timeout=60) as http,
    ):
        people = [
            User(house, ledger, http, PATHS[n % len(PATHS)], random.Random(seed * 1000 + n))  # noqa: S311
            for n in range(users)
        ]
        ledger.users = people
        lives = [asyncio.create_task(person.live()) for person in people]
        try:
            await asyncio.sleep(pause)
            for number in range(changes):
                if number % len(CHANGES) == 0:
                    order = random_bytes.sample(CHANGES, len(CHANGES))
                change = order[number % len(CHANGES)]
                ledger.change = change.__name__.replace("_", " ")
                await _unless_a_user_fails(change(house, ledger, pause), lives)
            ledger.change = "all is as it was"
            await _unless_a_user_fails(asyncio.sleep(pause), lives)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        _check_providers(house, ledger)
    return ledger


async def _unless_a_user_fails(work: Awaitable[None], lives: list[asyncio.Task[None]]) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.wait([task, *lives], return_when=asyncio.FIRST_COMPLETED)
    for life in lives:
        if life.done():
            task.cancel()
            life.result()
    await task


def _check_providers(house: Installation, ledger: Ledger) -> None:
    """No provider was sent a token that another one had issued."""
    providers = (house.settings.upstream, house.other_upstream)
    for mine, other in (providers, providers[::-1]):
        issued = set(other.issued)
        sent = {value for form in mine.forms for value in form.values()}
        if issued & sent:
            ledger.blame("a provider was sent the token of another one")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.changes")
    parser.add_argument("--store", choices=["sqlite", "postgres", "redis", "all"], default="all")
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds with each change")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    clean = True
    names = [name for name in ENGINES if name != "cluster" and given.store in (name, "all")]
    for name in names:
        with engine(name) as url:
            ledger = asyncio.run(
                run_changes(
                    url,
                    changes=given.changes,
                    users=given.users,
                    pause=given.pause,
                    seed=given.seed,
                )
            )
        print(f"{NAMES[name]}: {given.changes} changes, seed {given.seed}", flush=True)
        for what, count in sorted(ledger.answers.items()):
            print(f"  {what}: {count}")
        print(f"  wrong: {len(ledger.wrong)}", flush=True)
        for line in ledger.wrong[:20]:
            print(f"    {line}")
        clean &= not ledger.wrong
    raise SystemExit(not clean)


if __name__ == "__main__":
    main()
