"""What the audit trail and the access log add to a request: ``python -m benchmarks.audit``.

One process calls the applications in turn, without a network in front, and counts the CPU time of
all its threads: that of the one that writes records too. The backend is a socket away.
"""

import asyncio
import json
import logging
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from benchmarks.aims import Aim, tell
from benchmarks.timing import machine
from mintage.app import Mintage
from mintage.cli.logs import start_log
from mintage.grants.pkce import s256
from mintage.grants.states import Consent, Identity, UpstreamTokens
from mintage.settings.load import parse
from mintage.values import ClientId

DURABLE: Final = "on SQLite"
VERIFIER: Final = "v" * 43
REDIRECT_URI: Final = "https://app.example/callback"
ROUNDS, CALLS = 20, 60
MOST: Final = 0.05  # of a request, for the audit trail: the aim of this benchmark
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class System:
    """An application with a login in it."""

    app: Mintage
    client_id: str
    access_token: str
    refresh_token: str
    access_log: bool = False

    async def refresh(self) -> None:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.refresh_token,
            "client_id": self.client_id,
        }
        self.refresh_token = (await token(self.app, form))["refresh_token"]

    async def call(self) -> None:
        headers = [(b"authorization", f"Bearer {self.access_token}".encode())]
        await asked(self.app, "GET", "/mcp", headers, b"")


async def asked(
    app: Mintage, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """The body of the response, which must be a success."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:1"), *headers],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    got, status, never = bytearray(), 0, asyncio.Event()
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await never.wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            got.extend(message.get("body", b""))

    await app(scope, receive, send)
    if status not in (200, 201):
        raise RuntimeError(f"{path}: {status} {bytes(got)!r}")
    return bytes(got)


async def token(app: Mintage, form: dict[str, str]) -> dict[str, str]:
    kind = [(b"content-type", b"application/x-www-form-urlencoded")]
    found: dict[str, str] = json.loads(
        await asked(app, "POST", "/token", kind, urlencode(form).encode())
    )
    return found


@asynccontextmanager
async def system(
    backend: int, directory: Path, number: int, store: str, **more: Any
) -> AsyncIterator[System]:
    """One with an issuer of its own, by its *number*."""
    issuer = f"http://127.0.0.1:{number}"
    data = {
        "issuer": issuer,
        "store": store,
        "secret": "env:SECRET",
        "limits": {"refreshes_per_login": 0},  # one login refreshes all the time here
        "upstream": {"issuer": "https://idp.example", "client_id": "mintage"},
        "resource": [
            {"path": "/mcp", "backend": f"http://127.0.0.1:{backend}/", "credential": "identity"}
        ],
    }
    app = Mintage(parse(data | more, base=directory, environ={"SECRET": "x9" * 20}))
    async with app.running() as running:
        metadata = {
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        }
        kind = [(b"content-type", b"application/json")]
        body = await asked(app, "POST", "/register", kind, json.dumps(metadata).encode())
        client_id = json.loads(body)["client_id"]
        login = Consent(
            client_id=ClientId(client_id),
            resource=f"{issuer}/mcp",
            scopes=(),
            identity=Identity(issuer="https://idp.example", subject="alice"),
            created_at=int(time.time()),
        )
        code = await running.vault.create(
            login,
            UpstreamTokens(access_token="upstream", issuer="https://idp.example"),
            code_challenge=s256(VERIFIER),
            redirect_uri=REDIRECT_URI,
        )
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": REDIRECT_URI,
            "client_id": client_id,
        }
        tokens = await token(app, form)
        yield System(app, client_id, tokens["access_token"], tokens["refresh_token"])


async def cpu(work: Callable[[], Awaitable[None]]) -> float:
    """Microseconds of CPU for one call, of all threads."""
    before = time.process_time()
    for _ in range(CALLS):
        await work()
    await asyncio.sleep(0.15)  # records are written meanwhile
    return (time.process_time() - before) / CALLS * 1e6


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(_ANSWER)
    writer.close()


async def run(directory: Path) -> dict[str, dict[str, float]]:
    """By what was asked, and by system: microseconds, of which three rounds of four took more."""
    start_log(["warning"])
    backend = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = backend.sockets[0].getsockname()[1]
    audit = {"to": f"file:{directory}/audit.jsonl"}
    sqlite = f"sqlite://{directory}/mintage.db"
    async with AsyncExitStack() as stack:
        systems = {
            name: await stack.enter_async_context(system(port, directory, number, store, **more))
            for number, (name, store, more) in enumerate(
                (
                    ("nothing", "memory://", {}),
                    ("audit", "memory://", {"audit": audit}),
                    ("access log", "memory://", {}),
                    (DURABLE, sqlite, {}),
                ),
                start=1,
            )
        }
        found: dict[str, dict[str, list[float]]] = {
            "gateway request": {name: [] for name in systems},
            "refresh": {name: [] for name in systems},
        }
        access = logging.getLogger("mintage.access")
        access.propagate = False
        access.addHandler(logging.FileHandler(directory / "access.log"))
        for _ in range(ROUNDS):
            for name, one in systems.items():
                access.setLevel(logging.INFO if name == "access log" else logging.NOTSET)
                found["gateway request"][name].append(await cpu(one.call))
                found["refresh"][name].append(await cpu(one.refresh))
        backend.close()
        return {
            what: {name: statistics.quantiles(times, n=4)[0] for name, times in each.items()}
            for what, each in found.items()
        }


def main() -> None:
    print(f"What audit and access log add ({machine()}; CPU µs)\n")
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(run(Path(directory)))
    print("| | in memory | on SQLite | audit adds | the access log adds |")
    print("|---|---:|---:|---:|---:|")
    shares = {}
    for what, figures in found.items():
        plain, whole = figures["nothing"], figures[DURABLE]
        added = [figures[name] - plain for name in ("audit", "access log")]
        shares[what] = added[0] / whole
        cells = [f"{one:.0f} ({one / whole:+.0%})" for one in added]
        print(f"| {what} | {plain:.0f} | {whole:.0f} | " + " | ".join(cells) + " |")
    print("\nIn percent of the work on SQLite, without a network in front.")
    for what, share in shares.items():
        verdict = "ok" if share <= MOST else "MISSED"
        print(f"{what}: audit adds {share:+.1%}, at most {MOST:.0%}: {verdict}")
        tell(Aim(f"what audit adds to a {what}", share, MOST, "%", at_most=True))


if __name__ == "__main__":
    main()
