"""The reading lab: each odd request by every way, and what each backend saw of it.

A way is a front (or none), a side of Mintage (its gateway, the question of another proxy, the login
inside an application) and a backend. See ``docs/testing.md``.
"""

import asyncio
import json
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mintage.app import Mintage
from mintage.settings.load import load
from tests.seams.connections import Line
from tests.seams.invariant import Sent, Side, faults, folded
from tests.seams.programs import (
    BACKENDS,
    INSIDE,
    PROXIES,
    SPEAKING,
    Programs,
    backend_command,
    free_port,
    inside_command,
    proxy_command,
)
from tests.seams.requests import USERS, Odd
from tests.support import proxies as manual
from tests.support.raw_backend import token_for
from tests.support.world import SECRET

ENVIRON: Final = {"MINTAGE_SECRET": SECRET, "UPSTREAM_SECRET": "of the lab"}
_NAMES: Final = ("backend", "admin", "files", "mcp")
ASKED: Final = "/mcp"  # where the manual's configurations have their server
_NUMBER: Final = re.compile(r"lab=(\w+)")
_MANUAL: Final[dict[str, Callable[..., list[str]]]] = {
    "nginx": manual.nginx_command,
    "haproxy": manual.haproxy_command,
    "caddy": manual.caddy_command,
}
_HEAD: Final = """\
issuer = "http://127.0.0.1:9"
store = "sqlite:///{at}/lab.db"
secret = "env:MINTAGE_SECRET"
[upstream]
issuer = "http://127.0.0.1:9"
client_id = "mintage"
client_secret = "env:UPSTREAM_SECRET"
[gateway]
{gateway}
[server]
max_connections_per_address = 8192
"""
_RESOURCES: Final = """\
[[resource]]
path = "{at}"
scopes = ["tools"]
optional_scopes = ["more"]
credential = "identity"
{backend}
rule = [{{path = "/secret", scopes = ["more"]}}, {{methods = ["DELETE"], scopes = ["more"]}}]
[[resource]]
path = "{at}/admin"
scopes = ["tools"]
optional_scopes = ["more"]
credential = "identity"
{admin}
rule = [{{methods = ["DELETE"], scopes = ["more"]}}]
[[resource]]
path = "{at}/files"
scopes = ["tools"]
optional_scopes = ["more"]
credential = "identity"
{files}
allow_ambiguous_paths_below = [
  "encoded-slash", "encoded-percent", "empty-segment", "unencoded-characters",
]
rule = [{{path = "/keys", scopes = ["more"]}}, {{methods = ["DELETE"], scopes = ["more"]}}]
[[resource]]
path = "{at}/mcp"
scopes = ["tools"]
optional_scopes = ["more"]
credential = "identity"
{mcp}
{{compared}}
rule = [
  {{mcp_methods = ["tools/call"], mcp_names = ["drop"], scopes = ["more"]}},
  {{methods = ["DELETE"], scopes = ["more"]}},
]
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way from a client to a backend, and *prefix*, where its application is.

    *tools*: it has tools of MCP, and nothing else.
    """

    name: str
    side: Side
    port: int
    prefix: str
    log: Path
    tools: bool = False


@dataclass(slots=True)
class Figures:
    """How many requests were sent, how they were answered, and how many a backend saw."""

    sent: int = 0
    seen: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    by_way: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        answers = ", ".join(
            f"{status or 'none'}: {n}" for status, n in sorted(self.statuses.items())
        )
        return (
            f"{self.sent} requests by {len(self.by_way)} ways, {self.seen} seen; answers {answers}"
        )


