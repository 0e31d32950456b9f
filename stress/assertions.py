"""Eight processes with the same ID-JAG in the same moment: one redeems it, every time.

::

    python -m stress.assertions [--rounds 100000] [--minutes 15]
        [--store sqlite|postgres|redis|cluster|all]

In a round every process sends one ID-JAG to a grant type of its own, on its own opening of the
store. One signal starts many rounds. A process that is behind finds the next ID-JAGs spent, which
is less work than to win or lose a race. So it catches up, and they meet again without a signal.

*doubles* counts the rounds in which more than one got a token, *lost* those in which none did, and
*left over* the grants in the store beyond one for each round. *met* counts the rounds in which
requests really were under way at one time. Progress goes to standard error.
"""

import argparse
import asyncio
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from joserfc import jwk, jwt

from mintage.app.opening import tokens_of
from mintage.clients.client import JWT_BEARER, Client
from mintage.errors import InvalidGrant
from mintage.server.direct_tokens import DirectTokens
from mintage.server.grant_type import TokenRequest
from mintage.server.grant_types.jwt_bearer import JwtBearer
from mintage.settings.load import Config, parse
from mintage.testing.assertion_issuer import ID_JAG
from mintage.trust.keys import IssuerKeys
from mintage.upstream.transport import HttpTransport
from mintage.values import ClientId
from stress.engines import ENGINES, NAMES, engine
from stress.replica import Replica
from stress.worker_pool import WorkerPool

PROCESSES: Final = 8
_SIGNAL: Final = 400  # rounds that one signal starts
_AT_ONCE: Final = 16  # assertions that a process sends at one time
_TOLD_EACH: Final = 10.0  # seconds between two lines about the progress
_ISSUER: Final = "https://auth.example"
_ENTERPRISE: Final = "https://idp.example"
_CLIENT: Final = ClientId("assistant")
_KEY: Final = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"
_ASSISTANT: Final = Client(
    client_id=_CLIENT,
    name="The assistant",
    redirect_uris=(),
    auth_method="client_secret_basic",
    grant_types=(JWT_BEARER,),
    vouched=True,
)


def config_of(jwks: dict[str, Any]) -> Config:
    """A server that trusts the issuer with these keys."""
    data: dict[str, Any] = {
        "issuer": _ISSUER,
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {"issuer": _ENTERPRISE, "client_id": "m", "client_secret": "env:SECRET"},
        "resource": [{"path": "/mcp", "scopes": ["tools"]}],
        "grant_types": {"jwt_bearer": {}},
        "trusted_issuer": [
            {"name": "acme", "issuer": _ENTERPRISE, "purpose": "id_jag", "jwks": jwks}
        ],
    }
    return parse(data, base=Path(), environ={"SECRET": _KEY})


@dataclass(frozen=True, slots=True)
class Seen:
    """What one process got, and when (seconds of the clock that all processes share)."""

    began: float
    ended: float
    token: bool


class Redeemer:
    """One of the processes."""

    def __init__(self, number: int, replica: Replica, grant_type: JwtBearer) -> None:
        self._replica = replica
        self._grant_type = grant_type
        self._order = random.Random(number)  # noqa: S311  (an order, not a secret)

    @classmethod
    @asynccontextmanager
    async def open(cls, number: int, url: str, jwks: dict[str, Any]) -> AsyncIterator[Self]:
        config = config_of(jwks)
        (issuer,) = config.trusted_issuers
        keys = IssuerKeys(issuer, HttpTransport(), time.monotonic)
        async with Replica.open(url) as replica:
            direct = DirectTokens(
                site=config.site, vault=replica.vault, tokens=tokens_of(config, time.time)
            )
            issuers = {issuer.issuer: (issuer, keys)}
            bearer = JwtBearer(direct=direct, issuers=issuers, clock=time.time, lifetime=86_400)
            yield cls(number, replica, bearer)
        await keys.close()

    async def redeem(self, assertions: list[str]) -> list[Seen]:
        seen: dict[str, Seen] = {}

        async def run(assertion: str) -> None:
            began = time.monotonic()
            token = await self._token(assertion)
            seen[assertion] = Seen(began, time.monotonic(), token)

        for start in range(0, len(assertions), _AT_ONCE):
            some = assertions[start : start + _AT_ONCE]
            self._order.shuffle(some)
            await asyncio.gather(*map(run, some))
        return [seen[assertion] for assertion in assertions]

    async def _token(self, assertion: str) -> bool:
        request = TokenRequest(form={"assertion": (assertion,)}, client=_ASSISTANT)
        try:
            issued = await self._grant_type.issue(request)
        except InvalidGrant:
            return False
        return bool(issued.access_token)

    async def grants(self) -> int:
        return len([one async for one in self._replica.vault.listing.find(client=_CLIENT)])


@dataclass(slots=True)
class Tally:
    store: str
    rounds: int = 0
    met: int = 0
    doubles: int = 0
    lost: int = 0
    left_over: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.doubles or self.lost or self.left_over)

    def count(self, seen: tuple[Seen, ...]) -> None:
        spans = sorted((one.began, one.ended) for one in seen)
        winners = sum(one.token for one in seen)
        self.rounds += 1
        self.met += any(later < end for (_, end), (later, _) in pairwise(spans))
        self.doubles += winners > 1
        self.lost += winners == 0

    def row(self) -> str:
        return (
            f"| {self.store} | {self.rounds:,} | {self.met:,} | {self.doubles} | {self.lost} "
            f"| {self.left_over} | {self.seconds:.0f} |"
        )


HEAD: Final = (
    "| store | rounds | met | doubles | lost | left over | seconds |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


def run(store: str, url: str, rounds: int, minutes: float) -> Tally:
    """*rounds* on the store at *url*, or as many as are begun in *minutes*."""
    key = jwk.ECKey.generate_key("P-256", {"kid": "k"})
    jwks = {"keys": [key.as_dict(private=False)]}
    tally, begin = Tally(store), time.monotonic()
    told_at = begin
    with WorkerPool(Redeemer.open, url, jwks, size=PROCESSES) as pool:
        while tally.rounds < rounds and tally.seconds < minutes * 60:
            assertions = [_assertion(key) for _ in range(min(_SIGNAL, rounds - tally.rounds))]
            for seen in zip(*pool.all("redeem", assertions), strict=True):
                tally.count(seen)
            now = time.monotonic()
            tally.seconds = now - begin
            if now - told_at > _TOLD_EACH:
                told_at = now
                print(tally.row(), file=sys.stderr, flush=True)
        tally.left_over = pool.ask(0, "grants") - (tally.rounds - tally.lost)
    return tally


def _assertion(key: jwk.ECKey) -> str:
    now = int(time.time())
    claims = {
        "iss": _ENTERPRISE,
        "sub": secrets.token_hex(8),
        "aud": _ISSUER,
        "client_id": _CLIENT,
        "resource": f"{_ISSUER}/mcp",
        "scope": "tools",
        "jti": secrets.token_hex(16),
        "iat": now,
        "exp": now + 300,
    }
    return jwt.encode({"alg": "ES256", "kid": "k", "typ": ID_JAG}, claims, key)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.assertions")
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each store")
    parser.add_argument("--store", choices=[*ENGINES, "all"], default="all")
    wanted = parser.parse_args()
    print(HEAD)
    clean = True
    for name in ENGINES if wanted.store == "all" else [wanted.store]:
        with engine(name) as url:
            tally = run(NAMES[name], url, wanted.rounds, wanted.minutes)
            print(tally.row(), flush=True)
            clean &= tally.clean
    raise SystemExit(not clean)


if __name__ == "__main__":
    main()
