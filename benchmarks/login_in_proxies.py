"""What the login costs at nginx, HAProxy, Caddy and Envoy: each against itself without any login.

::

    python -m benchmarks.login_in_proxies [nginx|haproxy|caddy|envoy …] [--rounds 7] [--seconds 2]
    python -m benchmarks.login_in_proxies [nginx|haproxy|envoy …] --instructions   with valgrind

All are run with the manual's files, one process each, in front of one nginx that answers with a
kilobyte. *alone*: no question. *floor*: as *asking*, but another nginx says yes at once: what the
proxy's own half of a question costs. *floor in Python*: a process of Python says yes at once, and
does not even read the question. *asking*: `/verify` for each request, which nginx asks at a Unix
socket, and the others at a port. *kept*: nginx keeps answers. *kept by Lua*: a script in nginx
keeps them. *verifying*: the proxy verifies tokens itself. *verifying by Lua*: nginx does, in a
script that remembers tokens. The floors of the last four have the same lines with nothing to do:
nginx's answers are 204 (of njs, where it verifies, and of a script that is not run), HAProxy knows
each token, and Envoy's filters return at once. In each round everybody gets a turn, right after one
of *alone*, and a share is the median of the ratios of these pairs: the machine changes its speed
within seconds. wrk sends the requests where it is installed; our own clients
take more of the machine than nginx does. CPU is what the proxy and Mintage took for one request: it
says more than the rate does on a machine that has other work. The instructions of the proxy's
process, which valgrind counts, do not depend on other work; but a proxy is slow under valgrind, so
more of its answers expire: *verifying* with nginx counts some of those.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import uvloop
from tests.support import proxies, verifying_proxies
from tests.support.servers import children

from benchmarks.aims import Aim, tell
from benchmarks.bench_client import BenchClient
from benchmarks.endpoints import CLIENTS, LONG, System, Work
from benchmarks.forward_auth import SMALL, backend, nginx
from benchmarks.load import request
from benchmarks.systems import MintageServers, mintage, provider
from benchmarks.timing import machine
from benchmarks.wrk import by_wrk
from mintage.cli.verify_files import Files
from mintage.demo.stage import process
from mintage.testing.nanoidp import free_port

KINDS: Final = ("nginx", "haproxy", "caddy", "envoy")
AIMS: Final = {
    "nginx asking": 0.55,
    "nginx kept": 0.85,
    "nginx kept by Lua": 0.85,
    "nginx verifying": 0.9,
    "nginx verifying by Lua": 0.9,
    "haproxy verifying": 0.9,
    "envoy verifying": 0.9,
}
WHAT: Final = "a small request"
PATH: Final = "/mcp"
WARM: Final = 1000  # requests before valgrind's count: LuaJIT compiles in them
COUNTED: Final = 300  # requests in it
_QUESTION: Final = r"(location = /_mintage/verify \{\n        internal;).*?\n    \}"
# What is changed in which file, so that it has nothing to do.
_FLOORS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "nginx kept floor": {"nginx.conf": (_QUESTION, r"\1 return 204; }")},
    "nginx kept by Lua floor": {
        "nginx.conf": (r"set_by_lua_block (\$mintage_unknown) [^\n]*", r'set \1 "";'),
    },
    "nginx verifying floor": {
        "nginx.conf": (_QUESTION, r"\1 js_content verify.answer; }"),
        "verify.js": (r".*", "export default { answer: (r) => r.return(204) };"),
    },
    "nginx verifying by Lua floor": {
        "nginx.conf": (r"access_by_lua_block [^\n]*", "access_by_lua_block { }"),
    },
    "haproxy verifying floor": {
        "haproxy.cfg": (
            r"req\.fhdr\(authorization\),lua\.judged",
            'str("alice tools ")',
        ),
    },
    "envoy verifying floor": {
        "judge.lua": (r".*", "function envoy_on_request(handle) end"),
        "envoy.json": (r'"rules": \[.*?(\}\}, \{"name": "judge")', r'"rules": []\1'),
    },
}
_NGINX: Final = """
server {{
    listen 127.0.0.1:{listen};
    location / {{
        proxy_pass http://tools;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
    }}
}}
upstream tools {{ server 127.0.0.1:{tools}; keepalive 32; }}
"""
_HAPROXY: Final = """\
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend public
    bind 127.0.0.1:{listen}
    default_backend tools
