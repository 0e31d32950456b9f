"""The demo's voice: each step as it happens, its real request and answer in brief."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import httpx2
from rich.console import Console
from rich.text import Text

_LONG: Final = 24
_SHOWN_HEADERS: Final = ("www-authenticate", "location", "set-cookie")


class Show:
    """Prints steps and exchanges; *failed* tells if any step went wrong."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0
        self.failed = False

    def step(self, title: str) -> None:
        self._step += 1
        self._console.print(Text(f"\n{self._step:2}. {title}", style="bold"))

    def note(self, text: str) -> None:
        self._console.print(Text(f"      {text}", style="dim"))

    def result(self, text: str) -> None:
        self._console.print(Text("    ✓ ", style="green") + Text(text), soft_wrap=True)

    def check(self, good: bool, text: str) -> None:  # noqa: FBT001
        """A step's outcome; a bad one ends the demo with a failure."""
        if good:
            self.result(text)
            return
        self.failed = True
        self._console.print(Text(f"    ✗ expected: {text}", style="bold red"), soft_wrap=True)

    def exchange(self, response: httpx2.Response) -> None:
        """One request and its answer, long values cut: they are secrets of this minute."""
        request = response.request
        self._line("→", f"{request.method} {_url(str(request.url))}", "cyan")
        if (body := _form(request)) is not None:
            self._line(" ", body, "cyan")
        self._line("←", f"{response.status_code} {response.reason_phrase}", "magenta")
        for name, value in response.headers.multi_items():
            if name.lower() in _SHOWN_HEADERS:
                self._line(" ", f"{name}: {_shorten(value)}", "magenta")

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> None:
        for name, value in pairs:
            self._line(" ", f"{name:<10} {value}", "")

    def _line(self, mark: str, text: str, style: str) -> None:
        self._console.print(
            Text(f"    {mark} ", style="dim") + Text(text, style=style), soft_wrap=True
        )


def _url(url: str) -> str:
    parts = urlsplit(url)
    query = "&".join(f"{n}={_cut(v)}" for n, v in parse_qsl(parts.query, keep_blank_values=True))
    return f"{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


def _form(request: httpx2.Request) -> str | None:
    if "form-urlencoded" not in request.headers.get("content-type", ""):
        return None
    fields = parse_qsl(request.content.decode(), keep_blank_values=True)
    return "&".join(f"{name}={_hidden(name, value)}" for name, value in fields)


def _hidden(name: str, value: str) -> str:
    return "…" if name == "password" else _cut(value)


def _cut(value: str) -> str:
    return value if len(value) <= _LONG or "://" in value[:9] else f"{value[:10]}…"


def _shorten(value: str) -> str:
    return re.sub(r"[A-Za-z0-9_.-]{40,}", lambda match: f"{match[0][:10]}…", value)
