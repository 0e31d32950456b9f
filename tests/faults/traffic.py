"""Clients that go on through everything, and keep account of what they were told."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2

from mintage.errors import StoreError
from mintage.testing.oauth_client import OAuthClient
from tests.support.logins import VERIFIER

SESSIONS = 6
KEPT = 40  # logins in the course of the traffic, at most
SLOWEST = 20.0  # seconds: a store's call takes 5 at most, and a request makes a few
_ACCEPTED = (200, 502)  # nobody listens behind the gateway: 502 says that the token was good


@dataclass
class Ledger:
    """What the clients saw. *refused* and *lost* name each answer that should not have been."""

    operations: int = 0
    successes: int = 0
    unavailable: int = 0
    broken: int = 0  # no answer at all
    repeated: int = 0  # logins to be made again: their redemption got a 503, and spent the code
    slowest: float = 0
    refused: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.operations} operations, {self.successes} successes, {self.unavailable} × 503, "
            f"{self.broken} without an answer, {self.repeated} logins to repeat, "
            f"{len(self.refused)} refused, {len(self.lost)} lost, slowest {self.slowest:.1f} s"
        )


class Traffic:
    """*code* makes a fresh authorization code for *client*."""

    def __init__(self, client: OAuthClient, code: Callable[[], Awaitable[str]]) -> None:
        self._client = client
        self._code = code
        self._live: list[dict[str, Any]] = []  # what each session holds: the last that arrived
        self._kept: list[dict[str, Any]] = []
        self._revoked: list[dict[str, Any]] = []
        self.ledger = Ledger()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Refreshes, requests, logins and revocations until the block ends."""
        for _ in range(SESSIONS + 1):
            answer = await self._redeem(await self._code())
            self._live.append(answer.raise_for_status().json())
        over = asyncio.Event()
        tasks = [asyncio.create_task(self._go_on(n, over)) for n in range(SESSIONS)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def recovered(self, limit: float) -> float:
        """Seconds until a refresh succeeds again; fails after *limit*.

        It has a session of its own: two that refresh one session can overtake each other, and
        who comes two tokens late is taken for a thief.
        """
        start = time.monotonic()
        while time.monotonic() - start < limit:
            before = self._live[SESSIONS]
            await self._refresh(SESSIONS)
            if self._live[SESSIONS] is not before:
                return time.monotonic() - start
        raise AssertionError(f"no recovery within {limit} s: {self.ledger}")

    async def settle(self) -> None:
        """See that all that was acknowledged is so: the last tokens work, the revoked don't."""
        for tokens in self._live + self._kept:
            called = await self._answer(partial(self._client.call, tokens["access_token"]))
            if called.status_code not in _ACCEPTED:
                self.ledger.lost.append(f"access token: {called.status_code} {called.text}")
            again = await self._answer(partial(self._client.refresh, tokens["refresh_token"]))
            if again.status_code != 200:
                self.ledger.lost.append(f"refresh token: {again.status_code} {again.text}")
        for tokens in self._revoked:
            again = await self._answer(partial(self._client.refresh, tokens["refresh_token"]))
            called = await self._answer(partial(self._client.call, tokens["access_token"]))
            if (again.status_code, called.status_code) != (400, 401):
                self.ledger.lost.append(f"a revocation: {again.text} {called.text}")

    async def _go_on(self, number: int, over: asyncio.Event) -> None:
        for round_ in itertools.count(number):
            if over.is_set():
                return
            await self._refresh(number)
            token = self._live[number]["access_token"]
            await self._note("request", partial(self._client.call, token))
            if round_ % 5 == 0 and len(self._kept) + len(self._revoked) < KEPT:
                await self._log_in()
            if round_ % 15 == 0 and self._kept:
                await self._revoke(self._kept.pop(0))

    async def _refresh(self, number: int) -> None:
        token = self._live[number]["refresh_token"]
        answer = await self._note("refresh", lambda: self._client.refresh(token))
        if answer is not None:
            self._live[number] = answer.json()

    async def _log_in(self) -> None:
        try:
            code = await self._code()
        except StoreError:
            self.ledger.operations += 1
            self.ledger.unavailable += 1
            return
        answer = await self._note("redemption", lambda: self._redeem(code))
        if answer is not None:
            self._kept.append(answer.json())
            return
        # It was not told what became of the code: it may be spent, and then only that login is
        # to be made again. (What the code opened ends with the second attempt.)
        again = await self._answer(lambda: self._redeem(code))
        if again.status_code == 200:
            self._kept.append(again.json())
        else:
            self.ledger.repeated += 1

    async def _revoke(self, tokens: dict[str, Any]) -> None:
        """What it is told to be revoked is revoked; without an answer, nobody knows."""
        answer = await self._note(
            "revocation", lambda: self._client.revoke(tokens["refresh_token"])
        )
        if answer is not None:
            self._revoked.append(tokens)

    async def _note(
        self, what: str, request: Callable[[], Awaitable[httpx2.Response]]
    ) -> httpx2.Response | None:
        """The answer if it is a success; all else is entered in the ledger."""
        self.ledger.operations += 1
        start = time.monotonic()
        try:
            answer = await request()
        except httpx2.HTTPError:
            self.ledger.broken += 1
            await asyncio.sleep(0.05)
            return None
        self.ledger.slowest = max(self.ledger.slowest, time.monotonic() - start)
        if answer.status_code == 503 and "retry-after" in answer.headers:
            self.ledger.unavailable += 1
            await asyncio.sleep(0.05)
            return None
        if answer.status_code in _ACCEPTED:
            self.ledger.successes += 1
            return answer
        self.ledger.refused.append(f"{what}: {answer.status_code} {answer.text}")
        return None

    async def _answer(self, request: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """The first answer that is not "later"."""
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await request()
                except httpx2.HTTPError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code != 503:
                    return answer
                await asyncio.sleep(0.1)

    async def _redeem(self, code: str) -> httpx2.Response:
        return await self._client.token(
            grant_type="authorization_code", code=code, code_verifier=VERIFIER
        )
