"""What the ten hot paths cost, in numbers that don't depend on how busy the machine is.

::

    python -m benchmarks.hot_paths             print the counts, and what is recorded
    python -m benchmarks.hot_paths --record    record them for this version of Python
    python -m benchmarks.hot_paths --profile gateway    show where the instructions are
    python -m benchmarks.hot_paths --machine   count the processor's instructions, with valgrind
    python -m benchmarks.hot_paths --plain     count what has no login, for comparison

A test fails if a count is a tenth above the recorded one (`benchmarks/hot_paths.toml`).
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks import bare_starlette
from benchmarks.browser_in_memory import FORM, Provider, encoded, log_in
from benchmarks.counting import Function, counting_instructions, measuring_peak
from benchmarks.in_memory import BACKEND, Client, Loop, new_loop, request
from benchmarks.proxies import Mintage as PlainProxy
from mintage.app import Mintage
from mintage.app.running import Running
from mintage.app.serving import uvicorn_config
from mintage.grants.pkce import s256
from mintage.grants.states import Consent, Identity, UpstreamTokens
from mintage.integrations import asgi
from mintage.settings.load import parse
from mintage.values import ClientId, RandomBytes

RECORDED: Final = Path(__file__).with_name("hot_paths.toml")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
MOST: Final = 1.1  # of what is recorded
NOW: Final = 1_800_000_000.0
ISSUER: Final = "http://127.0.0.1"
VERIFIER: Final = "v" * 43
REDIRECT_URI: Final = "https://app.example/callback"
WARM: Final = 20  # calls before anything is counted: caches are filled
COUNTED: Final = 5
REVOCATIONS: Final = 50  # logins that are there to be revoked
MACHINE: Final = 300  # calls that valgrind counts
MESSAGES: Final = 8  # that a client sends in turn: each has another length
SETTINGS: Final[dict[str, Any]] = {
    "issuer": ISSUER,
    "store": "memory://",
    "secret": "env:SECRET",
    "upstream": {"issuer": "https://idp.example", "client_id": "mintage"},
    "gateway": {"forward_auth": "nginx"},
    "resource": [
        {"path": "/mcp", "backend": BACKEND, "scopes": ["tools"], "credential": "upstream"}
    ],
    # Counted, and never reached: one user and one login send everything here.
    "limits": {"requests_per_user": 100_000_000, "refreshes_per_login": 100_000_000},
}

OF_A_CLIENT: Final = {
    "user-agent": "node",
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2025-11-25",
    "mcp-session-id": "1868a90c-5a4f-4b8b-9d0c-3a7f2f6f0b1e",
    "accept-encoding": "gzip, deflate",
}
MIDDLEWARE: Final = "middleware"  # the login inside an application
INSIDE: Final = SETTINGS | {"resource": [{"path": "/mcp", "scopes": ["tools"]}]}

Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Cost:
    """*instructions* of Python's bytecode, and by how many bytes the memory grew at most."""

    instructions: int
    peak_bytes: int


class _Turn:
    """What waits for it lets all others work once. The steps of `asyncio.sleep` would count."""

    def __await__(self) -> Generator[None]:
        yield


