"""The log of a server: for people or for programs, to standard error."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from mintage.errors import ConfigError
from mintage.logs import JsonLines, TextLines
from mintage.logs.access import NAME as ACCESS
from mintage.logs.lines import note_request

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
_STARTED: Final = time.time()
_NOT_LOOKED_UP: Final = {
    "pathname": "(unknown file)",
    "filename": "(unknown file)",
    "module": "(unknown file)",
    "lineno": 0,
    "funcName": "(unknown function)",
    "thread": None,
    "threadName": None,
    "process": None,
    "processName": None,
    "taskName": None,
    "exc_text": None,
}


class _Record(logging.LogRecord):
    """A record that does not look up its place in the code, thread, process and task.

    No line shows them, and to find them takes most of the time of a line. Handlers that a program
    adds to the server find all the attributes that they know.
    """

    def __init__(
        self,
        name: str,
        level: int,
        pathname: str,  # noqa: ARG002
        lineno: int,  # noqa: ARG002
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,  # noqa: ARG002
        sinfo: str | None = None,
        **_: object,
    ) -> None:
        if args and len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
            [args] = args
        now = time.time()
        self.__dict__.update(
            _NOT_LOOKED_UP,
            name=name,
            levelno=level,
            levelname=logging.getLevelName(level),
            msg=msg,
            args=args,
            exc_info=exc_info,
            stack_info=sinfo,
            created=now,
            msecs=float(int(now % 1 * 1000)),
            relativeCreated=(now - _STARTED) * 1000,
        )


class _Lines(logging.StreamHandler[Any]):
    """Writes to standard error, in one step in place of one for each hook of `logging`."""

    def handle(self, record: logging.LogRecord) -> bool:
        note_request(record)
        if self.filters:  # a program has added them
            return bool(super().handle(record))
        assert self.lock is not None  # noqa: S101  (every handler has one)
        with self.lock:
            try:
                self.stream.write(f"{self.format(record)}{self.terminator}")
                self.stream.flush()
            except RecursionError:
                raise
            except Exception:  # noqa: BLE001  (as `logging` does: a line must stop no request)
                self.handleError(record)
        return True


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
    handler = _Lines()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler])
    logging._srcfile = None  # noqa: SLF001  (the documented way not to look for the caller)
    logging.setLogRecordFactory(_Record)
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
