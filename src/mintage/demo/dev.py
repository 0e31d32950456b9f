"""``mintage dev``: login in front of a server under development, with made-up users."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from mintage.app.listening import bind
from mintage.clients.client import CLIENT_CREDENTIALS
from mintage.demo.paste import lines_to_paste
from mintage.demo.request_log import RequestLog, Seen, line
from mintage.demo.stage import gateway
from mintage.endpoints import TOKEN
from mintage.errors import ConfigError
from mintage.secret_source import generate_once
from mintage.settings.load import Config, parse
from mintage.settings.resources import check_program
from mintage.site.targets import Command, HttpTarget
from mintage.testing.nanoidp import NanoIDP, Person, nanoidp

PEOPLE: Final = (
    Person("alice", "alice@example.org", ("admins", "staff"), "in the groups admins and staff"),
    Person("bob", "bob@example.org", ("staff",), "in the group staff"),
    Person("carol", "carol@example.com", (), "a guest of another company, in no group"),
)
_NAME: Final = "dev"
_SECRET, _AGENTS_SECRET = "secret", "agent"  # files in the private directory
_AGENT: Final = "agent"


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind the login: the URL of a server, or a command that speaks over stdio."""

    backend: str | None = None
    command: Sequence[str] = ()

    @property
    def path(self) -> str:
        """Its path at Mintage: the one that it has itself."""
        target = self.target
        return (target.path.rstrip("/") if target else "") or "/mcp"

    @property
    def target(self) -> HttpTarget | None:
        """Where the server listens. Raises `ConfigError`."""
        return None if self.backend is None else HttpTarget.parse(self.backend, "--backend")

    def section(self) -> dict[str, Any]:
        what: dict[str, Any] = {"backend": self.backend}
        if self.command:
            what = {"command": {"run": list(self.command)}}
        return {"path": self.path, "credential": "identity", "name": "Your server", **what}


async def dev(console: Console, behind: Behind, *, port: int) -> int:
    """Serve until it is cancelled."""
    _check_port(port)
    place = place_of(behind, port)  # what is wrong is said before anything is started
    console.print("Starting a login provider, and Mintage in front of your server …")
    log = RequestLog(observe=lambda seen: _print(console, seen))
    async with running(place, log) as url:
        await _introduce(console, place, url)
        await asyncio.Event().wait()
    return 0


@dataclass(frozen=True, slots=True)
class Place:
    """A server, the port of the login in front of it, and the place of the secret."""

    behind: Behind
    port: int
    directory: Path

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def agents_secret(self) -> str:
        """The client secret of the agent that has no user."""
        return generate_once(self.directory / _AGENTS_SECRET, key="mintage dev").reveal().decode()

    def config(self, provider: NanoIDP) -> Config:
        """Raises `ConfigError`."""
        return parse(
            _settings(self.behind, self.issuer, provider),
            base=self.directory,
            environ={**os.environ, "MINTAGE_DEV_CLIENT_SECRET": provider.client_secret},
        )


def place_of(behind: Behind, port: int) -> Place:
    """How *behind* is served at *port*. Raises `ConfigError`."""
    _ = behind.target
    place = Place(behind, port, private_directory())
    for resource in place.config(NanoIDP(place.issuer)).resources:
        if isinstance(resource.target, Command):
            check_program(resource.target, "--")
    return place


@asynccontextmanager
async def running(place: Place, log: RequestLog) -> AsyncIterator[str]:
    """Run the provider and Mintage in front of the server. Gives the address for clients."""
    async with (
        nanoidp(redirect_uri=f"{place.issuer}/callback", people=PEOPLE) as provider,
        gateway(place.config(provider), place.port, log),
    ):
        yield f"{place.issuer}{place.behind.path}"