class Login:
    """The user of all paths, at one running server."""

    def __init__(self, app: Mintage, running: Running, client_id: str, provider: Provider) -> None:
        self.client = _client_of(app)
        self._provider = provider
        self._waiting: deque[str] = deque()  # refresh tokens of logins to revoke
        self.client_id = client_id
        self.access_token = self.refresh_token = ""
        self._running = running

    async def redeem(self, code: str) -> None:
        await self._token(
            grant_type="authorization_code",
            code=code,
            code_verifier=VERIFIER,
            redirect_uri=REDIRECT_URI,
        )

    async def refresh(self) -> None:
        await self._token(grant_type="refresh_token", refresh_token=self.refresh_token)

    async def log_in(self) -> None:
        """All pages, the provider's answers, and the tokens."""
        code = await log_in(
            self.client,
            {
                "response_type": "code",
                "client_id": self.client_id,
                "redirect_uri": REDIRECT_URI,
                "state": "s" * 22,
                "code_challenge": s256(VERIFIER),
                "code_challenge_method": "S256",
                "resource": f"{ISSUER}/mcp",
                "scope": "tools",
            },
        )
        await self.redeem(code)

    async def prepare_revocations(self, count: int) -> None:
        mine = self.refresh_token
        for _ in range(count):
            await self.log_in()
            self._waiting.append(self.refresh_token)
        self.refresh_token = mine

    async def revoke(self) -> None:
        """It is over when the provider has been asked."""
        self._provider.revoked.clear()
        form = {"client_id": self.client_id, "token": self._waiting.popleft()}
        await self.client.ask(request("POST", "/revoke", FORM, encoded(form).encode()))
        await self._provider.revoked.wait()
        for _ in range(5):  # until its answer is read
            await _Turn()

    def form_of(self, form: dict[str, str]) -> bytes:
        return encoded(form | {"client_id": self.client_id}).encode()

    async def _token(self, **form: str) -> None:
        body = self.form_of(form)
        # Not by the standard library, whose steps would be counted: they are the client's.
        found = msgspec.json.decode(await self.client.ask(request("POST", "/token", FORM, body)))
        self.access_token, self.refresh_token = found["access_token"], found["refresh_token"]

    def paths(self) -> dict[str, Work]:
        """The hot paths by name."""
        [resource] = self._running.site.resources
        bearer, tokens, token = self._running.bearer, self._running.tokens, self.access_token
        authorization = {"authorization": f"Bearer {token}"}
        headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
        asked = {"x-original-method": "GET", "x-original-uri": "/mcp/x"}
        forwarded = request("GET", "/mcp/x", authorization)
        messages = itertools.cycle(_messages(token))
        judged = request("GET", "/verify", authorization | asked)

        async def verify() -> None:
            tokens.read_access(token, resource.identifier)

        async def check() -> None:
            await bearer.check(headers, resource, (), "GET", "/x")

        async def gateway() -> None:
            await self.client.ask(forwarded)

        async def gateway_post() -> None:
            await self.client.ask(next(messages))

        async def gateway_post_in_two_reads() -> None:
            await self.client.ask(*_apart(next(messages)))

        async def forward_auth() -> None:
            await self.client.ask(judged)

        return {
            "verify": verify,
            "bearer": check,
            "gateway": gateway,
            "gateway_post": gateway_post,
            "gateway_post_in_two_reads": gateway_post_in_two_reads,
            "forward_auth": forward_auth,
            "refresh": self.refresh,
            "login": self.log_in,
            "revocation": self.revoke,
        }


def _client_of(app: Mintage) -> Client:
    return Client(uvicorn_config(app, app.config, grace=1))


def _messages(token: str) -> list[bytes]:
    """POSTs of one MCP client, with bodies of some 1 KiB."""
    headers = OF_A_CLIENT | {"authorization": f"Bearer {token}"}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    found = []
    for number in range(MESSAGES):
        params = {"name": "search", "arguments": {"text": "x" * (920 + 7 * number)}}
        body = json.dumps(asked | {"params": params}).encode()
        found.append(request("POST", "/mcp/x", headers, body))
    return found


def _apart(message: bytes) -> tuple[bytes, bytes]:
    """Head and body, as httpx sends them, and with it each MCP client in Python."""
    head, end, body = message.partition(b"\r\n\r\n")
    return head + end, body


@asynccontextmanager
async def logged_in(*, to_revoke: int = REVOCATIONS) -> AsyncIterator[Login]:
    app = _app_of(SETTINGS)
    async with app.running() as running:
        login = await _login_at(app, running)
        await login.prepare_revocations(to_revoke)
        yield login
        login.client.close()


@asynccontextmanager
async def middleware() -> AsyncIterator[Work]:
    """A request to an ASGI application with the login around it: no server, and no framework."""
    app = _app_of(INSIDE)
    inside = asgi.Login.of(app)
    async with inside.lifespan():
        login = await _login_at(app, inside.running)
        sent = {"host": "127.0.0.1"} | OF_A_CLIENT
        sent |= {"authorization": f"Bearer {login.access_token}", "content-length": "2"}
        headers = [(name.encode(), value.encode()) for name, value in sent.items()]
        yield partial(_through, inside.middleware(_answering), headers)
        login.client.close()


async def _through(app: ASGIApp, headers: list[tuple[bytes, bytes]]) -> None:
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/mcp",
        "raw_path": b"/mcp", "root_path": "", "query_string": b"", "headers": [*headers],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    await app(scope, _received, _taken)


