"""A backend that shows what it saw, and tokens without a login."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from mintage.app import Running
from mintage.grants.pkce import s256
from mintage.grants.states import Consent, Identity, UpstreamTokens
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from mintage.values import ClientId
from mintage.vault.values import OpenGrant
from tests.support.logins import redeem
from tests.support.world import World

REDIRECT_URI = "http://127.0.0.1/callback"


@dataclass
class RawBackend:
    """Answers by the last segment of the path; *seen* counts requests before anything else."""

    port: int
    seen: list[Scope] = field(default_factory=list)
    chunks: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        match scope["path"].rpartition("/")[2]:
            case "events":
                await self._events(receive, send)
            case "call":
                await self._call(send)
            case "upload":
                await self._upload(receive, send)
            case "dies":
                await send(_start(b"content-length", b"100"))
                await send(_body(b"only this", more=True))
            case _:
                await send(_start(b"content-type", b"application/json"))
                await send(_body(json.dumps(_shown(scope)).encode()))

    async def _events(self, receive: Receive, send: Send) -> None:
        await send(_start(b"content-type", b"text/event-stream"))
        await send(_body(b"data: 1\n\n", more=True))
        watcher = asyncio.create_task(self._watch(receive))
        await asyncio.wait(
            [watcher, asyncio.create_task(self.go.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        if not self.gone.is_set():
            await send(_body(b"data: 2\n\n", more=True))
            await watcher

    async def _call(self, send: Send) -> None:
        """A tool call that answers as an event stream, and ends."""
        await send(_start(b"content-type", b"text/event-stream"))
        await send(_body(b"data: working\n\n", more=True))
        await self.go.wait()
        await send(_body(b"data: done\n\n"))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def _upload(self, receive: Receive, send: Send) -> None:
        total, message = 0, await receive()
        while message["type"] == "http.request":
            total += len(message["body"])
            self.chunks.put_nowait(message["body"])
            if not message.get("more_body"):
                await send(_start(b"content-type", b"text/plain"))
                return await send(_body(str(total).encode()))
            message = await receive()
        return self.gone.set()


def _start(name: bytes, value: bytes) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": [(name, value)]}


def _body(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _shown(scope: Scope) -> dict[str, Any]:
    headers = [
        [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
    ]
    return {
        "headers": headers,
        "path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
    }


@pytest.fixture
async def raw() -> AsyncIterator[RawBackend]:
    backend = RawBackend(free_port())
    server = uvicorn.Server(
        uvicorn.Config(
            backend,
            host="127.0.0.1",
            port=backend.port,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    async with serving(server):
        yield backend


async def access_token(
    world: World,
    path: str = "/mcp",
    *,
    upstream: str = "upstream",
    claims: Mapping[str, Any] | None = None,
) -> str:
    return await token_for(
        world.running,
        world.issuer + path,
        now=int(world.clock()),
        upstream=upstream,
        claims=claims,
    )


async def token_for(
    running: Running,
    resource: str,
    *,
    now: int,
    subject: str = "alice",
    upstream: str = "upstream",
    claims: Mapping[str, Any] | None = None,
) -> str:
    """A token for *resource*, through the vault and the issuer, as a login would end."""
    verifier, client_id = secrets.token_urlsafe(32), ClientId("a-client")
    issuer = "https://login.example.com"
    identity = Identity(issuer=issuer, subject=subject, claims=dict(claims or {}))
    login = Consent(
        client_id=client_id,
        resource=resource,
        scopes=("tools",),
        identity=identity,
        created_at=now,
    )
    vault = running.vault
    code = await vault.create(
        login,
        UpstreamTokens(access_token=upstream),
        code_challenge=s256(verifier),
        redirect_uri=REDIRECT_URI,
    )
    opened = await redeem(
        vault,
        code,
        client_id,
        verifier=verifier,
        redirect_uri=REDIRECT_URI,
        resource=resource,
    )
    assert isinstance(opened, OpenGrant)
    return running.tokens.issue(opened).access_token


async def raw_answer(world: World, request: bytes) -> bytes:
    """What a gateway answers to *request*, as `answer_at` says."""
    return await answer_at(world.issuer, request)


async def answer_at(origin: str, request: bytes) -> bytes:
    """What comes back for *request*, byte by byte as it stands, until the end or a pause."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(origin).port)
    writer.write(request)
    answer, patience = b"", 10.0  # a busy machine may be slow to begin
    try:
        while True:
            async with asyncio.timeout(patience):
                chunk = await reader.read(65536)
            if not chunk:
                break
            answer, patience = answer + chunk, 0.5
    except TimeoutError:
        assert answer, "no answer came, and no end"
    writer.close()
    return answer
