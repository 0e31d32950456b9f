"""The audit trail never waits for where it writes, and loses nothing without saying so."""

import base64
import errno
import fcntl
import hashlib
import hmac
import json
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mintage.audit.file import FileSink, StreamSink
from mintage.audit.trail import NotWritten, Trail
from mintage.audit.webhook import WebhookSink
from mintage.values import Secret

_FIRST_PAUSE = 0.01


@dataclass
class Sink:
    """Writes to a list, if *works*. *told* is set at each attempt."""

    name: str = "the sink"
    works: bool = True
    problem: NotWritten = field(default_factory=lambda: NotWritten("no space"))
    lines: list[bytes] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)
    closed: bool = False

    def write(self, lines: Sequence[bytes]) -> None:
        works = self.works
        if works:
            self.lines.extend(lines)
        self.told.set()
        if not works:
            raise self.problem

    def close(self) -> None:
        self.closed = True

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def numbered(number: int) -> Callable[[int], bytes]:
    def line(dropped: int) -> bytes:
        record = {"number": number} | ({"dropped": dropped} if dropped else {})
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    return line


def put(trail: Trail, *numbers: int) -> None:
    for number in numbers:
        trail.put(numbered(number))


def test_records_are_written_in_their_order() -> None:
    sink = Sink()
    trail = Trail(sink)
    put(trail, *range(1000))
    trail.close()
    assert [record["number"] for record in sink.records] == list(range(1000))
    assert sink.closed


