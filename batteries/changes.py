"""A running system while its operator changes it: nobody is refused untruly or let in wrongly.

::

    python -m batteries.changes [--store sqlite|postgres|redis|all] [--changes 40] [--seed N]

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
import hashlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

import httpx2
import jwt

from batteries.engines import ENGINES, NAMES, engine
from batteries.installation import PATHS, Installation, installation, new_secret
from mintage.stores.opening import open_store
from mintage.stores.protocol import Index
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient

SEEN_WITHIN: Final = 10.0  # seconds until every replica has heard of an ended login, and a margin
_LEEWAY: Final = 5


@dataclass
class Ledger:
    """What happened. *wrong*: each answer that breaks a promise, in a sentence."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    change: str = "none"
    missing: set[str] = field(default_factory=set)
    """Paths that a replica lacks now, or lacked a moment ago."""

    def note(self, what: str, answer: httpx2.Response) -> str | None:
        """Count *answer*; the OAuth error in it, None where there is none."""
        error = None
        if answer.is_error:
            body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            error = str(body.get("error", answer.status_code))
        self.answers[f"{what}: {error or 'yes'}"] += 1
        return error

    def blame(self, what: str) -> None:
        self.wrong.append(f"while {self.change}: {what}")


@dataclass
class User:
    """One client at one resource, its tokens, and those of its former logins."""

    house: Installation
    ledger: Ledger
    http: httpx2.AsyncClient
    path: str
    dice: random.Random
    client: OAuthClient | None = None
    tokens: dict[str, Any] | None = None
    ended: list[tuple[float, str]] = field(default_factory=list)

    async def live(self) -> None:
        while True:
            await self.step()
            await asyncio.sleep(self.dice.uniform(0.01, 0.1))

    async def step(self) -> None:
        if self.tokens is None:
            return await self.log_in()
        act = self.dice.choices(
            [self.call, self.refresh, self.log_out, self.try_an_ended_one], [12, 4, 1, 2]
        )[0]
        return await act()

    async def log_in(self) -> None:
        """A failed attempt is made anew later, as a person would."""
        client = self.client
        if client is None:
            client = OAuthClient(self.house.issuer, self.http, f"{self.house.issuer}{self.path}")
            await client.register()
            self.client = client
        async with Browser(stop_at=(REDIRECT_URI,)) as browser:
            login = client.authorization()
            page = await browser.open(login.url)
            if page.status == HTTPStatus.OK:
                page = await browser.submit(page, {"decision": "approve"})
        if not page.url.startswith(REDIRECT_URI):
            # A person starts again. Nothing was taken from them that they had.
            self.ledger.answers[f"login page: {page.status}"] += 1
            return
        answer = httpx2.URL(page.url).params
        if "code" not in answer:
            if answer["error"].startswith("invalid_") and not self._is_missing(answer["error"]):
                self.ledger.blame(f"login: {answer}")
            return
        redeemed = await client.redeem(login, answer["code"])
        if self._judge("redeem", redeemed) is None and redeemed.is_success:
            self.tokens = redeemed.json()

    async def call(self) -> None:
        assert self.tokens is not None
        assert self.client is not None
        answer = await self.client.call(self.tokens["access_token"])
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._has_expired(
            self.tokens["access_token"]
        ):
            return await self.refresh()
        self._judge("call", answer)
        return None

    async def refresh(self) -> None:
        assert self.tokens is not None
        assert self.client is not None
        answer = await self.client.refresh(self.tokens["refresh_token"])
        if self._judge("refresh", answer) is None and answer.is_success:
            self.tokens = answer.json()

    async def log_out(self) -> None:
        assert self.tokens is not None
        assert self.client is not None
        answer = await self.client.revoke(self.tokens["refresh_token"])
        if self._judge("revoke", answer) is None and answer.is_success:
            self.ended.append((time.monotonic(), self.tokens["access_token"]))
            self.tokens = None

    async def try_an_ended_one(self) -> None:
        """A token whose login was ended. Replicas may take some seconds to hear of it."""
        if self.client is None or not self.ended:
            return
        at, token = self.dice.choice(self.ended)
        if time.monotonic() - at < SEEN_WITHIN:
            return
        answer = await self.client.call(token)
        self.ledger.note("ended", answer)
        if answer.is_success:
            self.ledger.blame("a token of an ended login was let in")

    def _judge(self, what: str, answer: httpx2.Response) -> str | None:
        error = self.ledger.note(what, answer)
        if (
            error is None
            or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            or self._is_missing(error)
        ):
            return error
        if what == "call" and error == "insufficient_scope":
            return error  # a scope is new to the settings: log in again
        self.ledger.blame(f"{what}: {answer.status_code} {answer.text[:200]}")
        self.tokens = None  # what a client makes of it
        return error

    def _is_missing(self, error: str) -> bool:
        return self.path in self.ledger.missing and error in ("invalid_target", "not_found")

    def _has_expired(self, token: str) -> bool:
        """Whether *token* has ended by the clock of a replica."""
        latest = max(replica.clock() for replica in self.house.replicas)
        said = jwt.decode(token, options={"verify_signature": False})
        return int(said["exp"]) <= latest + _LEEWAY


Change = Callable[[Installation, Ledger, float], Awaitable[None]]


@asynccontextmanager
async def without(ledger: Ledger, path: str) -> AsyncIterator[None]:
    """Answers that were under way when the resource came back may still miss it."""
    ledger.missing.add(path)
    try:
        yield
        await asyncio.sleep(0.5)
    finally:
        ledger.missing.discard(path)


