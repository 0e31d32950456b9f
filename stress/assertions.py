"""Eight processes with the same ID-JAG in the same moment: one redeems it, every time.

::

    python -m stress.assertions [--rounds 100000] [--store sqlite|postgres|redis|cluster|all]

In a round every process sends one ID-JAG to a grant type of its own, on its own opening of the
store. Rounds go in batches, as in `stress.races`. *doubles* counts the rounds in which more than
one got a token, *lost* those in which none did, and *left over* the grants in the store beyond one
for each round. *met* counts the rounds in which requests really were under way at one time.
"""

import argparse
import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator
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
_BATCH: Final = 200  # rounds whose assertions are made in one go
_SIGNAL: Final = 40  # rounds that one signal starts
_AT_ONCE: Final = 8  # assertions that a process sends at one time
_ISSUER: Final = "https://auth.example"
_ENTERPRISE: Final = "https://idp.example"
_CLIENT: Final = ClientId("assistant")
_KEY: Final = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"


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
        client = Client(
            client_id=_CLIENT,
            name="The assistant",
            redirect_uris=(),
            auth_method="client_secret_basic",
            grant_types=(JWT_BEARER,),
            vouched=True,
        )
        try:
            issued = await self._grant_type.issue(
                TokenRequest(form={"assertion": (assertion,)}, client=client)
            )
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


def run(store: str, url: str, rounds: int) -> Tally:
    """*rounds* on the store at *url*."""
    key = jwk.ECKey.generate_key("P-256", {"kid": "k"})
    jwks = {"keys": [key.as_dict(private=False)]}
    tally, begin = Tally(store), time.monotonic()
    with WorkerPool(Redeemer.open, url, jwks, size=PROCESSES) as pool:
        while tally.rounds < rounds:
            batch = [_assertion(key) for _ in range(min(_BATCH, rounds - tally.rounds))]
            for seen in _raced(pool, batch):
                tally.count(seen)
        tally.left_over = pool.ask(0, "grants") - (tally.rounds - tally.lost)
    tally.seconds = time.monotonic() - begin
    return tally


def _raced(pool: WorkerPool, assertions: list[str]) -> Iterator[tuple[Seen, ...]]:
    for start in range(0, len(assertions), _SIGNAL):
        yield from zip(*pool.all("redeem", assertions[start : start + _SIGNAL]), strict=True)


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
    parser.add_argument("--store", choices=[*ENGINES, "all"], default="all")
    wanted = parser.parse_args()
    print(HEAD)
    clean = True
    for name in ENGINES if wanted.store == "all" else [wanted.store]:
        with engine(name) as url:
            tally = run(NAMES[name], url, wanted.rounds)
            print(tally.row(), flush=True)
            clean &= tally.clean
    raise SystemExit(not clean)


if __name__ == "__main__":
    main()
