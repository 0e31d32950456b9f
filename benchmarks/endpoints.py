"""The endpoints over HTTP: real sockets, one process a server, eight clients at once.

The clients live in this process, which does nothing else. In each round every server
does the same work in turn, so that a slow moment of the machine hits them all; medians count, and
medians of the ratios of the rounds.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop
from tests.support import node as node_packages
from tests.upstream.providers.running import provider_process

from benchmarks import granting
from benchmarks.aims import Aim, tell
from benchmarks.bench_client import BenchClient, Session, UnexpectedAnswer
from benchmarks.granting import Granting
from benchmarks.load import Answer, Connection, request
from benchmarks.peers import JSON_PATH, POST_PATH, PROTECTED
from benchmarks.start import cpu
from benchmarks.systems import mintage, provider
from benchmarks.timing import machine
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

CLIENTS: Final = 8
CROWDS: Final = (1, 8, 32, 128)  # clients at once, to see what a shared fsync brings
LONG, SHORT = 3600, 1  # lifetimes of upstream tokens: still fresh; over at each refresh

# (what, of which server, against what of which, at least): the aims of this benchmark
AIMS: Final = (
    ("code → token", "Mintage, SQLite", "code → token", "FastMCP, default", 25),
    ("refresh, upstream fresh", "Mintage, SQLite", "refresh", "FastMCP, default", 100),
    ("refresh, upstream renewed", "Mintage, SQLite", "refresh", "FastMCP, default", 40),
    ("refresh, upstream fresh", "Mintage, memory", "GET of JSON", "bare Starlette", 0.4),
    ("refresh, in turn with a POST", "Mintage, memory", "POST, in turn", "bare Starlette", 0.4),
)
IN_TURN: Final = 10  # short times of each in a round: the machine may change its speed meanwhile
SHORTLY: Final = 0.15  # seconds
REVOKED: Final = 3000  # a second, at least
LOGIN_MS: Final = 4  # of the server's CPU, at most


@dataclass(slots=True)
class Work:
    """One kind of request to one server: *next* makes the bytes and takes the answer."""

    next: Callable[[], bytes]
    status: int = 200
    seconds: float | None = 1.5  # None: until `next` has no more
    taken: Callable[[Answer], None] | None = None


@dataclass
class System:
    """A server under test, and what was measured of it: (requests/s, median ms) each time."""

    name: str
    bench_client: BenchClient
    prepared: int  # logins made for one round
    authorized: int = 200  # the status with which it answers at /authorize
    codes: deque[str] = field(default_factory=deque)
    used: deque[Session] = field(default_factory=deque)  # logged in, waiting to be revoked
    sessions: deque[Session] = field(default_factory=deque)  # those that live on
    figures: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    granting: Granting | None = None
    pid: int = 0  # of its process, if the CPU time of a login is wanted
    login_seconds: list[float] = field(default_factory=list)  # of CPU, one figure for each round

    async def time(self, what: str, work: Work, *, clients: int = CLIENTS) -> None:
        connections = [await Connection.open(self.bench_client.port) for _ in range(clients)]
        milliseconds: list[float] = []
        begin = time.perf_counter()
        until = begin + (work.seconds or 600)
        await asyncio.gather(
            *(_client(connection, work, until, milliseconds) for connection in connections)
        )
        took = time.perf_counter() - begin
        for connection in connections:
            connection.close()
        figure = (len(milliseconds) / took, statistics.median(milliseconds))
        self.figures.setdefault(what, []).append(figure)

    def rate(self, what: str) -> float:
        return statistics.median(rate for rate, _ in self.figures[what])

    def milliseconds(self, what: str) -> float:
        return statistics.median(median for _, median in self.figures[what])

    @property
    def login_ms(self) -> float:
        """Milliseconds of the server's CPU for one login, up to its code."""
        return statistics.median(self.login_seconds) * 1000


