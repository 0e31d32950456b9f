"""Real server processes on one SQLite file: races across them, and kill -9 in full traffic."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.network.tls import trusted
from mintage.testing.oauth_client import OAuthClient
from tests.support.fleet import Fleet, fleet
from tests.support.logins import VERIFIER

ROUNDS = 500
RACERS = 10
KILLS = 20
# Thousands of requests, between processes that share two cores with those of other tests.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=30) as client:
        yield client


async def registered(running: Fleet, http: httpx2.AsyncClient) -> str:
    client = await running.client_at(0, http, "").register()
    return client.client_id


async def redeem(client: OAuthClient, code: str) -> httpx2.Response:
    return await client.token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)


async def test_two_processes_redeem_each_code_once(
    tmp_path: Path, http: httpx2.AsyncClient
) -> None:
    async with fleet(tmp_path, processes=2) as running, AsyncExitStack() as stack:
        for number in range(2):
            await stack.enter_async_context(running.serving(number))
        client_id = await registered(running, http)
        clients = [running.client_at(n, http, client_id) for n in range(RACERS)]
        successes: Counter[int] = Counter()
        for _ in range(ROUNDS):
            code = await running.code(client_id)
            answers = await asyncio.gather(*(redeem(client, code) for client in clients))
            successes[sum(answer.status_code == 200 for answer in answers)] += 1
    assert successes == {1: ROUNDS}


async def test_two_processes_give_one_successor_to_all(
    tmp_path: Path, http: httpx2.AsyncClient
) -> None:
    async with fleet(tmp_path, processes=2) as running, AsyncExitStack() as stack:
        for number in range(2):
            await stack.enter_async_context(running.serving(number))
        client_id = await registered(running, http)
        clients = [running.client_at(n, http, client_id) for n in range(RACERS)]
        tokens = (await redeem(clients[0], await running.code(client_id))).json()
        for round_ in range(ROUNDS):
            token = tokens["refresh_token"]
            answers = await asyncio.gather(*(client.refresh(token) for client in clients))
            assert {answer.status_code for answer in answers} == {200}, round_
            successors = {answer.json()["refresh_token"] for answer in answers}
            assert len(successors) == 1, round_
            assert token not in successors
            tokens = answers[0].json()


async def refresh_until_killed(client: OAuthClient, acknowledged: list[dict[str, Any]]) -> None:
    """Refresh again and again; every answer that arrived is noted."""
    while True:
        try:
            answer = await client.refresh(acknowledged[-1]["refresh_token"])
        except httpx2.HTTPError:
            return
        assert answer.status_code == 200, answer.text
        acknowledged.append(answer.json())


@pytest.mark.timeout(170)
async def test_attack_d10_kill_minus_nine_locks_nobody_out(
    tmp_path: Path, http: httpx2.AsyncClient
) -> None:
    """Twenty kills in full traffic; after each, every session goes on with what it holds."""
    async with fleet(tmp_path, processes=1) as running:
        sessions: list[list[dict[str, Any]]] = []
        client: OAuthClient | None = None
        for kill in range(KILLS):
            async with running.serving(0) as child:
                if client is None:
                    client = running.client_at(0, http, await registered(running, http))
                    for _ in range(8):
                        answer = await redeem(client, await running.code(client.client_id))
                        sessions.append([answer.json()])
                for session in sessions:
                    again = await client.refresh(session[-1]["refresh_token"])
                    assert again.status_code == 200, (kill, again.text)
                    alive = await client.call(session[-1]["access_token"])
                    assert alive.status_code == 502, "the token is good; the backend is not there"
                    session.append(again.json())
                traffic = [
                    asyncio.create_task(refresh_until_killed(client, session))
                    for session in sessions
                ]
                await asyncio.sleep(0.05 + 0.01 * kill)
                child.kill()
                await asyncio.gather(*traffic)
        refreshes = sum(map(len, sessions))
        assert refreshes > KILLS * len(sessions) * 2
