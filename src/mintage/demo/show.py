"""Prints the demo: each step as it happens, with its real request and response in brief."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import httpx2
from rich.console import Console
from rich.text import Text

_LONG: Final = 24
_NAMES: Final = 11  # columns of names in a list
_MARGIN: Final = 6  # columns left of what is shown
_PIECES: Final = re.compile(r"(?=&)|(?=\?)|(?<=[ ,])")  # a line may begin there
_STATUS_STYLES: Final = {1: "cyan", 2: "green", 3: "blue", 4: "yellow", 5: "bold red"}
_SHOWN_HEADERS: Final = ("www-authenticate", "location", "set-cookie")


class Show:
    """Prints steps and exchanges. *failed* says whether a step went wrong."""

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
        self._line("✓", text, "", mark_style="green")

    def check(self, good: bool, text: str) -> None:  # noqa: FBT001
        """Print a step's result. If it is bad, the demo ends with a failure."""
        if good:
            self.result(text)
            return
        self.failed = True
        self._line("✗", f"expected: {text}", "bold red", mark_style="bold red")

    def exchange(self, response: httpx2.Response) -> None:
        """Print one request and its response. Long values are cut, because they are secrets."""
        request = response.request
        self._line("→", f"{request.method} {_url(str(request.url))}", "cyan")
        if (body := _form(request)) is not None:
            self._line(" ", body, "cyan")
        style = status_style(response.status_code)
        self._line("←", f"{response.status_code} {response.reason_phrase}", style)
        for name, value in response.headers.multi_items():
            if name.lower() in _SHOWN_HEADERS:
                text = _cookie(value) if name.lower() == "set-cookie" else _shorten(value)
                self._line(" ", f"{name}: {text}", style)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> None:
        for name, value in pairs:
            room = max(self._console.width - _MARGIN - _NAMES, 1)
            for number, part in enumerate(fold(value, room)):
                self._line(" ", f"{name if number == 0 else '':<{_NAMES}}{part}", "")

    def _line(self, mark: str, text: str, style: str, *, mark_style: str = "dim") -> None:
        for number, part in enumerate(fold(text, self._console.width - _MARGIN)):
            margin = f"    {mark if number == 0 else ' '} "
            self._console.print(Text.assemble((margin, mark_style), (part, style)), soft_wrap=True)


def status_style(status: int) -> str:
    """The colour of a status: success, redirect, refusal and fault differ."""
    return _STATUS_STYLES.get(status // 100, "dim")


def fold(text: str, width: int) -> list[str]:
    """*text* in lines of at most *width* columns: cut before `&` and `?`, after blanks and commas.

    A line is cut elsewhere only if it has none of these.
    """
    lines = [""]
    for piece in _PIECES.split(text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        cut = [piece[start : start + width] for start in range(0, len(piece), width)]
        lines[-1:] = [lines[-1] + "".join(cut[:1]), *cut[1:]]
    return [line.rstrip() for line in lines]


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


def _cookie(value: str) -> str:
    """A ``Set-Cookie`` header with the cookie's value cut."""
    name, _, rest = value.partition("=")
    held, semicolon, attributes = rest.partition(";")
    return f"{_shorten(name)}={held[:4]}…{semicolon}{attributes}"


def _shorten(value: str) -> str:
    return re.sub(r"[A-Za-z0-9_.-]{40,}", lambda match: f"{match[0][:10]}…", value)
