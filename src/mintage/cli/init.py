"""``mintage init``: questions, and a file of settings that works."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from mintage.cli import new_settings
from mintage.cli.new_settings import Answers
from mintage.cli.plain_text import as_text
from mintage.cli.settings_file import SettingsFile
from mintage.errors import ConfigError
from mintage.secret_source import generate_once
from mintage.settings.reading import HERE
from mintage.settings.words import none_of
from mintage.upstream.presets import PRESETS

_SECRET: Final = "mintage.secret"  # noqa: S105


class _Person(msgspec.Struct, frozen=True):
    """Who answers: a person at a terminal, or nobody."""

    there: bool

    def asked(
        self,
        question: str,
        given: str | None,
        *,
        option: str,
        usual: str | None = None,
        read: Callable[[str], str] = new_settings.printable,
    ) -> str:
        """What *read* makes of the answer to *question*, or of *given*, the value of *option*.

        A person is asked again until the answer is right. Raises `ConfigError` where nobody can be.
        """
        if given is not None:
            return read(given)
        if not self.there:
            if usual is None:
                raise ConfigError(option, f"is needed where nobody can be asked: {question}")
            return usual
        shown = f"{question} [{usual}]: " if usual else f"{question}: "
        while True:
            try:
                answer = input(shown).strip() or usual
            except EOFError:  # Ctrl-D
                print()  # noqa: T201
                raise KeyboardInterrupt from None
            if not answer:
                continue
            try:
                return read(answer)
            except ConfigError as wrong:
                print(f"  {as_text(wrong.advice)}")  # noqa: T201


def init(
    *,
    config: SettingsFile = HERE,
    issuer: Annotated[
        str | None, Parameter(help="Where clients reach Mintage: https://auth.example.com")
    ] = None,
    preset: Annotated[
        str | None, Parameter(help=f"The kind of identity provider: {', '.join(PRESETS)}.")
    ] = None,
    upstream: Annotated[
        tuple[str, ...],
        Parameter(
            help="What the provider needs, as NAME=VALUE; repeat it: tenant=…, issuer=…",
            negative="",
        ),
    ] = (),
    client_id: Annotated[str | None, Parameter(help="Mintage's client_id there.")] = None,
    backend: Annotated[str | None, Parameter(help="Your server: http://127.0.0.1:8000/mcp")] = None,
    store: Annotated[
        str | None, Parameter(help="Where logins are kept; a SQLite file, unless you say.")
    ] = None,
    allow: Annotated[
        str | None, Parameter(help="E-mail domain of those who may log in, or everybody.")
    ] = None,
) -> int:
    """Write a file of settings, by questions or by options.

    It asks for what no option gives, and shows where to click at the provider and which redirect
    address to enter there. Nothing is overwritten, and the client secret is never asked for:
    it stays in the environment. Then: mintage check.
    """
    if config.exists():
        raise ConfigError("--config", f"{config} is there already; nothing was changed")
    if not os.access(config.parent, os.W_OK):
        raise ConfigError("--config", f"{config.parent} can't be written to")
    person = _Person(sys.stdin.isatty() and sys.stdout.isatty())
    issuer = person.asked(
        "Where will clients reach Mintage?",
        issuer,
        option="--issuer",
        usual="http://127.0.0.1:8080",
        read=new_settings.read_issuer,
    )
    question = f"Your identity provider ({', '.join(PRESETS)})"
    kind = PRESETS[person.asked(question, preset, option="--preset", read=_read_preset)]
    given = _given(upstream)
    for name in new_settings.needed(kind):
        asked = f"{name} of {kind.title}"
        given[name] = person.asked(
            asked,
            given.get(name),
            option=f"--upstream {name}=",
            read=new_settings.reader_of(name, kind, given, config.parent),
        )
    if person.there:
        _say(new_settings.steps(kind, issuer))
    answers = Answers(
        issuer=issuer,
        preset=kind.name,
        upstream=given,
        client_id=person.asked("client_id", client_id, option="--client-id"),
        backend=person.asked(
            "Your server",
            backend,
            option="--backend",
            usual="http://127.0.0.1:8000/mcp",
            read=new_settings.read_backend,
        ),
        store=person.asked("Store", store, option="--store", usual="sqlite://mintage.db"),
        allow=person.asked(
            "Who may log in: an e-mail domain, or everybody",
            allow,
            option="--allow",
            read=new_settings.read_allow,
        ),
    )
    text = new_settings.text(answers)
    new_settings.check(text, config.parent)
    if answers.needs_secret_file:
        generate_once(config.parent / _SECRET, key="secret")
    with config.open("x", encoding="utf-8") as file:
        file.write(text)
    if not person.there:
        _say(new_settings.steps(kind, issuer))
    _say(new_settings.next_steps(answers, config))
    return 0


def _say(lines: Sequence[str]) -> None:
    print("\n" + "\n".join(lines) + "\n")  # noqa: T201


def _read_preset(name: str) -> str:
    found = name.lower()
    if found not in PRESETS:
        raise ConfigError("--preset", none_of(name, list(PRESETS)))
    return found


def _given(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise ConfigError("--upstream", "write it as NAME=VALUE, like tenant=common")
        if name in new_settings.OWN_QUESTIONS:
            raise ConfigError(f"--upstream {name}=", "has an option of its own, or is a secret")
        found[name] = value
    return found
