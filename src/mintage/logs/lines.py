"""How a line of the log looks, and the request that it names."""

import datetime as dt
import json
import logging
import time
from typing import Final

from mintage.events.lines import EVENT, fields_of
from mintage.web.current_request import CURRENT, FIELDS

_NONE: Final = "-"


class RequestFilter(logging.Filter):
    """Adds to each log record the request that it was written for. It drops no record.

    The attributes are ``request_id``, the reference of the request, and ``trace_id``, of its
    ``traceparent``. Each is ``-`` if there is none. Add it to a handler, not to a logger: a
    logger's filters do not see the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes.

        Args:
            record: The log record. It is changed.

        Returns:
            True.
        """
        note_request(record)
        return True


def note_request(record: logging.LogRecord) -> None:
    """Add to *record* what a `RequestFilter` adds."""
    request = CURRENT.get()
    record.request_id = _NONE if request is None else request.reference
    record.trace_id = (request and request.trace_id) or _NONE


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``.

    With a `RequestFilter` also ``request_id`` and ``trace_id``, if there is one. An exception is in
    ``exception``, with its lines. Lines of security events and of the access log have more members.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Make the line.

        Args:
            record: The log record.

        Returns:
            The line, without its end.
        """
        time = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (event := getattr(record, EVENT, None)) is not None:
            line |= fields_of(event)
        line |= getattr(record, FIELDS, {})
        for name in ("request_id", "trace_id"):
            if (value := getattr(record, name, _NONE)) != _NONE:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)  # in ASCII: some readers end a line at U+2028


class TextLines(logging.Formatter):
    """A line for people: time, level, logger and message, and the request if the message has none.

    It needs a `RequestFilter` on its handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last = 0, ""  # a second, and how it is shown

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        """Make the time of the line: local, with milliseconds.

        Args:
            record: The log record.
            datefmt: Not used.

        Returns:
            The time, as `logging` writes it. Lines of one second share all but its fraction.
        """
        second = int(record.created)
        last, shown = self._last
        if second != last:
            shown = time.strftime(self.default_time_format, self.converter(second))
            self._last = second, shown
        return f"{shown},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        """Make the line.

        Args:
            record: The log record.

        Returns:
            The line, without its end. The lines of an exception or of a stack follow it.
        """
        at, message = self.formatTime(record), record.getMessage()
        line = f"{at} {record.levelname:<7} {record.name} {message}"
        request_id = getattr(record, "request_id", _NONE)
        if request_id not in (_NONE, "") and request_id not in line:
            line = f"{line} [{request_id}]"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            line = f"{line}\n{self.formatStack(record.stack_info)}"
        return line