def test_what_has_no_room_is_counted_in_the_next_record(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(works=False)
    trail = Trail(sink, size=3, first_pause=_FIRST_PAUSE)
    put(trail, *range(10))
    until(lambda: trail.problem is not None)
    sink.works = True
    until(lambda: trail.problem is None)
    put(trail, 10, 11)
    trail.close()
    assert sink.records == [
        {"number": 0},
        {"number": 1},
        {"number": 2},
        {"number": 10, "dropped": 7},
        {"number": 11},
    ]
    assert caplog.text.count("too many records wait") == 1


def test_a_failure_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = Sink(works=False)
    trail = Trail(sink, first_pause=_FIRST_PAUSE)
    put(trail, 1)
    for _ in range(3):
        sink.told.clear()
        assert sink.told.wait(5)
    assert trail.problem == "no space"
    sink.works = True
    until(lambda: trail.problem is None)
    trail.close()
    assert sink.records == [{"number": 1}]
    assert caplog.messages == [
        "the sink: records can't be written: no space",
        "the sink: records are written again",
    ]


def test_records_that_are_never_accepted_do_not_stop_those_behind_them() -> None:
    sink = Sink(works=False, problem=NotWritten("it answered 400", refused=1))
    trail = Trail(sink, first_pause=_FIRST_PAUSE)
    put(trail, 1)
    until(lambda: trail.problem is not None)
    sink.works = True
    put(trail, 2)
    trail.close()
    assert sink.records == [{"number": 2, "dropped": 1}]


def test_a_stop_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(works=False)
    trail = Trail(sink, first_pause=_FIRST_PAUSE)
    put(trail, 1, 2)
    began = time.monotonic()
    trail.close(seconds=0.1)
    assert time.monotonic() - began < 5
    assert "2 records were not written before the stop" in caplog.text


def test_a_sink_that_hangs_stops_nobody() -> None:
    entered, release = threading.Event(), threading.Event()

    class Hangs(Sink):
        def write(self, lines: Sequence[bytes]) -> None:
            entered.set()
            release.wait(10)

    trail = Trail(Hangs(), size=10)
    put(trail, 1)
    assert entered.wait(5)
    began = time.monotonic()
    put(trail, *range(100))
    assert time.monotonic() - began < 5
    release.set()
    trail.close()


class TestFile:
    def test_that_was_renamed_is_begun_anew(self, tmp_path: Path) -> None:
        path, rotated = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
        sink = FileSink(path)
        sink.write([b"1\n", b"2\n"])
        path.rename(rotated)
        sink.write([b"3\n"])
        sink.close()
        assert (rotated.read_bytes(), path.read_bytes()) == (b"1\n2\n", b"3\n")

    def test_that_was_truncated_has_no_hole(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        sink = FileSink(path)
        sink.write([b"1\n"])
        os.truncate(path, 0)
        sink.write([b"2\n"])
        sink.close()
        assert path.read_bytes() == b"2\n"

    def test_others_do_not_read(self, tmp_path: Path) -> None:
        sink = FileSink(tmp_path / "audit.jsonl")
        sink.close()
        assert (tmp_path / "audit.jsonl").stat().st_mode & 0o007 == 0

    def test_of_several_processes_has_whole_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=_append, args=(path, number)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(lines) == 4 * 500
        assert {(line["of"], line["number"]) for line in lines} == {
            (of, number) for of in range(4) for number in range(500)
        }

    @pytest.mark.parametrize("before", [[], [b"1\n"]], ids=["opened", "written"])
    def test_gets_no_empty_line_where_another_process_is_in_the_middle_of_one(
        self, before: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, waits = tmp_path / "audit.jsonl", threading.Event()
        sink = FileSink(path)
        sink.write(before)
        monkeypatch.setattr("mintage.audit.file._PATIENCE", 60)
        monkeypatch.setattr(time, "sleep", partial(_wait, time.sleep, waits))
        with path.open("ab", buffering=0) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            other.write(b"the first half ")
            writing = threading.Thread(target=sink.write, args=([b"2\n"],))
            writing.start()
            assert waits.wait(30)
            other.write(b"and the second\n")
        writing.join(30)
        sink.close()
        assert path.read_bytes() == b"".join([*before, b"the first half and the second\n2\n"])

    def test_is_written_also_if_a_stopped_process_holds_its_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "audit.jsonl"
        monkeypatch.setattr("mintage.audit.file._PATIENCE", 0.01)
        sink = FileSink(path)
        with path.open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            sink.write([b"1\n"])
            assert path.read_bytes() == b"1\n"
        sink.close()

    def test_is_written_where_the_file_system_has_no_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "audit.jsonl"
        monkeypatch.setattr(fcntl, "flock", _no_locks)
        sink = FileSink(path)
        sink.write([b"1\n"])
        sink.close()
        assert path.read_bytes() == b"1\n"

    def test_gets_many_records_in_one_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sink, writes = FileSink(tmp_path / "audit.jsonl"), list[bytes]()
        monkeypatch.setattr(os, "write", partial(_note, writes))
        sink.write([b"1\n", b"2\n", b"3\n"])
        assert writes == [b"1\n2\n3\n"]

    def test_that_is_a_pipe_gets_each_record_by_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, writes = tmp_path / "audit.pipe", list[bytes]()
        os.mkfifo(path)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        sink = FileSink(path)
        monkeypatch.setattr(os, "write", partial(_note, writes))
        sink.write([b"1\n", b"2\n"])
        os.close(reading)
        assert writes == [b"1\n", b"2\n"]

    @pytest.mark.parametrize(
        ("room", "first", "then"),
        [
            (0, 0, b"11\n22\n33\n"),
            (1, 0, b"1\n11\n22\n33\n"),
            (3, 1, b"11\n22\n33\n"),
            (5, 1, b"11\n22\n22\n33\n"),
            (8, 2, b"11\n22\n33\n33\n"),
        ],
    )
    def test_that_gets_full_within_a_write_has_each_record_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, first: int, then: bytes
    ) -> None:
        """A record that was cut short is there as well, as a line of its own."""
        path, lines, write = tmp_path / "audit.jsonl", [b"11\n", b"22\n", b"33\n"], os.write
        sink = FileSink(path)
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda to, data: write(to, data[:room]))
            with pytest.raises(NotWritten) as told:
                sink.write(lines)
        assert told.value.written == first
        sink.write(lines[first:])
        sink.close()
        assert path.read_bytes() == then

    def test_whose_last_line_was_cut_short_before_a_start_gets_a_new_line(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_bytes(b"11\n2")
        sink = FileSink(path)
        sink.write([b"33\n"])
        sink.write([b"44\n"])
        sink.close()
        assert path.read_bytes() == b"11\n2\n33\n44\n"

    def test_that_another_process_wrote_a_part_to_gets_a_new_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a full disk the writes of both fail, and one of them may have written a part."""
        path, write = tmp_path / "audit.jsonl", os.write
        one, other = FileSink(path), FileSink(path)
        one.write([b"11\n"])
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda to, data: write(to, data[:1]))
            with pytest.raises(NotWritten):
                other.write([b"22\n"])
            full.setattr(os, "write", lambda to, data: write(to, data[:0]))
            with pytest.raises(NotWritten):
                one.write([b"33\n"])
        one.write([b"33\n"])
        other.write([b"22\n"])
        one.close()
        other.close()
        assert path.read_bytes() == b"11\n2\n33\n22\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_on_a_full_disk_keeps_the_record_for_later(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        path.symlink_to("/dev/full")
        trail = Trail(FileSink(path), first_pause=_FIRST_PAUSE)
        put(trail, 1)
        until(lambda: trail.problem is not None)
        assert trail.problem == "No space left on device"
        path.unlink()
        until(lambda: trail.problem is None)
        trail.close()
        assert json.loads(path.read_text()) == {"number": 1}


def _note(writes: list[bytes], _: int, data: bytes) -> int:
    """In place of ``os.write``."""
    writes.append(data)
    return len(data)


def _same(line: bytes, _: int) -> bytes:
    return line


def _wait(sleep: Callable[[float], None], waits: threading.Event, seconds: float) -> None:
    waits.set()
    sleep(seconds)


def _no_locks(descriptor: int, kind: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def _append(path: Path, of: int) -> None:
    for opened in range(10):  # who opens the file looks at its end
        trail = Trail(FileSink(path))
        for number in range(50):
            record = {"of": of, "number": 50 * opened + number, "pad": "x" * 2000}
            trail.put(partial(_same, json.dumps(record).encode() + b"\n"))
        trail.close(30)


def test_records_on_a_stream() -> None:
    reading, writing = os.pipe()
    trail = Trail(StreamSink(writing))
    put(trail, 1, 2)
    trail.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == b'{"number":1}\n{"number":2}\n'


@dataclass
class Receiver:
    """A web service that takes records. *status*: what it answers."""

    status: int = 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for _, body in self.requests for line in body.splitlines()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.requests.append((headers, body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/in"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


class TestWebhook:
    SECRET = b"a secret for signatures, long enough"

    def trail(self, receiver: Receiver) -> Trail:
        sink = WebhookSink(
            receiver.url,
            clock=lambda: 1_800_000_000.5,
            authorization=Secret(b"Bearer of-the-receiver"),
            signing_secret=Secret(self.SECRET),
        )
        return Trail(sink, first_pause=_FIRST_PAUSE)

    def test_gets_signed_batches(self, receiver: Receiver) -> None:
        trail = self.trail(receiver)
        put(trail, 1, 2)
        trail.close()
        assert [record["number"] for record in receiver.records] == [1, 2]
        for headers, body in receiver.requests:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            mac = hmac.new(self.SECRET, signed, hashlib.sha256).digest()
            assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
            assert headers["webhook-timestamp"] == "1800000000"
            assert headers["authorization"] == "Bearer of-the-receiver"
            assert headers["content-type"] == "application/x-ndjson"

    def test_that_fails_gets_the_same_batch_again(self, receiver: Receiver) -> None:
        receiver.status = 503
        trail = self.trail(receiver)
        put(trail, 1)
        until(lambda: len(receiver.requests) >= 2)
        put(trail, 2)
        receiver.status = 200
        trail.close()
        first, again, *_ = receiver.requests
        assert first == again
        assert receiver.records[-2:] == [{"number": 1}, {"number": 2}]

    def test_that_refuses_a_batch_for_good_is_told_how_many_it_misses(
        self, receiver: Receiver
    ) -> None:
        receiver.status = 422
        trail = self.trail(receiver)
        put(trail, 1)
        until(lambda: trail.problem is not None)
        receiver.status = 200
        put(trail, 2)
        trail.close()
        assert receiver.records == [{"number": 1}, {"number": 2, "dropped": 1}]

    def test_that_is_not_there_is_named_without_secrets(
        self, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink = WebhookSink(
            "http://127.0.0.1:9/in/a-path", clock=time.time, authorization=Secret(b"hidden")
        )
        trail = Trail(sink, first_pause=_FIRST_PAUSE)
        put(trail, 1)
        until(lambda: trail.problem is not None)
        trail.close(0.1)
        assert "audit webhook at 127.0.0.1:9: records can't be written" in caplog.text
        assert "hidden" not in caplog.text
        assert "a-path" not in caplog.text

    def test_that_drips_its_answer_has_the_records_once_its_status_is_there(self) -> None:
        with dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n") as url:
            began = time.monotonic()
            WebhookSink(url, clock=time.time).write([b"1\n"])
            assert time.monotonic() - began < 5

    @pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nx-long: "])
    def test_that_never_gets_to_the_end_of_its_headers_has_failed(
        self, beginning: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with dripping(beginning) as url:
            trail = Trail(WebhookSink(url, clock=time.time, seconds=0.3), first_pause=_FIRST_PAUSE)
            put(trail, 1)
            until(lambda: trail.problem is not None, 5)
            assert trail.problem == "no answer in 0.3 seconds"
            trail.close(0.1)
        assert caplog.text.count("records can't be written") == 1


@contextmanager
def dripping(beginning: bytes) -> Iterator[str]:
    """The URL of a web service that answers with *beginning*, then with a byte now and then."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(beginning)
            with suppress(OSError):
                while not stopped.wait(0.1):
                    self.wfile.write(b"x" if beginning else b"")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/in"
    stopped.set()
    server.shutdown()
    server.server_close()
    thread.join()


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until *holds*; a thread works on it."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)