async def _answering(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def _received() -> Message:
    return {"type": "http.request", "body": b"{}", "more_body": False}


async def _taken(message: Message) -> None:
    if message.get("status", 200) != 200:
        raise RuntimeError(f"it was refused: {message}")


@asynccontextmanager
async def _ready(name: str, *, to_revoke: int = REVOCATIONS) -> AsyncIterator[Work]:
    """The path *name*, at what serves it."""
    if name == MIDDLEWARE:
        async with middleware() as work:
            yield work
    else:
        async with logged_in(to_revoke=to_revoke) as login:
            yield login.paths()[name]


def _app_of(settings: dict[str, Any]) -> Mintage:
    # The warning about logins in memory, which end with the process, says nothing here.
    logging.getLogger("mintage").setLevel(logging.ERROR)
    config = parse(settings, base=Path(tempfile.gettempdir()), environ={"SECRET": "x9" * 20})
    return Mintage(config, clock=lambda: NOW, steady=lambda: NOW, random_bytes=_not_random())


async def _login_at(app: Mintage, running: Running) -> Login:
    """The user, who has tokens."""
    provider = Provider("https://idp.example", "mintage", now=NOW)
    cast("Loop", asyncio.get_running_loop()).provider = provider
    login = Login(app, running, await _registered(app), provider)
    consent = Consent(
        client_id=ClientId(login.client_id),
        resource=f"{ISSUER}/mcp",
        scopes=("tools",),
        identity=Identity(
            issuer="https://idp.example",
            subject="alice",
            claims={"email": "alice@example.com", "email_verified": True},
        ),
        created_at=int(NOW),
    )
    code = await running.vault.create(
        consent,
        UpstreamTokens(access_token="u" * 500, issuer="https://idp.example"),
        code_challenge=s256(VERIFIER),
        redirect_uri=REDIRECT_URI,
    )
    await login.redeem(code)
    return login


def _not_random() -> RandomBytes:
    """The same bytes in each run: what has other bytes can be encoded in other ways."""
    numbers = itertools.count()

    def made(size: int) -> bytes:
        return hashlib.shake_256(str(next(numbers)).encode()).digest(size)

    return made


async def _registered(app: Mintage) -> str:
    metadata = {
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    }
    kind, body = {"content-type": "application/json"}, json.dumps(metadata).encode()
    client = _client_of(app)
    found = json.loads(await client.ask(request("POST", "/register", kind, body)))
    client.close()
    return str(found["client_id"])


async def _repeated(work: Work, times: int) -> None:
    for _ in range(times):
        await work()


async def counted(work: Work) -> Counter[Function]:
    """The bytecode instructions of `COUNTED` calls, by function."""
    counts: Counter[Function] = Counter()
    await _repeated(work, WARM)
    with counting_instructions(counts):
        await _repeated(work, COUNTED)
    return counts


async def _peak(work: Work) -> int:
    """The least of some: what is allocated for later does not count."""
    found = []
    for _ in range(COUNTED):
        await _repeated(work, 2)
        with measuring_peak() as peak:
            await work()
        found.append(peak.bytes)
    return min(found)


async def measure() -> dict[str, Cost]:
    """What one call of each path costs."""
    async with logged_in() as login:
        costs = {name: await _cost(work) for name, work in login.paths().items()}
    async with middleware() as work:
        return costs | {MIDDLEWARE: await _cost(work)}


async def _cost(work: Work) -> Cost:
    return Cost(round((await counted(work)).total() / COUNTED), await _peak(work))


def recorded() -> dict[str, dict[str, Cost]]:
    """By version of Python and by path."""
    found = tomllib.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return {
        version: {name: Cost(**cost) for name, cost in costs.items()}
        for version, costs in found.items()
    }


def record(costs: dict[str, Cost]) -> None:
    lines = [
        "# What the hot paths cost, by version of Python. Written by",
        "# `python -m benchmarks.hot_paths --record`; a test compares.",
    ]
    for version, named in sorted((recorded() | {PYTHON: costs}).items()):
        lines += ["", f'["{version}"]']
        lines += [
            f"{name} = {{ instructions = {cost.instructions}, peak_bytes = {cost.peak_bytes} }}"
            for name, cost in named.items()
        ]
    RECORDED.write_text("\n".join(lines) + "\n")


def grown(costs: dict[str, Cost], before: dict[str, Cost]) -> list[str]:
    """What is more than a tenth above *before*, in sentences."""
    found = []
    for name, cost in costs.items():
        for what in ("instructions", "peak_bytes"):
            now, then = getattr(cost, what), getattr(before[name], what)
            if now > then * MOST:
                found.append(f"{name}: {now} {what}, {now / then - 1:+.0%} (recorded: {then})")
    return found


def show(costs: dict[str, Cost]) -> None:
    before = recorded().get(PYTHON, {})
    print("| one call | bytecode instructions | recorded | peak bytes | recorded |")
    print("|---|---:|---:|---:|---:|")
    for name, cost in costs.items():
        was = before.get(name)
        print(
            f"| {name} | {cost.instructions:,} | {was.instructions if was else '–'} "
            f"| {cost.peak_bytes:,} | {was.peak_bytes if was else '–'} |"
        )


async def _profile(name: str) -> None:
    async with _ready(name) as work:
        counts = await counted(work)
    print(f"{name}: {counts.total() / COUNTED:,.0f} bytecode instructions")
    for (file, function), count in counts.most_common(80):
        short = re.sub(r".*/(?:src|site-packages|lib/python[^/]*)/", "", file)
        print(f"{count / COUNTED:8,.0f}  {short}: {function}")


async def _plain() -> None:
    """The same requests through the engine of the gateway alone, on uvicorn's own protocol."""
    proxy = PlainProxy(BACKEND)
    config = uvicorn.Config(
        proxy, http="httptools", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False,
    )  # fmt: skip
    client, token = Client(config), "t" * 340
    get = request("GET", "/mcp/x", {"authorization": f"Bearer {token}"})
    for name, sent in {"GET": [get], "POST": _messages(token)}.items():
        requests = itertools.cycle(sent)
        counts = await counted(lambda: client.ask(next(requests)))  # noqa: B023  (called here)
        print(f"{name} through a plain proxy: {counts.total() / COUNTED:,.0f} instructions")
    client.close()


async def _bare() -> None:
    """A bare Starlette, with the form of a refresh and as much JSON back."""
    async with logged_in(to_revoke=0) as login:
        form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
        sent = request("POST", bare_starlette.PATH, FORM, login.form_of(form))
    for kind in bare_starlette.ENDPOINTS:
        client = Client(bare_starlette.served(kind))
        counts = await counted(partial(client.ask, sent))
        print(f"POST to a bare Starlette, {kind}: {counts.total() / COUNTED:,.0f} instructions")
        client.close()


async def _work(name: str, times: int) -> None:
    async with _ready(name, to_revoke=WARM + MACHINE) as work:
        await _repeated(work, times)


def machine_instructions(name: str) -> float:
    """The processor's instructions of one call, counted by valgrind: repeats within a percent."""
    few, many = (_under_valgrind(name, times) for times in (WARM, WARM + MACHINE))
    return (many - few) / MACHINE


def _under_valgrind(name: str, times: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "benchmarks.hot_paths", "--work", name, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    [found] = re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)
    return int(found.replace(",", ""))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_paths")
    parser.add_argument("--record", action="store_true", help="write the counts down")
    parser.add_argument("--check", action="store_true", help="fail if a count has grown")
    parser.add_argument("--profile", metavar="PATH", help="show where the instructions are")
    parser.add_argument("--machine", nargs="*", metavar="PATH", help="count with valgrind")
    parser.add_argument("--plain", action="store_true", help="count what has no login")
    parser.add_argument("--work", nargs=2, metavar=("PATH", "TIMES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # it decides the order of sets
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        os.execve(  # noqa: S606
            sys.executable,
            [sys.executable, "-m", "benchmarks.hot_paths", *sys.argv[1:]],
            environment,
        )
    with asyncio.Runner(loop_factory=new_loop) as runner:
        if options.work:
            runner.run(_work(options.work[0], int(options.work[1])))
            return 0
        if options.profile:
            runner.run(_profile(options.profile))
            return 0
        if options.plain:
            runner.run(_plain())
            runner.run(_bare())
            return 0
        if options.machine is not None:
            for name in options.machine or ("gateway",):
                print(f"{name}: {machine_instructions(name):,.0f} instructions")
            return 0
        costs = runner.run(measure())
    show(costs)
    if options.record:
        record(costs)
    if options.check:
        return _verdict(costs)
    return 0


def _verdict(costs: dict[str, Cost]) -> int:
    before = recorded().get(PYTHON)
    if before is None:
        print(
            f"nothing is recorded for Python {PYTHON}: run python -m benchmarks.hot_paths --record"
        )
        return 0
    if not (found := grown(costs, before)):
        return 0
    print("\nA hot path costs a tenth more than what is recorded:", *found, sep="\n  ")
    print(
        "If that is worth it, run `python -m benchmarks.hot_paths --record`, commit\n"
        "benchmarks/hot_paths.toml with the change, and say in the commit why it costs more."
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
