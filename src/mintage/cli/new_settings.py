"""A file of settings, made of answers; and what its operator has to do besides."""

import json
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mintage.endpoints import BACKCHANNEL_LOGOUT
from mintage.errors import ConfigError
from mintage.settings.issuer import check_issuer
from mintage.settings.load import parse
from mintage.settings.resources import check_path
from mintage.site.targets import HttpTarget
from mintage.upstream.preset import Preset

_STEPS: Final = Path(__file__).with_name("registration_steps.toml")
_VARIABLE: Final = "UPSTREAM_SECRET"
_PATH: Final = "/mcp"  # of a backend at no path, or at one that no resource can have
_EVERYBODY: Final = "everybody"
_PLAIN_OAUTH: Final = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")


OWN_QUESTIONS: Final = ("preset", "client_id", "client_secret", "client_key")
"""Settings of ``[upstream]`` that have another option, or that no command line may hold."""


def printable(value: str) -> str:
    """*value*, unless it holds what no setting does. Raises `ConfigError`."""
    if not value.isprintable():
        raise ConfigError("the answer", "holds a control character, of an arrow key perhaps")
    return value


def read_issuer(value: str) -> str:
    """The issuer, as the file of settings takes it. Raises `ConfigError`."""
    issuer = value.rstrip("/")
    check_issuer(issuer, "issuer")
    return issuer


def read_backend(value: str) -> str:
    """The address of a backend. Raises `ConfigError`."""
    HttpTarget.parse(value, "resource[0].backend")
    return value