async def _client(
    connection: Connection, work: Work, until: float, milliseconds: list[float]
) -> None:
    """One of the clients: sends, waits, sends again."""
    while time.perf_counter() < until:
        try:
            data = work.next()
        except IndexError:
            return
        begin = time.perf_counter()
        answer = await connection.send(data)
        milliseconds.append((time.perf_counter() - begin) * 1000)
        if answer.status != work.status:
            raise UnexpectedAnswer(answer, data[:40].decode())
        if work.taken is not None:
            work.taken(answer)


async def log_in(system: System, count: int) -> None:
    """*count* codes, each from a login of its own."""
    todo = iter(range(count))

    async def some(todo: Iterator[int]) -> None:
        bench_client = BenchClient(
            **{name: getattr(system.bench_client, name) for name in _CLIENT_FIELDS}
        )
        for _ in todo:
            system.codes.append(await bench_client.log_in())
        bench_client.close()

    await asyncio.gather(*(some(todo) for _ in range(CLIENTS)))


_CLIENT_FIELDS: Final = ("issuer", "port", "resource", "client_id", "protected")


def redeeming(system: System) -> Work:
    def taken(answer: Answer) -> None:
        body = answer.json()
        system.used.append(Session(body["access_token"], body["refresh_token"]))

    bench_client, codes = system.bench_client, system.codes
    return Work(lambda: bench_client.redeeming(codes.popleft()), seconds=None, taken=taken)


def refreshing(system: System, *, seconds: float = 1.5) -> Work:
    """Each session in its turn, with the refresh token that it has by then."""

    def taken(answer: Answer) -> None:
        body = answer.json()
        system.sessions.append(Session(body["access_token"], body["refresh_token"]))

    bench_client, sessions = system.bench_client, system.sessions
    return Work(lambda: bench_client.refreshing(sessions.popleft()), seconds=seconds, taken=taken)


def revoking(system: System) -> Work:
    bench_client, used = system.bench_client, system.used
    return Work(lambda: bench_client.revoking(used.popleft()), seconds=None)


def calling(system: System) -> Work:
    data = system.bench_client.calling(system.sessions[0])
    return Work(lambda: data)


async def measure(system: System, *, fresh: bool) -> None:
    """One round. *fresh*: whether the upstream's tokens outlive it."""
    bench_client = system.bench_client
    if not fresh:
        await system.time("refresh, upstream renewed", refreshing(system))
        return
    register, authorize = bench_client.registering(), bench_client.authorizing()
    await system.time("register", Work(lambda: register, status=201))
    await system.time("authorize", Work(lambda: authorize, status=system.authorized))
    before = cpu(system.pid) if system.pid else 0.0
    await log_in(system, system.prepared)
    if system.pid:
        system.login_seconds.append((cpu(system.pid) - before) / system.prepared)
    await system.time("code → token", redeeming(system))
    while len(system.sessions) < CLIENTS:
        system.sessions.append(system.used.popleft())
    refresh = "refresh, upstream fresh" if system.name.startswith("Mintage") else "refresh"
    await system.time(refresh, refreshing(system))
    if bench_client.protected:
        await system.time("authenticated request", calling(system))
    await system.time("revoke", revoking(system))
    if system.granting is not None:
        await measure_granting(system, system.granting)


async def measure_granting(system: System, granting: Granting) -> None:
    """One round of the grant types beside a login."""
    await granting.prepare()
    for what, work in GRANTING.items():
        await system.time(what, work(granting))


GRANTING: Final[dict[str, Callable[[Granting], Work]]] = {
    "client credentials": lambda one: Work(one.for_itself),
    "ID-JAG": lambda one: Work(one.for_a_user),
    "workload's assertion": lambda one: Work(one.for_a_workload),
    "token exchange": lambda one: Work(one.exchanging),
    "device: poll": lambda one: Work(lambda: one.polling(one.polled), status=400, seconds=None),
    "device: tokens": lambda one: Work(lambda: one.polling(one.approved), seconds=None),
    "push (PAR)": lambda one: Work(one.pushing, status=201, taken=one.has_pushed),
    "authorize, pushed": lambda one: Work(one.authorizing),
    "refresh, bound (DPoP)": lambda one: Work(one.refreshing_bound, taken=one.has_refreshed),
}