backend tools
    server tools 127.0.0.1:{tools}
"""
_CADDY: Final = """\
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{listen} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{tools}
}}
"""


@dataclass(slots=True)
class Subject:
    """A proxy in one of its modes. *cpu*: microseconds of one request, in each turn.

    *pairs*: its rate, and its CPU the other way round, in units of those of the proxy alone, in
    each round.
    """

    name: str
    system: System
    pids: list[int]
    cpu: list[float] = field(default_factory=list)
    pairs: list[tuple[float, float]] = field(default_factory=list)

    async def turn_after(self, alone: "Subject", token: str, seconds: int) -> None:
        await alone.turn(token, seconds)
        await self.turn(token, seconds)
        rate, rate_alone = (each.system.figures[WHAT][-1][0] for each in (self, alone))
        self.pairs.append((rate / rate_alone, alone.cpu[-1] / self.cpu[-1]))

    async def turn(self, token: str, seconds: int) -> None:
        wrk, before, begin = shutil.which("wrk"), self._cpu(), time.perf_counter()
        if wrk is not None:
            figure = await by_wrk(
                wrk,
                f"http://127.0.0.1:{self.system.bench_client.port}{PATH}",
                _headers(token),
                clients=CLIENTS,
                seconds=seconds,
            )
            self.system.figures.setdefault(WHAT, []).append(figure)
        else:
            data = request("GET", PATH, self.system.bench_client.host, _headers(token))
            await self.system.time(WHAT, Work(lambda: data, seconds=seconds))
        requests = self.system.figures[WHAT][-1][0] * (time.perf_counter() - begin)
        self.cpu.append((self._cpu() - before) / requests * 1e6)

    def share(self) -> tuple[float, float]:
        """Of the rate of the proxy alone, and how much of this one's CPU that one takes."""
        rates, cpu = zip(*self.pairs, strict=True) if self.pairs else ((1.0,), (1.0,))
        return statistics.median(rates), statistics.median(cpu)

    def _cpu(self) -> float:
        return sum(map(cpu_seconds, self.pids))


