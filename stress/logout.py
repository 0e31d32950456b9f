"""How long after a logout at a real provider two servers still accept the access token.

::

    python -m stress.logout [--logins 100] [--store sqlite|postgres|redis|cluster]

node-oidc-provider sends logout tokens to one of two ``mintage serve`` processes. Both are asked
about the access token again and again. The clock starts when the person's browser confirms the
logout at the provider, so the provider's own work is part of it.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Final

from tests.support.logout_pair import Pair, logout_pair
from tests.support.node import install

from stress.engines import NAMES, engine

BOUND: Final = 1.0  # seconds, within which 99 of 100 logouts must be noticed by both


async def one(pair: Pair, number: int) -> float:
    """Seconds from one person's logout until the later of both processes refuses."""
    async with pair.browser() as browser:
        client = await pair.client()
        tokens = await pair.provider.log_in(browser, client, f"user-{number}")
        for address in pair.addresses:
            if not await pair.is_accepted(address, tokens):
                raise AssertionError(f"{address} refuses a new login")
        page = await pair.provider.confirmation(browser)
        looking = asyncio.create_task(pair.refusals(tokens, within=30))
        await pair.provider.confirm(browser, page)
        return max(await looking)


async def measure(store: str, logins: int) -> list[float]:
    """The seconds of each logout, in order."""
    with tempfile.TemporaryDirectory() as directory, engine(store) as url:
        async with logout_pair(Path(directory), store=url) as pair:
            return sorted([await one(pair, number) for number in range(logins)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logins", type=int, default=100)
    parser.add_argument("--store", choices=NAMES, default="sqlite")
    asked = parser.parse_args()
    install()
    seconds = asyncio.run(measure(asked.store, asked.logins))
    p50, p99 = (seconds[min(int(share * len(seconds)), len(seconds) - 1)] for share in (0.5, 0.99))
    figures = " | ".join(f"{each * 1000:,.0f}" for each in (p50, p99, seconds[-1]))
    print("| store | logouts | p50 (ms) | p99 (ms) | max (ms) |\n|---|---:|---:|---:|---:|")
    print(f"| {asked.store} | {len(seconds)} | {figures} |")
    return 0 if p99 <= BOUND else 1


if __name__ == "__main__":
    raise SystemExit(main())