async def measure_bare(system: System, refresh: bytes) -> None:
    """The floor: what a GET and a POST like *refresh* cost where nothing is done."""
    plain = request("GET", JSON_PATH, system.bench_client.host)
    same = refresh.replace(b"/token", POST_PATH.encode(), 1)
    await system.time("GET of JSON", Work(lambda: plain))
    await system.time("POST, JSON back", Work(lambda: same))


async def measure_in_turn(system: System, bare: System, refresh: bytes) -> None:
    """A refresh and a bare POST like it, each for a moment, again and again."""
    same = refresh.replace(b"/token", POST_PATH.encode(), 1)
    for _ in range(IN_TURN):
        await bare.time("POST, in turn", Work(lambda: same, seconds=SHORTLY))
        work = refreshing(system, seconds=SHORTLY)
        await system.time("refresh, in turn with a POST", work)


async def measure_floor(system: System, revocation: bytes) -> None:
    """What a revocation costs at least: its body, a durable write, and a word to the provider."""
    await system.time("revoke", Work(lambda: revocation))


async def renewed(system: System, count: int) -> None:
    """So many sessions that each one's upstream token is over when its turn comes."""
    await log_in(system, count)
    while system.codes:
        system.sessions.append(await system.bench_client.redeem(system.codes.popleft()))


@asynccontextmanager
async def mintage_system(
    name: str, directory: Path, upstream: str, store: str, prepared: int
) -> AsyncIterator[System]:
    """*prepared*: 0 for a server that is only asked to renew."""
    key = granting.Key()
    servers = mintage(directory, upstream, store, more=granting.settings(directory, key))
    async with servers.serving() as child:
        bench_client = servers.bench_client()
        await bench_client.register()
        system = System(name, bench_client, prepared, pid=child.pid)
        if prepared:
            system.granting = await granting.opened(bench_client, key)
        yield system
        bench_client.close()


@asynccontextmanager
async def peer_system(
    name: str, peer: str, directory: Path, upstream: str, prepared: int
) -> AsyncIterator[System]:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with process(
        "benchmarks.peers", peer, str(port), upstream, str(directory),
        ready=f"{issuer}{JSON_PATH}", log=directory / f"{peer}.log",
    ):  # fmt: skip
        bench_client = BenchClient(issuer, port, f"{issuer}/mcp", protected=PROTECTED)
        yield System(name, bench_client, prepared, authorized=302)
        bench_client.close()


@asynccontextmanager
async def node_system(prepared: int) -> AsyncIterator[System]:
    """node-oidc-provider: a server of its own users, which asks no other provider."""
    node_packages.install()
    port = free_port()
    script = Path(__file__).with_name("node_oidc_provider.mjs")
    command = str(node_packages.node()), str(script), str(port), str(node_packages.HERE)
    async with provider_process(*command, port=port) as issuer:
        bench_client = BenchClient(issuer, port, f"{issuer}/mcp", protected="")
        yield System("node-oidc-provider, memory", bench_client, prepared, authorized=303)
        bench_client.close()


