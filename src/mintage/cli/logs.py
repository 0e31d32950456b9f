"""The log of a server: for people or for programs, to standard error."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TextIO, TypeAlias

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
_NAMES_REQUEST: Final = RequestFilter().filter
# Their lines hold whole URLs, with codes and states in them.
_LOUD: Final = ("httpx2", "httpcore2", "websockets")


class LineRecord(logging.LogRecord):
    """A log record with what a line shows.

    The file and the function that wrote it, the thread and the process are left out: to find them
    takes longer than the line.
    """

    pathname = filename = module = funcName = ""  # noqa: N815
    lineno = 0
    relativeCreated = 0.0  # noqa: N815
    thread = threadName = process = processName = taskName = None  # noqa: N815

    def __init__(  # the arguments of the base
        self,
        name: str,
        level: int,
        _pathname: str,
        _lineno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        _func: str | None = None,
        sinfo: str | None = None,
    ) -> None:
        if args and len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
            args = args[0]  # a message may name its arguments
        self.name, self.msg, self.args = name, msg, args
        self.levelno, self.levelname = level, logging.getLevelName(level)
        self.exc_info, self.stack_info = exc_info, sinfo
        self.exc_text = None
        self.created = now = time.time()
        self.msecs = float(int(now % 1 * 1000))


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes the line of each record, with fewer calls than its base.

    There is a line for each token, and `logging` would take a fifth of what a token costs.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the line, unless a filter is against it."""
        if self.filters and not self.filter(record):
            return False
        _NAMES_REQUEST(record)
        try:
            line = f"{self.format(record)}{self.terminator}"
            with self.lock:  # type: ignore[union-attr]  # the base makes one
                self.stream.write(line)
                self.stream.flush()
        except Exception:  # noqa: BLE001  (as its base does: no line stops a request)
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
    handler = LineHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler])
    # No line shows where in the code it was written, and each line would look it up.
    logging._srcfile = None  # noqa: SLF001  (the documented way)
    logging.setLogRecordFactory(LineRecord)
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