async def a_resource_leaves_and_comes_back(
    house: Installation, ledger: Ledger, pause: float
) -> None:
    path = house.dice.choice(PATHS)
    async with without(ledger, path):
        house.settings.paths = tuple(kept for kept in PATHS if kept != path)
        await house.restart()
        await asyncio.sleep(pause)
        house.settings.paths = PATHS
        await house.restart()


async def one_replica_lacks_a_resource(house: Installation, ledger: Ledger, pause: float) -> None:
    path = house.dice.choice(PATHS)
    async with without(ledger, path):
        house.settings.paths = tuple(kept for kept in PATHS if kept != path)
        await house.restart(1)
        await asyncio.sleep(pause)
        house.settings.paths = PATHS
        await house.restart(1)


async def a_scope_leaves_and_comes_back(house: Installation, _: Ledger, pause: float) -> None:
    before = dict(house.settings.scopes)
    house.settings.scopes["/notes"] = ("read",)
    await house.restart()
    await asyncio.sleep(pause)
    house.settings.scopes = before
    await house.restart()


async def a_secret_is_staged_and_rotated(house: Installation, _: Ledger, pause: float) -> None:
    new, old = new_secret(), house.settings.secrets
    house.settings.secrets = (*old, new)
    await house.restart()
    house.settings.secrets = (new, *old)
    await house.restart()
    await asyncio.sleep(pause)


async def one_replica_has_a_secret_that_the_other_lacks(
    house: Installation, _: Ledger, pause: float
) -> None:
    house.settings.secrets = (new_secret(), *house.settings.secrets)
    await house.restart(0)
    await asyncio.sleep(pause)
    await house.restart(1)


async def a_secret_is_removed_too_early(house: Installation, _: Ledger, pause: float) -> None:
    kept = house.settings.secrets
    house.settings.secrets = (new_secret(),)
    await house.restart()
    await asyncio.sleep(pause)
    house.settings.secrets = (*house.settings.secrets, *kept)
    await house.restart()


async def the_provider_is_another_one(house: Installation, _: Ledger, pause: float) -> None:
    before = house.settings
    other = house.other_upstream
    house.settings = replace(before, upstream=other, upstream_secret=other.client_secret)
    await house.restart()
    await asyncio.sleep(pause)
    house.settings = replace(house.settings, upstream=before.upstream,
                             upstream_secret=before.upstream_secret)  # fmt: skip
    await house.restart()


async def the_client_secret_changes_at_the_provider(
    house: Installation, _: Ledger, pause: float
) -> None:
    """Its settings follow later: until then the provider refuses us, and not the users."""
    upstream = house.settings.upstream
    upstream.client_secret = secrets.token_urlsafe(16)
    await asyncio.sleep(pause)
    house.settings.upstream_secret = upstream.client_secret
    await house.restart()


async def a_clock_is_set(house: Installation, _: Ledger, pause: float) -> None:
    """On PostgreSQL and Redis that of one replica; on SQLite both are on one machine."""
    step = house.dice.choice([-3600, -30, -7, 7, 90, 3600])
    one_machine = house.settings.store.startswith("sqlite")
    moved = house.replicas if one_machine else (house.dice.choice(house.replicas),)
    for replica in moved:
        replica.offset = step
    await asyncio.sleep(pause)
    for replica in moved:
        replica.offset = 0


async def a_newer_mintage_wrote_a_record(house: Installation, _: Ledger, pause: float) -> None:
    store = await open_store(house.settings.store, clock=time.time)
    try:
        index = Index(secrets.token_bytes(32), secrets.token_bytes(32), b"\xff")
        key = hashlib.sha256(secrets.token_bytes(8)).digest()
        await store.insert(key, b"\xff" + secrets.token_bytes(64), index, int(time.time()) + 60)
    finally:
        await store.close()
    await asyncio.sleep(pause)


async def the_store_moves(house: Installation, _: Ledger, pause: float) -> None:
    await house.move()
    await asyncio.sleep(pause)


CHANGES: Final[tuple[Change, ...]] = (
    a_resource_leaves_and_comes_back,
    one_replica_lacks_a_resource,
    a_scope_leaves_and_comes_back,
    a_secret_is_staged_and_rotated,
    one_replica_has_a_secret_that_the_other_lacks,
    a_secret_is_removed_too_early,
    the_provider_is_another_one,
    the_client_secret_changes_at_the_provider,
    a_clock_is_set,
    a_newer_mintage_wrote_a_record,
    the_store_moves,
)


async def battery(store: str, *, changes: int, users: int, pause: float, seed: int) -> Ledger:
    """*changes* changes, *pause* seconds each, to an installation on *store* with *users* users.

    Every change is made at least once before one is made twice.
    """
    dice, ledger = random.Random(seed), Ledger()  # noqa: S311
    async with (
        installation(store, dice) as house,
        httpx2.AsyncClient(trust_env=False, timeout=60) as http,
    ):
        people = [
            User(house, ledger, http, PATHS[n % len(PATHS)], random.Random(seed * 1000 + n))  # noqa: S311
            for n in range(users)
        ]
        lives = [asyncio.create_task(person.live()) for person in people]
        try:
            await asyncio.sleep(pause)
            for number in range(changes):
                if number % len(CHANGES) == 0:
                    order = dice.sample(CHANGES, len(CHANGES))
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
    parser = argparse.ArgumentParser(prog="python -m batteries.changes")
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
                battery(
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