def _headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def cpu_seconds(pid: int) -> float:
    """What all threads of the process took, to the nanosecond: ticks are too coarse here."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files) / 1e9


def modes(kind: str) -> tuple[str, ...]:
    floors: Mapping[str, tuple[str, ...]] = {
        "nginx": ("floor", "floor in Python"),
        "haproxy": (),  # its script wants each of Mintage's headers
    }
    floor = floors.get(kind, ("floor",))
    kept = ("kept floor", "kept", "kept by Lua floor", "kept by Lua") if kind == "nginx" else ()
    verifies = kind in verifying_proxies.COMMANDS
    verifying = ("verifying floor", "verifying") if verifies else ()
    by_lua = ("verifying by Lua floor", "verifying by Lua") if kind == "nginx" else ()
    return ("alone", *floor, "asking", *kept, *verifying, *by_lua)


def command(
    kind: str, mode: str, directory: Path, *, listen: int, mintage: int | Path, tools: int
) -> list[str]:
    """The command line of the proxy; its files are in *directory*."""
    if mode == "alone":
        found = _alone(kind, directory, listen=listen, tools=tools)
    elif mode.startswith("verifying"):
        assert isinstance(mintage, int)
        issuer = verifying_proxies.Issuer(mintage, keys=[])
        way = "nginx with Lua" if mode.startswith("verifying by Lua") else kind
        found = verifying_proxies.COMMANDS[way](
            directory, listen=listen, issuer=issuer, tools=tools
        )
    else:
        asks: dict[str, Callable[..., list[str]]] = {
            "nginx": partial(proxies.nginx_command, keeper=_keeper(mode)),
            "haproxy": proxies.haproxy_command,
            "caddy": proxies.caddy_command,
            "envoy": proxies.envoy_command,
        }
        found = asks[kind](directory, listen=listen, mintage=mintage, tools=tools)
    for name, old, new in (
        ("nginx.conf", "access_log off;", "access_log off; keepalive_requests 1000000000;"),
        ("haproxy.cfg", "global\n", "global\n    nbthread 1\n"),
    ):
        file = directory / name
        if file.exists() and new not in file.read_text():
            file.write_text(file.read_text().replace(old, new, 1))
    for name, (pattern, text) in _FLOORS.get(f"{kind} {mode}", {}).items():
        file = directory / name
        changed, times = re.subn(pattern, text, file.read_text(), count=1, flags=re.DOTALL)
        assert times, pattern
        file.write_text(changed)
    return found


def _keeper(mode: str) -> proxies.Keeper | None:
    if mode.startswith("kept by Lua"):
        return "lua"
    return "proxy_cache" if mode.startswith("kept") else None


def _alone(kind: str, directory: Path, *, listen: int, tools: int) -> list[str]:
    if kind == "envoy":
        found = proxies.envoy_command(directory, listen=listen, mintage=tools, tools=tools)
        verifying_proxies.change_filters(directory, [])
        return found
    text, name = {
        "nginx": (_NGINX, "nginx.conf"),
        "haproxy": (_HAPROXY, "haproxy.cfg"),
        "caddy": (_CADDY, "Caddyfile"),
    }[kind]
    file, text = directory / name, text.format(listen=listen, tools=tools)
    if kind == "nginx":
        text = proxies.framed(directory, text)
    file.write_text(text)
    program = proxies.program(kind)
    return {
        "nginx": [program, "-p", str(directory), "-c", str(file)],
        "haproxy": [program, "-db", "-f", str(file)],
        "caddy": [program, "run", "--adapter", "caddyfile", "--config", str(file)],
    }[kind]


def _configured(servers: MintageServers, kind: str, upstream: str) -> None:
    """As in the manual: another proxy asks, or verifies tokens by public keys."""
    text = servers.file.read_text(encoding="utf-8")
    text = text.replace(f'backend    = "{upstream}/backend"\n', "")
    text = text.replace('credential = "upstream"', 'credential = "identity"')
    key = servers.file.with_name("key.pem")
    key.write_bytes(verifying_proxies.es256_pem())
    key.chmod(0o600)
    text += f'[gateway]\nforward_auth = "{kind}"\n[status_list]\n'
    servers.file.write_text(
        text + '[tokens]\nsigning_key = "file:key.pem"\naccess_token_lifetime = 86400\n',
        encoding="utf-8",
    )


@dataclass(slots=True, frozen=True)
class Around:
    """What is around a proxy. *pid* is Mintage's; *token* is what all requests have."""

    kind: str
    directory: Path
    servers: MintageServers
    pid: int
    tools: int
    says_yes: int | Path
    python: Path  # the socket of a process of Python that says yes
    token: str
    socket: Path | None

    @asynccontextmanager
    async def proxy(self, mode: str, *wrapper: str) -> AsyncIterator[tuple[int, int, Path]]:
        """Its port, process and log, until the block ends. *wrapper*: what runs its command."""
        home, listen = self.directory / mode.replace(" ", "-"), free_port()
        home.mkdir(exist_ok=True)
        async with AsyncExitStack() as stack:
            files = Files(directory=home, issuer=self.servers.issuer)
            if mode.startswith("verifying"):
                await files.renew(time.time())
                keeper = asyncio.create_task(_keep(files))
                stack.callback(keeper.cancel)
            asked: int | Path = self.servers.ports[0]
            if mode.startswith("floor"):
                asked = self.python if mode == "floor in Python" else self.says_yes
            elif self.socket is not None and not mode.startswith("verifying"):
                asked = self.socket
            line = command(self.kind, mode, home, listen=listen, mintage=asked, tools=self.tools)
            log = home / "log"
            pid = await stack.enter_async_context(
                proxies.running(*wrapper, *line, port=listen, log=log, home=home)
            )
            if mode.startswith("verifying") and self.kind == "haproxy":
                files.haproxy = home / "h.sock"
            yield listen, pid, log