@dataclass(slots=True)
class Lab:
    """Everything running. `check` sends requests by all ways, and returns what went wrong."""

    ways: Sequence[Way]
    tokens: Mapping[tuple[str, str], str]
    runner: asyncio.Runner
    figures: Figures = field(default_factory=Figures)
    _sent: dict[str, Sent] = field(default_factory=dict)
    _read: Counter[Path] = field(default_factory=Counter)
    _turn: int = 0
    _lines: dict[tuple[str, int], Line] = field(default_factory=dict)

    def check(self, requests: Sequence[Odd], *, lanes: int = 1, spread: int = 1) -> list[str]:
        """One sentence for each fault. *lanes*: connections of each way at once.

        Each request goes by one of *spread* ways, and the next one by the ways beside those.
        """
        shares = [
            [odd for at, odd in enumerate(requests) if (at + number + self._turn) % spread == 0]
            for number in range(len(self.ways))
        ]
        self._turn += 1
        self.runner.run(self._send_all(shares, lanes))
        time.sleep(0.02)  # a backend may write a line after its answer
        return [fault for log in {way.log for way in self.ways} for fault in self._faults(log)]

    async def _send_all(self, shares: Sequence[Sequence[Odd]], lanes: int) -> None:
        """The share of each way, over some connections at once."""
        await asyncio.gather(
            *(
                self._send_some(way, lane, share[lane::lanes])
                for way, share in zip(self.ways, shares, strict=True)
                for lane in range(lanes)
            )
        )

    async def _send_some(self, way: Way, lane: int, requests: Sequence[Odd]) -> None:
        line = self._lines.setdefault((way.name, lane), Line(way.port))
        for odd in requests:
            number = secrets.token_hex(8)
            token = self.tokens.get((way.prefix, odd.user), "none")
            self._sent[number] = Sent(odd, way.name, way.side, token)
            host = f"127.0.0.1:{way.port}"
            written = odd.written(prefix=way.prefix, host=host, token=token, number=number)
            status = await line.ask(written)
            self.figures.sent += 1
            self.figures.statuses[status] += 1
            self.figures.by_way[way.name] += 1

    def close(self) -> None:
        """Close every connection."""
        self.runner.run(self._close())

    async def _close(self) -> None:
        for line in self._lines.values():
            line.close()
        await asyncio.sleep(0)

    def _faults(self, log: Path) -> Iterator[str]:
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(self._read[log])
            lines = file.readlines()
        for text in lines:
            if not text.endswith(b"\n"):
                break
            self._read[log] += len(text)
            self.figures.seen += 1
            seen = json.loads(text)
            sent = self._sent.get(_number(seen))
            for fault in faults(sent, seen):
                yield f"{sent.way if sent else log.stem}: {fault}: {sent} was seen as {seen}"


def _number(seen: dict[str, Any]) -> str:
    """The number of the request that *seen* is, by its query or its header."""
    if found := _NUMBER.search(seen["target"]):
        return found[1]
    return folded(seen["headers"]).get("x_lab_id", [""])[0]


@contextmanager
def running(at: Path, *, fronts: Sequence[str], asked: Sequence[tuple[str, str]]) -> Iterator[Lab]:
    """A lab with all backends behind the gateway.

    *fronts*: the proxies before the gateway. *asked*: pairs of a proxy that asks and its backend.
    """
    with ExitStack() as stack, asyncio.Runner() as runner:
        programs = Programs(at, stack)
        backends = {kind: _backend(programs, at, kind) for kind in BACKENDS}
        ports = {kind: _mintage(programs, at, kind, backends) for kind in _MANUAL}
        ways = [
            Way(f"{front}>gateway>{kind}", "gateway", port, f"/{kind}", log)
            for front, port in _fronts(programs, fronts, "gateway", ports["nginx"]).items()
            for kind, (_, log) in backends.items()
        ]
        for kind in INSIDE:
            port, log = _inside(programs, at, kind)
            ways += [
                Way(f"{front}>inside>{kind}", "inside", reached, f"/{kind}", log, kind in SPEAKING)
                for front, reached in _fronts(programs, fronts, kind, port).items()
            ]
        ways += [
            Way(f"{front}>asked>{kind}", "asked", port, ASKED, backends[kind][1])
            for front, kind, port in _asked(programs, asked, backends, ports)
        ]
        prefixes = [f"/{kind}" for kind in BACKENDS]
        tokens = runner.run(_tokens(at / "nginx.toml", [*prefixes, ASKED]))
        for kind in INSIDE:
            tokens |= runner.run(_tokens(at / f"inside-{kind}.toml", [f"/{kind}"]))
        programs.wait()
        lab = Lab(ways, tokens, runner)
        try:
            yield lab
        finally:
            lab.close()


