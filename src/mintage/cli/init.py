"""``mintage init``: questions, and a file of settings that works."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter

from mintage.cli import new_settings
from mintage.cli.new_settings import Answers
from mintage.cli.settings_file import HERE, SettingsFile
from mintage.errors import ConfigError
from mintage.secret_source import generate_once
from mintage.settings.words import none_of
from mintage.upstream.preset import Preset
from mintage.upstream.presets import PRESETS

_SECRET: Final = "mintage.secret"  # noqa: S105


@dataclass(frozen=True, slots=True)
class _Person:
    """Who answers: a person at a terminal, or nobody."""

    there: bool

    def asked(self, question: str, *, option: str, usual: str | None = None) -> str:
        """The answer to *question*, which *option* would have given. Raises `ConfigError`."""
        if not self.there:
            if usual is None:
                raise ConfigError(option, f"is needed where nobody can be asked: {question}")
            return usual
        shown = f"{question} [{usual}]: " if usual else f"{question}: "
        while not (answer := input(shown).strip() or usual or ""):
            pass
        return answer


def init(
    *,
    config: SettingsFile = HERE,
    issuer: Annotated[
        str | None, Parameter(help="Where clients reach Mintage: https://auth.example.com")
    ] = None,
    preset: Annotated[str | None, Parameter(help="The kind of identity provider.")] = None,
    upstream: Annotated[
        tuple[str, ...],
        Parameter(
            help="What the provider needs, as NAME=VALUE; repeat it: tenant=…, issuer=…",
            negative="",
        ),
    ] = (),
    client_id: Annotated[str | None, Parameter(help="Mintage's client_id there.")] = None,
    backend: Annotated[str | None, Parameter(help="Your server: http://127.0.0.1:8000/mcp")] = None,
    store: Annotated[str | None, Parameter(help="Where logins are kept.")] = None,
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
    person = _Person(sys.stdin.isatty() and sys.stdout.isatty())
    issuer = issuer or person.asked(
        "Where will clients reach Mintage?", option="--issuer", usual="http://127.0.0.1:8080"
    )
    kind = _preset(preset or person.asked(_choice(), option="--preset"))
    given = _given(upstream)
    for name in new_settings.needed(kind):
        if name not in given:
            question = f"{name} of {kind.title}"
            given[name] = person.asked(question, option=f"--upstream {name}=")
    if person.there:
        _say(new_settings.steps(kind, issuer))
    answers = Answers(
        issuer=issuer,
        preset=kind.name,
        upstream=given,
        client_id=client_id or person.asked("client_id", option="--client-id"),
        backend=backend
        or person.asked("Your server", option="--backend", usual="http://127.0.0.1:8000/mcp"),
        store=store or person.asked("Store", option="--store", usual="sqlite://mintage.db"),
        allow=allow
        or person.asked("Who may log in: an e-mail domain, or everybody", option="--allow"),
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


def _choice() -> str:
    return f"Your identity provider ({', '.join(PRESETS)})"


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise ConfigError("--preset", none_of(name, list(PRESETS)))
    return PRESETS[name]


def _given(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise ConfigError("--upstream", "write it as NAME=VALUE, like tenant=common")
        found[name] = value
    return found
