"""The log of ``mintage serve``: for people or for programs, and how much of it."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from mintage.cli.logs import start_log
from mintage.errors import ConfigError
from mintage.logs import JsonLines, TextLines
from mintage.testing.nanoidp import free_port
from tests.support.command import CONFIG, served


@pytest.fixture
def loggers() -> Iterator[None]:
    """What a test sets is as it was afterwards."""
    named = [logging.getLogger(name) for name in ("", "mintage", "mintage.upstream", "websockets")]
    before = [(one, one.level, list(one.handlers)) for one in named]
    looks_for_its_caller, factory = logging._srcfile, logging.getLogRecordFactory()
    logging.getLogger().handlers.clear()
    yield
    logging._srcfile = looks_for_its_caller
    logging.setLogRecordFactory(factory)
    for one, level, handlers in before:
        one.setLevel(level)
        one.handlers[:] = handlers


def start_alone() -> logging.Handler:
    """Start the log as in a process of its own, without pytest's handlers. Returns its handler."""
    logging.getLogger().handlers.clear()
    start_log()
    [handler] = logging.getLogger().handlers
    return handler


async def test_a_program_reads_an_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mintage.toml"
    port = free_port()
    file.write_text(
        CONFIG.format(
            issuer=f"http://127.0.0.1:{port}", directory=tmp_path, backend="http://127.0.0.1:9"
        )
    )
    async with served(file, port, "--log-format", "json") as server:
        server.terminate()
        assert server.stderr is not None
        rest = (await server.stderr.read()).splitlines()
    lines = [json.loads(line) for line in rest]
    assert "Shutting down" in [line["message"] for line in lines]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)


def test_the_time_of_a_line_is_written_as_logging_writes_it() -> None:
    ours, theirs = TextLines(), logging.Formatter()
    record = logging.LogRecord("mintage", logging.INFO, __file__, 1, "a", (), None)
    for second, millisecond in ((100, 0.0), (100, 999.9), (101, 7.0), (100, 7.0), (2**31, 1.5)):
        record.created, record.msecs = second + millisecond / 1000, millisecond
        assert ours.formatTime(record) == theirs.formatTime(record)


@pytest.mark.parametrize(
    ("message", "args", "told"),
    [
        ("100%", (), "100%"),
        ("%s of %d", ("a", 2), "a of 2"),
        ("%s", ({},), "{}"),
        ("%(who)s", ({"who": "alice"},), "alice"),
    ],
)
def test_a_line_is_written_as_logging_writes_it(
    message: str, args: tuple[object, ...], told: str
) -> None:
    record = logging.LogRecord("mintage.a", logging.INFO, __file__, 1, message, args, None)
    theirs = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s")
    assert TextLines().format(record) == theirs.format(record)
    assert TextLines().format(record).endswith(f" INFO    mintage.a {told}")


def test_an_exception_and_a_stack_follow_their_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord(
            "a", logging.ERROR, "", 1, "b", (), sys.exc_info(), "f", "Stack:\n  here"
        )
    record.request_id = "0a1b2c"
    first, *more = TextLines().format(record).splitlines()
    assert first.endswith(" ERROR   a b [0a1b2c]")
    assert more[0] == "Traceback (most recent call last):"
    assert more[-3:] == ["ValueError: why", "Stack:", "  here"]


def test_other_handlers_still_find_what_they_show(loggers: None) -> None:
    """A program that instruments the server may add a handler of its own."""
    start_log()
    written = io.StringIO()
    other = logging.StreamHandler(written)
    other.setFormatter(logging.Formatter("%(filename)s %(threadName)s %(process)s %(message)s"))
    logging.getLogger().addHandler(other)
    logging.getLogger("mintage.events").info("a login")
    assert written.getvalue().endswith(" a login\n")


def test_a_record_of_the_server_has_all_that_others_have(loggers: None) -> None:
    theirs = logging.LogRecord("mintage", logging.INFO, "", 0, "", (), None)
    start_log()
    ours = logging.getLogger("mintage").makeRecord(
        "mintage", logging.INFO, "", 0, "%(a)s", ({"a": 1},), None, extra={"more": 2}
    )
    assert vars(ours).keys() >= vars(theirs).keys()
    assert (ours.getMessage(), vars(ours)["more"]) == ("1", 2)
    assert ours.created >= theirs.created
    assert 0 <= ours.msecs < 1000


def test_a_filter_that_a_program_adds_to_the_handler_counts(
    loggers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    start_alone().addFilter(lambda record: "secret" not in record.getMessage())
    log = logging.getLogger("mintage")
    log.info("a secret")
    log.info("a word")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO    mintage a word")


def test_a_line_that_can_not_be_written_stops_nobody(
    loggers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    start_alone()
    logging.getLogger("mintage").info("%d", "no number")
    assert "--- Logging error ---" in capsys.readouterr().err


def test_each_record_is_one_line_whatever_it_holds() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord(
            "mintage", logging.ERROR, __file__, 1, "a %s", ("b\nc\u2028\x1b[2J",), sys.exc_info()
        )
    text = JsonLines().format(record)
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    line = json.loads(text)
    assert (line["level"], line["message"]) == ("error", "a b\nc\u2028\x1b[2J")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None


@pytest.mark.parametrize(
    ("levels", "root", "ours", "upstream"),
    [
        ((), "INFO", "INFO", "INFO"),
        (("warning",), "WARNING", "WARNING", "WARNING"),
        (("debug",), "INFO", "DEBUG", "DEBUG"),
        (("error", "mintage.upstream=debug"), "ERROR", "ERROR", "DEBUG"),
    ],
)
def test_a_level_is_for_mintage_or_for_a_part_of_it(
    loggers: None, levels: tuple[str, ...], root: str, ours: str, upstream: str
) -> None:
    start_log(levels)
    effective = [
        logging.getLevelName(logging.getLogger(name).getEffectiveLevel())
        for name in ("", "mintage", "mintage.upstream")
    ]
    assert effective == [root, ours, upstream]
    assert logging.getLogger("websockets").getEffectiveLevel() >= logging.WARNING


@pytest.mark.parametrize("level", ["loud", "mintage=loud", "httpx2=debug", "websockets=info", "x="])
def test_what_is_no_level_is_refused_and_changes_nothing(loggers: None, level: str) -> None:
    before = logging.getLogger().level
    with pytest.raises(ConfigError, match="--log-level"):
        start_log(["debug", level])
    assert logging.getLogger().level == before


def test_a_wrong_level_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mintage", "serve", "--log-level", "loud"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "mintage: --log-level: 'loud' is none of: debug, info, warning, error; or NAME=LEVEL\n"
    )
