"""The log of a server: for people or for programs, to standard error."""

import logging
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from mintage.errors import ConfigError
from mintage.logs import JsonLines, RequestFilter, TextLines
from mintage.logs.access import NAME as ACCESS

Format: TypeAlias = Literal["text", "json"]

_OURS: Final = "mintage"
_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# Their lines hold whole URLs, with codes and states in them.
_LOUD: Final = ("httpx2", "httpcore2", "websockets")


def start_log(levels: Iterable[str] = (), form: Format = "text", *, access: bool = False) -> None:
    """Log to standard error, without the lines of libraries that hold whole URLs.

    *levels*: ``debug`` for Mintage, or ``mintage.upstream=debug`` for one part of it, or several
    with commas between. Libraries log nothing below ``info``: their details contain tokens.
    *access*: whether each request has a line. Raises `ConfigError`.
    """
    wanted = _read(levels)  # first: a wrong one leaves everything as it is
    if access:
        wanted.setdefault(ACCESS, logging.INFO)
    of_all = wanted.pop(_OURS, logging.INFO)
    handler = logging.StreamHandler()
    handler.addFilter(RequestFilter())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler])
    # No line shows its place in the code, thread and process, and each would look them up.
    logging._srcfile = None  # noqa: SLF001  (the documented way)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger().setLevel(max(of_all, logging.INFO))
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(of_all, logging.WARNING))
    for name, level in ({_OURS: of_all} | wanted).items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_without_urls)


def _read(levels: Iterable[str]) -> dict[str, int]:
    """Logger → level. Raises `ConfigError`."""
    found = {}
    for one in (part for given in levels for part in given.split(",")):
        name, _, word = one.rpartition("=")
        if word.lower() not in _LEVELS:
            raise ConfigError(
                "--log-level", f"{word!r} is none of: {', '.join(_LEVELS)}; or NAME=LEVEL"
            )
        if name and name.partition(".")[0] != _OURS:
            raise ConfigError("--log-level", f"{name} is no logger of Mintage, like mintage.vault")
        found[name or _OURS] = _LEVELS[word.lower()]
    return found


def _without_urls(record: logging.LogRecord) -> bool:
    """Whether *record* may be kept: one line for each WebSocket holds its whole query string."""
    return "WebSocket %s" not in str(record.msg)