@asynccontextmanager
async def around(kind: str, directory: Path) -> AsyncIterator[Around]:
    directory.mkdir()  # noqa: ASYNC240  (before anything is measured)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(provider(directory, lifetime=LONG))
        servers = mintage(directory / "mintage", upstream, "memory://")
        _configured(servers, kind, upstream)
        socket = directory / "mintage.sock" if kind == "nginx" else None
        if socket is None:
            serving = await stack.enter_async_context(servers.serving())
        else:
            serving = await stack.enter_async_context(_at_socket(servers, socket))
        tools = free_port()
        await stack.enter_async_context(backend("nginx", directory, tools))
        port = free_port()
        says_yes = directory / "yes.sock" if kind == "nginx" else port
        also = f"listen unix:{says_yes};" if kind == "nginx" else ""
        yes = f"server {{ listen 127.0.0.1:{port}; {also} return 200; }}"
        await stack.enter_async_context(nginx(directory / "yes", yes, port=port))
        python = await stack.enter_async_context(_yes_in_python(directory))
        bench_client = servers.bench_client()
        await bench_client.register()
        session = await bench_client.redeem(await bench_client.log_in())
        bench_client.close()
        token = session.access_token
        yield Around(kind, directory, servers, serving.pid, tools, says_yes, python, token, socket)


@asynccontextmanager
async def _yes_in_python(directory: Path) -> AsyncIterator[Path]:
    path, port = directory / "python.sock", free_port()
    line = [sys.executable, "-m", "benchmarks.yes_in_python", str(path), str(port)]
    async with proxies.running(*line, port=port, log=directory / "python.log"):
        yield path


@asynccontextmanager
async def _at_socket(servers: MintageServers, path: Path) -> AsyncIterator[Process]:
    """Mintage at the Unix socket *path*, where nginx asks. Its port leads there too."""
    port = servers.ports[0]
    passed = f"proxy_pass http://unix:{path}; proxy_set_header Host $http_host;"
    door = f"server {{ listen 127.0.0.1:{port}; location / {{ {passed} }} }}"
    home = path.with_name("door")
    home.mkdir()
    file = home / "nginx.conf"
    file.write_text(proxies.framed(home, door))
    line = [proxies.program("nginx"), "-p", str(home), "-c", str(file)]
    async with (
        proxies.running(*line, port=port, log=home / "log"),
        process(
            "mintage", "serve", "--config", str(servers.file), "--unix-socket", str(path),
            ready=f"http://127.0.0.1:{port}/healthz",
            log=servers.file.with_name("serve.log"),
        ) as serving,
    ):  # fmt: skip
        async with asyncio.timeout(30):
            while not path.exists():  # noqa: ASYNC110, ASYNC240  (before anything is measured)
                await asyncio.sleep(0.05)
        yield serving


@asynccontextmanager
async def subjects(kind: str, directory: Path) -> AsyncIterator[tuple[list[Subject], str]]:
    """The proxy in each mode, and the token that all requests have."""
    async with around(kind, directory) as place, AsyncExitStack() as stack:
        found = []
        for mode in modes(kind):
            listen, pid, _ = await stack.enter_async_context(place.proxy(mode))
            client = BenchClient(f"http://127.0.0.1:{listen}", listen, "")
            system = System(f"{kind} {mode}", client, 0)
            pids = [pid, *children(pid)]
            if mode in ("asking", "kept", "kept by Lua", "verifying", "verifying by Lua"):
                pids.append(place.pid)
            found.append(Subject(f"{kind} {mode}", system, pids))
        yield found, place.token


async def instructions(kind: str, directory: Path) -> dict[str, float]:
    """The processor's instructions of the proxy for one request, in each mode."""
    found = {}
    async with around(kind, directory) as place:
        for mode in modes(kind):
            few, many = [await _counted(place, mode, of) for of in (WARM, WARM + COUNTED)]
            found[mode] = (many - few) / COUNTED
    return found