def _backend(programs: Programs, at: Path, kind: str) -> tuple[int, Path]:
    port, log = free_port(), at / f"seen-{kind}.jsonl"
    command, environ = backend_command(kind, port, log, [f"/{kind}", ASKED])
    programs.start(f"backend-{kind}", command, port, environ)
    return port, log


def _mintage(
    programs: Programs, at: Path, asker: str, backends: Mapping[str, tuple[int, Path]]
) -> int:
    """A gateway before all *backends*, which the proxy *asker* may ask too; its port."""
    settings = at / f"{asker}.toml"
    resources = [_resources(f"/{kind}", port) for kind, (port, _) in backends.items()]
    compared = "backend_compares_mcp_headers_with_the_body = true"
    resources.append(_resources(ASKED, None).replace("{compared}", compared))
    head = _HEAD.format(at=at, gateway=f'forward_auth = "{asker}"')
    settings.write_text(head + "".join(resources).replace("{compared}", ""))
    port = free_port()
    command = [sys.executable, "-m", "mintage", "serve", "--config", str(settings)]
    programs.start(f"mintage-{asker}", [*command, "--port", str(port)], port, ENVIRON)
    return port


def _resources(at: str, port: int | None) -> str:
    """A resource and those nested in it, all of them on one backend, which *port* is of."""
    backends = {
        name: "" if port is None else f'backend = "http://127.0.0.1:{port}{at}{below}"'
        for name, below in (
            ("backend", ""),
            ("admin", "/admin"),
            ("files", "/files"),
            ("mcp", "/mcp"),
        )
    }
    return _RESOURCES.format(at=at, **backends)


def _inside(programs: Programs, at: Path, kind: str) -> tuple[int, Path]:
    """An application with the login inside, of the integration *kind*."""
    settings, port, log = at / f"inside-{kind}.toml", free_port(), at / f"seen-inside-{kind}.jsonl"
    head = _HEAD.format(at=at, gateway="")
    settings.write_text(head + _resources(f"/{kind}", None).replace("{compared}", ""))
    command = inside_command(kind, port, log, settings)
    programs.start(f"inside-{kind}", command, port, ENVIRON)
    return port, log


def _fronts(programs: Programs, fronts: Sequence[str], of: str, port: int) -> dict[str, int]:
    """The ports at which *port* is reached, by what is in front of it."""
    found = {"none": port}
    for kind in fronts:
        found[kind] = listen = free_port()
        folder = programs.folder(f"front-{kind}-{of}")
        command = proxy_command(kind, folder, listen=listen, behind=port)
        programs.start(f"front-{kind}-{of}", command, listen)
    return found


def _asked(
    programs: Programs,
    asked: Sequence[tuple[str, str]],
    backends: Mapping[str, tuple[int, Path]],
    mintage: Mapping[str, int],
) -> Iterator[tuple[str, str, int]]:
    for front, kind in asked:
        listen, name = free_port(), f"asks-{front}-{kind}"
        command = _MANUAL[front](
            programs.folder(name),
            listen=listen,
            mintage=mintage[front],
            tools=backends[kind][0],
        )
        programs.start(name, command, listen)
        yield front, kind, listen


async def _tokens(settings: Path, prefixes: Sequence[str]) -> dict[tuple[str, str], str]:
    """A token for each resource of each application, each of a user of its own."""
    config = load(settings, environ=ENVIRON)
    places = {"root": "", "admin": "/admin", "files": "/files", "mcp": "/mcp"}
    found = {}
    async with Mintage(config).running() as running:
        for prefix in prefixes:
            for user in USERS:
                resource = f"{config.issuer}{prefix}{places[user]}"
                found[prefix, user] = await token_for(
                    running, resource, now=int(time.time()), subject=f"user-{user}"
                )
    return found


__all__ = ["PROXIES", "Figures", "Lab", "Way", "running"]