async def run(rounds: int, directory: Path) -> list[System]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        long = await enter(provider(directory, lifetime=LONG))
        short = await enter(provider(directory, lifetime=SHORT))
        sqlite = f"sqlite://{directory}/fresh/mintage.db"
        on_disk = await enter(
            mintage_system("Mintage, SQLite", directory / "fresh", long, sqlite, 400)
        )
        in_memory = await enter(
            mintage_system("Mintage, memory", directory / "memory", long, "memory://", 400)
        )
        sqlite = f"sqlite://{directory}/renewed/mintage.db"
        renewing = await enter(
            mintage_system("Mintage, SQLite", directory / "renewed", short, sqlite, 0)
        )
        bare = await enter(peer_system("bare Starlette", "starlette", directory, long, 0))
        floor = await enter(peer_system("a revocation's floor", "floor", directory, long, 0))
        peers = [
            await enter(peer_system("FastMCP, default", "fastmcp-disk", directory, long, 40)),
            await enter(peer_system("FastMCP, memory", "fastmcp-memory", directory, long, 80)),
            await enter(node_system(400)),
        ]
        for peer in peers:
            await peer.bench_client.register()
        await renewed(renewing, 1500)
        await renewed(on_disk, max(CROWDS))
        for _ in range(rounds):
            await measure_bare(bare, on_disk.bench_client.refreshing(on_disk.sessions[0]))
            await measure(renewing, fresh=False)
            for system in (on_disk, in_memory, *peers):
                await measure(system, fresh=True)
            refresh = in_memory.bench_client.refreshing(in_memory.sessions[0])
            await measure_in_turn(in_memory, bare, refresh)
            await measure_floor(floor, on_disk.bench_client.revoking(on_disk.sessions[0]))
            for clients in CROWDS:
                what = f"refresh, {clients} at once"
                await on_disk.time(what, refreshing(on_disk), clients=clients)
        on_disk.figures |= renewing.figures
        return [on_disk, in_memory, *peers, bare, floor]


def report(systems: list[System]) -> None:
    kinds = dict.fromkeys(what for system in systems for what in system.figures)
    kinds = {what: None for what in kinds if "at once" not in what and "in turn" not in what}
    print("| requests/s (median ms) | " + " | ".join(system.name for system in systems) + " |")
    print("|---" + "|---:" * len(systems) + "|")
    for what in kinds:
        cells = (
            f"{system.rate(what):,.0f} ({system.milliseconds(what):.1f})"
            if what in system.figures
            else ""
            for system in systems
        )
        print(f"| {what} | " + " | ".join(cells) + " |")
    print("\n| | measured | aim |\n|---|---:|---:|")
    by_name = {system.name: system for system in systems}
    for what, name, other, peer, aim in AIMS:
        ours, theirs = by_name[name].figures[what], by_name[peer].figures[other]
        pairs = zip(ours, theirs, strict=True)
        ratio = statistics.median(rate / their_rate for (rate, _), (their_rate, _) in pairs)
        compared = f"{what}, {name}, against {other} of {peer}"
        print(f"| {compared} | {ratio:.2f} × | {aim} × |")
        tell(Aim(compared, ratio, aim))
    revoked, login = systems[0].rate("revoke"), systems[0].login_ms
    print(f"| revoke, {systems[0].name} | {revoked:,.0f}/s | {REVOKED:,}/s |")
    print(f"| a login, CPU of the server | {login:.1f} ms | {LOGIN_MS} ms |")
    tell(
        Aim(f"revoke, {systems[0].name}", revoked, REVOKED, "/s"),
        Aim("a login, CPU of the server", login, LOGIN_MS, "ms", at_most=True),
    )
    report_costs(systems)
    print("\n| clients at once | " + " | ".join(map(str, CROWDS)) + " |")
    print("|---" + "|---:" * len(CROWDS) + "|")
    rates = (f"{systems[0].rate(f'refresh, {clients} at once'):,.0f}" for clients in CROWDS)
    print("| durable refreshes/s | " + " | ".join(rates) + " |")


def report_costs(systems: list[System]) -> None:
    """What each request costs, as a multiple of a plain refresh of the same server."""
    refresh = "refresh, upstream fresh"
    with_all = [system for system in systems if system.granting is not None]
    print("\n| in refreshes | " + " | ".join(system.name for system in with_all) + " |")
    print("|---" + "|---:" * len(with_all) + "|")
    for what in GRANTING:
        costs = (f"{system.rate(refresh) / system.rate(what):.2f}" for system in with_all)
        print(f"| {what} | " + " | ".join(costs) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpoints")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        cpu, wall = time.process_time(), time.perf_counter()
        systems = runner.run(run(options.rounds, Path(directory)))
        busy = (time.process_time() - cpu) / (time.perf_counter() - wall)
    print(f"{CLIENTS} clients, {options.rounds} rounds ({machine()}); ")
    print(f"the clients' process was busy for {busy:.0%} of the time\n")
    report(systems)


if __name__ == "__main__":
    main()