async def _counted(place: Around, mode: str, requests: int) -> int:
    wrapper = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    async with place.proxy(mode, *wrapper) as (listen, _, log):
        data = request("GET", PATH, f"127.0.0.1:{listen}", _headers(place.token))
        reader, writer = await asyncio.open_connection("127.0.0.1", listen)
        for _ in range(requests):
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.decode())
            await reader.readexactly(SMALL)
        writer.close()
    counted = re.search(r"I +refs: +([\d,]+)", log.read_text())
    if counted is None:
        raise RuntimeError(log.read_text())
    return int(counted[1].replace(",", ""))


def shares(found: Mapping[str, float], kind: str) -> list[str]:
    alone = found["alone"]
    return [
        f"| {kind} {mode} | {count:,.0f} | {count / alone:.2f} × |" for mode, count in found.items()
    ]


async def _keep(files: Files) -> None:
    """What ``mintage verify-files`` does, in this process."""
    while True:
        await asyncio.sleep(2)
        await files.renew(time.time())


async def measure(kind: str, directory: Path, *, rounds: int, seconds: int) -> list[Subject]:
    async with subjects(kind, directory) as (found, token):
        alone, *others = found
        for _ in range(rounds):
            for subject in others:
                await subject.turn_after(alone, token, seconds)
        return found


def rows(found: list[Subject]) -> list[str]:
    alone = found[0]
    of_alone = {each.name: each.share() for each in found}
    table = []
    for each in found:
        rate, cpu = each.system.rate(WHAT), statistics.median(each.cpu)
        share, of_cpu = of_alone[each.name]
        aim = ""
        if each.name in AIMS:
            floor = of_alone.get(_floor_of(each.name))
            bound = "" if floor is None else f"{floor[0]:.0%} with a login that costs nothing"
            told = Aim(f"{each.name}, of {alone.name}", share, AIMS[each.name], "%", bound=bound)
            tell(told)
            aim = f"{told.aim:.0%}: {'reached' if told.reached else 'missed'}"
        table.append(
            f"| {each.name} | {rate:,.0f} ({each.system.milliseconds(WHAT):.2f}) | {share:.0%} "
            f"| {aim} | {cpu:.0f} | {of_cpu:.0%} |"
        )
    return table


def _floor_of(name: str) -> str:
    return f"{name.removesuffix(' asking')} floor"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.login_in_proxies")
    parser.add_argument("kinds", nargs="*", help=" ".join(KINDS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of each turn")
    parser.add_argument("--instructions", action="store_true", help="count them with valgrind")
    options = parser.parse_args()
    if options.instructions:
        _count(options.kinds or ("nginx", "haproxy", "envoy"))
    else:
        _time(options.kinds or KINDS, options.rounds, options.seconds)


def _time(kinds: Sequence[str], rounds: int, seconds: int) -> None:
    load = "of wrk" if shutil.which("wrk") else "of our own"
    print(f"{CLIENTS} clients {load}, {rounds} rounds, {SMALL} bytes ({machine()})\n")
    print("| | /s (median ms) | share of alone | aim | CPU of proxy and Mintage, µs | of alone |")
    print("|---" + "|---:" * 5 + "|", flush=True)
    for kind in kinds:
        with (
            tempfile.TemporaryDirectory(dir=_memory()) as directory,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            work = measure(kind, Path(directory) / kind, rounds=rounds, seconds=seconds)
            try:
                print("\n".join(rows(runner.run(work))), flush=True)
            except pytest.skip.Exception as missing:
                print(f"| {kind} | {missing} | | | | |", flush=True)


def _count(kinds: Sequence[str]) -> None:
    print(f"{COUNTED} requests on one connection, {SMALL} bytes\n")
    print("| | instructions of the proxy | of alone |\n|---|---:|---:|", flush=True)
    for kind in kinds:
        with (
            tempfile.TemporaryDirectory(dir=_memory()) as directory,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            found = runner.run(instructions(kind, Path(directory) / kind))
            print("\n".join(shares(found, kind)), flush=True)


def _memory() -> str | None:
    """A tmpfs, where the manual puts nginx's kept answers. None: there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


if __name__ == "__main__":
    main()