def _settings(behind: Behind, issuer: str, provider: NanoIDP) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "store": "memory://",
        "secret": f"file:{_SECRET}",
        "upstream": {
            "preset": "oidc",
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "client_secret": "env:MINTAGE_DEV_CLIENT_SECRET",
            "scopes": ["openid", "email", "profile", "offline_access"],
            "title": "The development login",
        },
        "resource": [behind.section()],
        "grant_types": {"client_credentials": {}},
        "client": [
            {
                "client_id": _AGENT,
                "client_secret": f"file:{_AGENTS_SECRET}",
                "grant_types": [CLIENT_CREDENTIALS],
                "resources": [behind.path],
                "scopes": [],
            }
        ],
    }


def private_directory() -> Path:
    """The directory for the secrets of this user's development servers, among the user's own files.

    With the same secrets, clients that registered yesterday need not register again, and an agent
    keeps its own. A directory that other users may write to is refused. Raises `ConfigError`.
    """
    path = _state() / "mintage" / "dev"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError(
            "mintage dev",
            f"its secret can't be kept in {path}: {error.strerror}. Name a directory that this "
            "user may write to: XDG_STATE_HOME=DIRECTORY",
        ) from None
    if not path.is_dir() or path.is_symlink() or (os.name == "posix" and _shared(found)):
        raise ConfigError("mintage dev", f"{path} is not this user's alone; remove it")
    for name in (_SECRET, _AGENTS_SECRET):
        generate_once(path / name, key="mintage dev")
    return path


def _state() -> Path:
    """Where a user's programs keep their state (XDG Base Directory).

    Raises `ConfigError` for a user without a home directory.
    """
    for variable in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        if (said := os.environ.get(variable)) and Path(said).is_absolute():
            return Path(said)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:
        raise ConfigError(
            "mintage dev",
            "this user has no home directory to keep its secret in. Name a directory that this "
            "user may write to: XDG_STATE_HOME=DIRECTORY",
        ) from None


def _shared(found: os.stat_result) -> bool:
    return found.st_uid != os.geteuid() or bool(found.st_mode & 0o077)


def _check_port(port: int) -> None:
    """Raise `ConfigError` if *port* is taken, before anything is started."""
    for one in bind(["127.0.0.1"], port):
        one.close()


async def _introduce(console: Console, place: Place, url: str) -> None:
    behind = place.behind
    console.print(
        Text.assemble(("\nYour server with login in front: ", "bold"), (url, "bold green"))
    )
    console.print(
        "For development only: it listens on loopback alone, everybody may log in, and logins are "
        "forgotten when it ends."
    )
    console.print("\nUsers to choose from on the login page, without a password:")
    for one in PEOPLE:
        console.print(Text(f"  {one.username:<7} {one.email:<19} {one.description}"))
    console.print("\nPaste one of these:")
    for client, text in lines_to_paste(url, _NAME):
        console.print(Text(f"  {client}", style="dim"))
        console.print(Text(f"    {text}", style="cyan"), soft_wrap=True)
    console.print("\nAn agent without a user gets a token for itself (client_credentials):")
    console.print(
        Text(
            f"  curl -u {_AGENT}:{place.agents_secret} {place.issuer}/{TOKEN.name} "
            f"-d grant_type={CLIENT_CREDENTIALS}",
            style="cyan",
        ),
        soft_wrap=True,
    )
    if behind.target is not None and not await _answers(behind.target):
        console.print(
            Text(f"\nNothing listens at {behind.backend} yet. Start your server.", style="yellow")
        )
    console.print(Text("\nRequests (Ctrl-C ends it):", style="bold"))


async def _answers(target: HttpTarget) -> bool:
    try:
        async with asyncio.timeout(2):
            if target.socket is not None:
                _, writer = await asyncio.open_unix_connection(target.socket)
            else:
                _, writer = await asyncio.open_connection(target.host, target.port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


def _print(console: Console, seen: Seen) -> None:
    console.print(line(seen, time.strftime("%H:%M:%S")), soft_wrap=True)