def read_allow(value: str) -> str:
    """An e-mail domain, without what people write around it; or ``everybody``."""
    word = value.strip().lower()
    if word == _EVERYBODY:
        return word
    domain = word.removeprefix("*").removeprefix("@")
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain):
        raise ConfigError("--allow", "write one domain, like example.com, or everybody")
    return domain


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of settings is made of.

    *upstream*: what the provider needs, by the names of the settings. *allow*: an e-mail domain,
    or ``everybody``.
    """

    issuer: str
    preset: str
    upstream: Mapping[str, str]
    client_id: str
    backend: str
    store: str
    allow: str

    @property
    def path(self) -> str:
        """Where clients find the server behind Mintage: at the path that it has itself, if any."""
        path = HttpTarget.parse(self.backend, "backend").path.rstrip("/")
        try:
            check_path(path, "backend")
        except ConfigError:
            return _PATH
        return path

    @property
    def needs_secret_file(self) -> bool:
        """Whether the store has no place beside it where a root secret is made."""
        return urlsplit(self.store).scheme not in ("sqlite", "memory")


def needed(preset: Preset) -> tuple[str, ...]:
    """The settings of ``[upstream]`` without which *preset* is not complete."""
    parameters = tuple(name for name, default in preset.parameters.items() if default is None)
    if preset.issuer is not None:
        return parameters
    return (*parameters, "issuer") if preset.discovery else _PLAIN_OAUTH


def text(answers: Answers) -> str:
    """The file. Every setting that is there has a line that says what it is."""
    lines = [
        "#:schema ./mintage.schema.json",
        "# The settings of Mintage. `mintage check` finds what is wrong with them.",
        "",
        "# Where clients reach Mintage. Plain http is accepted on this machine alone.",
        _line("issuer", answers.issuer),
        "# Where logins are kept, encrypted.",
        _line("store", answers.store),
    ]
    if answers.needs_secret_file:
        lines += [
            "# The root secret. With it and the store anybody can read the logins. Back it up.",
            _line("secret", "file:mintage.secret"),
        ]
    if answers.allow == _EVERYBODY:
        lines += [
            "# Everybody whom the provider logs in may log in here.",
            _line("allow", _EVERYBODY),
        ]
    lines += [
        "",
        # Quoted: what an answer holds must not end the remark.
        f"# The identity provider. Register there: {json.dumps(_callback(answers.issuer))}",
        "[upstream]",
        _line("preset", answers.preset),
        *(_line(name, value) for name, value in answers.upstream.items()),
        _line("client_id", answers.client_id),
        '# The client secret is in this environment variable; "file:PATH" reads a file.',
        _line("client_secret", f"env:{_VARIABLE}"),
    ]
    if answers.allow != _EVERYBODY:
        lines += [
            "",
            "# Who may log in: users with a verified address in this domain.",
            "[[allow]]",
            f"email_domains = [{json.dumps(answers.allow)}]",
        ]
    lines += [
        "",
        "# What is protected: your server, at the address of backend. Clients find it at the",
        "# issuer and this path.",
        "[[resource]]",
        _line("path", answers.path),
        _line("backend", answers.backend),
        "# What the backend gets about the user: headers that only Mintage can set.",
        _line("credential", "identity"),
    ]
    return "\n".join(lines) + "\n"


def check(file: str, base: Path) -> None:
    """Raise `ConfigError` for a *file* that no server could start with, in the directory *base*."""
    data = tomllib.loads(file)
    parse(
        # The secret comes later, and its file is made last.
        data | ({"secret": f"env:{_VARIABLE}"} if "secret" in data else {}),
        base=base,
        environ={_VARIABLE: secrets.token_urlsafe(32)},
        writes=False,
    )


def reader_of(
    name: str, preset: Preset, given: Mapping[str, str], base: Path
) -> Callable[[str], str]:
    """Reads the setting ``upstream.NAME`` of *preset*, and refuses what no server could start with.

    *given*: what was answered already. A fault of another setting is not this one's.
    """

    def read(answer: str) -> str:
        value = printable(answer)
        others = {other: given.get(other, "https://login.example.com") for other in needed(preset)}
        answers = Answers(
            issuer="http://127.0.0.1:8080",
            preset=preset.name,
            upstream=others | {name: value},
            client_id="mintage",
            backend="http://127.0.0.1:8000/mcp",
            store="memory://",
            allow=_EVERYBODY,
        )
        try:
            check(text(answers), base)
        except ConfigError as error:
            if error.key == f"upstream.{name}":
                raise
        return value

    return read


def steps(preset: Preset, issuer: str) -> list[str]:
    """How a client is registered at the provider, a line for each step."""
    callback = _callback(issuer)
    found: list[str] = _all_steps()[preset.name]
    told = [one.replace("{callback}", callback).replace("{issuer}", issuer) for one in found]
    return [
        f"At {preset.title}:",
        *(f"  {number}. {step}" for number, step in enumerate(told, start=1)),
        "",
        f"The redirect address: {callback}",
        *_logout_address(preset, issuer),
    ]


def _logout_address(preset: Preset, issuer: str) -> list[str]:
    """A line for providers with id_tokens: others send no logout tokens."""
    if preset.lookups:
        return []
    address = f"{issuer}/{BACKCHANNEL_LOGOUT.name}"
    return [f"The back-channel logout address, if there is a field for it: {address}"]


def next_steps(answers: Answers, file: Path) -> list[str]:
    """What to do once *file* is there."""
    named = "" if file == Path("mintage.toml") else f" --config {file}"
    port = urlsplit(answers.issuer).port
    listen = f" --port {port}" if port else ""
    return [
        f"{file} is written. Now:",
        f"  1. Put the client secret into the environment: export {_VARIABLE}=…",
        "  2. Let editors know the settings: mintage schema > mintage.schema.json",
        f"  3. Find out what is missing: mintage check{named}",
        f"  4. Start: mintage serve{named}{listen}",
        f"  5. Add it to a client: {answers.issuer}{answers.path}",
    ]


def _line(name: str, value: str) -> str:
    return f"{name} = {json.dumps(value)}"


def _callback(issuer: str) -> str:
    return f"{issuer}/callback"


@cache
def _all_steps() -> dict[str, Any]:
    return tomllib.loads(_STEPS.read_text(encoding="utf-8"))
