"""Users of a running system, each with a client of its own, and what their clients were told."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx2
import jwt

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from stress.installation import Installation

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
    lost: list[tuple[float, float]] = field(default_factory=list)
    """From when to when logins were made that a restored backup does not have."""
    ended_before: float = 0.0
    """The operator ended each login from before this time."""
    users: "list[User]" = field(default_factory=list)

    def note(self, what: str, answer: httpx2.Response) -> str | None:
        """Count *answer*; the OAuth error in it, None where there is none."""
        error = None
        if answer.is_error:
            body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            error = str(body.get("error", answer.status_code))
        self.answers[f"{what}: {f'{answer.status_code} {error}' if error else 'yes'}"] += 1
        if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.blame(f"{what}: {answer.text[:200]}")
        return error

    def blame(self, what: str) -> None:
        self.wrong.append(f"while {self.change}: {what}")

    def is_over(self, since: float) -> bool:
        """Whether a login of that time was rightly lost or ended."""
        return since < self.ended_before or any(a <= since <= b for a, b in self.lost)


@dataclass
class User:
    """One client at one resource, its tokens, and those of its former logins.

    *since*: when its code came, then when that was redeemed; 0 without a login.
    """

    house: Installation
    ledger: Ledger
    http: httpx2.AsyncClient
    path: str
    random_bytes: random.Random
    client: OAuthClient | None = None
    tokens: dict[str, Any] | None = None
    since: float = 0.0
    ended: list[tuple[float, str]] = field(default_factory=list)

    async def live(self) -> None:
        while True:
            await self.step()
            await asyncio.sleep(self.random_bytes.uniform(0.01, 0.1))

    async def step(self) -> None:
        if self.tokens is None:
            return await self.log_in()
        act = self.random_bytes.choices(
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
        began = time.monotonic()
        async with Browser(stop_at=(REDIRECT_URI,)) as browser:
            login = client.authorization()
            page = await browser.open(login.url)
            if page.status == HTTPStatus.OK:
                page = await browser.submit(page, {"decision": "approve"})
        if not page.url.startswith(REDIRECT_URI):
            # A person starts again. Nothing was taken from them that they had.
            self.ledger.answers[f"login page: {page.status} while {self.ledger.change}"] += 1
            return
        answer = httpx2.URL(page.url).params
        if "code" not in answer:
            if answer["error"].startswith("invalid_") and not self._is_missing(answer["error"]):
                self.ledger.blame(f"login: {answer}")
            return
        self.since = time.monotonic()
        redeemed = await client.redeem(login, answer["code"])
        if redeemed.status_code == HTTPStatus.BAD_REQUEST and self.house.clocks_set_at > began:
            return  # a clock that is set forward ends a code, which lasts a minute
        if self._judge("redeem", redeemed, self.since) is None and redeemed.is_success:
            self.tokens = redeemed.json()
            self.since = time.monotonic()

    async def call(self) -> None:
        assert self.tokens is not None
        assert self.client is not None
        asked = time.monotonic()
        answer = await self.client.call(self.tokens["access_token"])
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._has_expired(
            self.tokens["access_token"]
        ):
            return await self.refresh()
        self._judge("call", answer, asked)
        return None

    async def refresh(self) -> None:
        assert self.tokens is not None
        assert self.client is not None
        asked = time.monotonic()
        answer = await self.client.refresh(self.tokens["refresh_token"])
        if self._judge("refresh", answer, asked) is None and answer.is_success:
            self.tokens = answer.json()

    async def log_out(self) -> None:
        assert self.tokens is not None
        assert self.client is not None
        asked = time.monotonic()
        answer = await self.client.revoke(self.tokens["refresh_token"])
        if self._judge("revoke", answer, asked) is None and answer.is_success:
            self.ended.append((time.monotonic(), self.tokens["access_token"]))
            self.tokens = None

    async def try_an_ended_one(self) -> None:
        """A token whose login was ended. Replicas may take some seconds to hear of it."""
        if self.client is None or not self.ended:
            return
        at, token = self.random_bytes.choice(self.ended)
        if time.monotonic() - at < SEEN_WITHIN:
            return
        answer = await self.client.call(token)
        self.ledger.note("ended", answer)
        if answer.is_success:
            self.ledger.blame("a token of an ended login was let in")

    def _judge(self, what: str, answer: httpx2.Response, asked: float) -> str | None:
        error = self.ledger.note(what, answer)
        if error is None and what != "revoke" and self.since < self.ledger.ended_before < asked:
            self.ledger.blame(f"{what}: a login that the operator had ended was let in")
        if (
            error is None
            or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            or self._is_missing(error)
        ):
            return error
        if what == "call" and error == "insufficient_scope":
            return error  # a scope is new to the settings: log in again
        if not self.ledger.is_over(self.since):
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
