"""With a memory of requests a connection delivers and answers what it does without, byte for byte.

Whatever comes: what two servers could read differently is not remembered, and what is remembered is
the parser's own reading of a head whose every byte is the same but the digits of the length.
"""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.serving.known_requests import KnownRequests
from mintage.serving.protocol import BoundedProtocol
from mintage.serving.settings import ServerSection
from tests.serving.known_or_not import Lab, Nothing

END = b"\r\n\r\n"


def post(
    body: bytes, *, head: bytes = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d"
) -> bytes:
    return head % len(body) + END + body


POST = post(b"abc")
LINE = b"content-length: 3"
OTHERS = {
    "another length of body": post(b"abcd"),
    "a length of two digits": post(b"0123456789"),
    "other letters": POST.replace(b"content-length", b"Content-Length"),
    "no blank": POST.replace(LINE, b"content-length:3"),
    "a sign": POST.replace(LINE, b"content-length: +3"),
    "a zero before": POST.replace(LINE, b"content-length: 03"),
    "two blanks": POST.replace(LINE, b"content-length:  3"),
    "a blank behind": POST.replace(LINE, LINE + b" "),
    "a tab": POST.replace(LINE, b"content-length:\t3"),
    "no number": POST.replace(LINE, b"content-length: 0x3"),
    "no length": POST.replace(LINE, b"content-length: "),
    "the length on the next line": POST.replace(LINE, b"content-length:\r\n 3"),
    "more of it on the next line": POST.replace(LINE, LINE + b"\r\n 3"),
    "twice": POST.replace(LINE, LINE + b"\r\n" + LINE),
    "two lengths": POST.replace(LINE, LINE + b"\r\ncontent-length: 4"),
    "two lengths, the other first": POST.replace(LINE, b"content-length: 4\r\n" + LINE),
    "chunks too": POST.replace(LINE, LINE + b"\r\ntransfer-encoding: chunked"),
    "chunks first": POST.replace(LINE, b"transfer-encoding: chunked\r\n" + LINE),
    "a coding that is none": POST.replace(LINE, LINE + b"\r\ntransfer-encoding: identity"),
    "another header has the number": POST.replace(LINE, b"x-age: 3\r\n" + LINE),
    "only another header has it": POST.replace(LINE, b"x-age: 3"),
    "a name that ends alike before": POST.replace(LINE, b"x-content-length: 3\r\n" + LINE),
    "a length of many digits": POST.replace(LINE, LINE[:-1] + b"1" * 17),
    "chunks": POST.replace(LINE, b"transfer-encoding: chunked"),
    "a name that ends alike": POST.replace(LINE, b"x-content-length: 3"),
    "waits to continue": POST.replace(LINE, LINE + b"\r\nexpect: 100-continue"),
    "a longer body": POST + b"d",
    "a body longer by a line break": POST + b"\r\n",
    "a shorter body": POST[:-1],
    "a body that ends like a head": post(b"abc" + END),
    "no body": POST[:-3],
    "a length of none": post(b""),
    "another request behind": POST + POST,
    "a request without a body behind": POST + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a request in the body": post(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
    "line breaks before": b"\r\n\r\n" + POST,
    "line feeds alone": POST.replace(b"\r\n", b"\n"),
    "another protocol": POST.replace(LINE, LINE + b"\r\nconnection: upgrade\r\nupgrade: h2c"),
    "a WebSocket": POST.replace(LINE, LINE + b"\r\nconnection: upgrade\r\nupgrade: websocket"),
    "an older version": POST.replace(b"1.1", b"1.0"),
    "the last one": POST.replace(LINE, LINE + b"\r\nconnection: close"),
    "another method": POST.replace(b"POST", b"PUT"),
    "a method with no body": POST.replace(b"POST", b"HEAD"),
    "a query": POST.replace(b"POST /", b"POST /?code=1"),
    "a client's secret": POST.replace(LINE, LINE + b"\r\nauthorization: basic YTpi"),
    "a proof": POST.replace(LINE, LINE + b"\r\ndpop: e.e.s"),
    "a trace": POST.replace(LINE, LINE + b"\r\ntraceparent: 00-a-b-01"),
    "a cookie": POST.replace(LINE, LINE + b"\r\ncookie: a=b"),
    "answered before it is read": POST.replace(b"POST /", b"POST /early"),
    "a large body": post(b"x" * 65000),
    "a larger body": post(b"x" * 65537),
}


async def compare(reads: list[bytes], *, tick_after: int | None = None) -> list[Any]:
    """What is delivered of *reads*, at first and when their requests are known.

    With a memory, a second passes after the read of that number.
    """
    wanted = await Lab(Nothing()).deliver(reads)
    lab = Lab(KnownRequests())
    for _ in range(3):
        assert await lab.deliver(reads, tick_after=tick_after) == wanted
    return wanted


def apart(data: bytes) -> list[bytes]:
    """Head and body of *data*, as some clients send them."""
    head, end, body = data.partition(END)
    return [head + end, body] if body else [head + end]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_attack_d08_another_head_or_body_behind_a_known_one(other: bytes) -> None:
    """On the same connection, and as often as it comes."""
    noted = await compare([POST, POST, other, POST, other, POST])
    assert [message["body"] for message in noted[1:4:2]] == [b"abc", b"abc"]
    await compare([other, other, POST, other])


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_attack_d08_head_and_body_in_two_reads(other: bytes) -> None:
    reads = apart(POST)
    noted = await compare([*reads, POST, *apart(other), *reads, other, *reads])
    assert [message["body"] for message in noted[1:4:2]] == [b"abc", b"abc"]
    await compare([*apart(other), other, *apart(other), *reads, *apart(other)])


KNOWN = {"another length of body", "a length of two digits", "other letters", "another method",
         "a large body", "the last one", "an older version", "a body that ends like a head",
         "a method with no body", "answered before it is read", "a request in the body",
         "another header has the number", "a name that ends alike before", "a shorter body",
         "no body"}  # fmt: skip
KNOWN_BY_ITS_HEAD = {"a longer body", "a body longer by a line break", "a larger body",
                     "another request behind", "a request without a body behind"}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
async def test_attack_d08_only_what_has_one_reading_and_no_secret_is_remembered(name: str) -> None:
    for reads, names in [([OTHERS[name]], KNOWN), (apart(OTHERS[name]), KNOWN | KNOWN_BY_ITS_HEAD)]:
        known = KnownRequests()
        await Lab(known).deliver(reads)
        remembered = [key for key in known if isinstance(key, tuple)]
        assert bool(remembered) == (name in names)


@pytest.mark.parametrize("size", [0, 1, 2])
async def test_a_body_may_come_after_its_head(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser gets neither, and what is behind the body is parsed."""
    known = KnownRequests()
    lab = Lab(known)
    await lab.deliver([POST])
    parsed: list[bytes] = []
    on_url = BoundedProtocol.on_url

    def noted(self: BoundedProtocol, url: bytes) -> None:
        parsed.append(url)
        on_url(self, url)

    monkeypatch.setattr(BoundedProtocol, "on_url", noted)
    at = POST.index(END) + len(END) + size
    other = b"GET /behind HTTP/1.1\r\n\r\n"
    reads = [POST[:at], POST[at:], POST[:at], POST[at:] + other, POST]
    delivered = (await lab.deliver(reads))[:-2]
    assert parsed == [b"/behind"]
    assert [each["path"] for each in delivered if "path" in each] == ["/", "/", "/behind", "/"]
    assert b"".join(each.get("body", b"") for each in delivered) == b"abc" * 3


async def test_attack_d08_the_number_of_another_header_is_no_length() -> None:
    alike = [POST.replace(LINE, b"x-content-length: %d\r\n" % size + LINE) for size in (3, 4, 2)]
    await compare([*alike, *alike, *apart(alike[1]), *apart(alike[2])])


async def test_attack_d08_a_long_body_of_a_known_head_in_many_pieces() -> None:
    data = post(b"x" * 200_000)
    pieces = [data[at : at + 30_000] for at in range(0, len(data), 30_000)]
    await compare([POST, *pieces, POST + data[:100], data[100:] + POST[:20], POST[20:]])


async def test_a_post_is_parsed_once_whatever_its_length() -> None:
    known = KnownRequests()
    lab = Lab(known)
    reads = [post(b"x" * size) for size in (10, 99, 57)]
    await lab.deliver(reads)
    assert len(known) == 1
    [parsed] = known.values()
    assert parsed.headers == [(b"host", b"x"), (b"content-length", b"10")]
    noted = await lab.deliver(reads)
    assert [each["headers"][1][1] for each in noted[:-2:2]] == [b"10", b"99", b"57"]
    assert [len(each["body"]) for each in noted[1:-2:2]] == [10, 99, 57]
    assert len(known) == 1


async def test_attack_d08_a_known_head_is_split_anywhere() -> None:
    head = POST.index(END) + len(END)
    for at in range(1, len(POST)):
        await compare([POST, POST[:at], POST[at:], POST])
        await compare([POST, POST + POST[:at], POST[at:] + POST, POST])
        await compare([POST, POST[:head], POST[head:] + POST[:at], POST[at:], POST])


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("line", [b"content-length: 3\r\n", b""])
async def test_bytes_behind_the_last_request_do_not_take_its_answer(
    version: bytes, line: bytes
) -> None:
    """The same if its head was known, and the parser has read none of it."""
    head = b"POST /slow HTTP/%b\r\n%bconnection: close\r\n\r\n" % (version, line)
    body = b"abc" if line else b""
    for reads in ([head + body, b"x"], [head, body + b"x"], [head, body, b"\r\n", b"GET /"]):
        noted = await compare([read for read in reads if read])
        assert noted[1:-2] == [{"type": "http.request", "body": body, "more_body": False}]
        assert b"answered" in noted[-2]


async def test_attack_e05_a_known_head_counts_for_the_limits_as_any_other() -> None:
    """The digits of the length count too."""
    head = b"POST / HTTP/1.1\r\nx: " + b"y" * 999 + b"\r\ncontent-length: %d"
    reads = [post(b"x" * size, head=head) for size in (9, 8, 10)]
    bounds = ServerSection(max_head_bytes=1024)
    wanted = await Lab(Nothing(), bounds).deliver(reads)
    assert len(wanted) == 6
    assert b"HTTP/1.1 431" in wanted[-2]
    lab = Lab(KnownRequests(), bounds)
    for _ in range(3):
        assert await lab.deliver(reads) == wanted


sizes = st.integers(0, 12)
lines = st.sampled_from(
    [
        LINE,
        b"Content-Length: %d",
        b"content-length: %d",
        b"content-length: %d",
        b"content-length: %d",
        b"content-length: 0%d",
        b"content-length: +%d",
        b"content-length: %d ",
        b"content-length:%d",
        b"x-content-length: %d",
        b"transfer-encoding: chunked",
        b"expect: 100-continue",
        b"connection: close",
        b"connection: upgrade\r\nupgrade: h2c",
        b"cookie: a=b",
        b"x: %d",
        b" %d",
        b"accept: */*",
    ]
)
bodies = st.one_of(
    sizes.map(lambda size: b"x" * size),
    st.sampled_from([END, b"\r\n", POST, b"3\r\nabc\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]),
)
heads = st.tuples(
    st.sampled_from(
        [
            b"POST / HTTP/1.1",
            b"POST /early HTTP/1.1",
            b"POST /slow HTTP/1.1",
            b"GET /x?y HTTP/1.0",
        ]
    ),
    st.lists(lines, max_size=4),
)


@st.composite
def some_reads(draw: st.DrawFn) -> list[bytes]:
    """Requests of a few kinds, with bodies as long as stated or not, cut into reads anywhere."""
    kinds = draw(st.lists(heads, min_size=1, max_size=3))
    reads: list[bytes] = []
    for _ in range(draw(st.integers(1, 6))):
        first, kind = draw(st.sampled_from(kinds))
        body = draw(bodies)
        stated = len(body) + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
        filled = [line.replace(b"%d", b"%d" % max(stated, 0)) for line in kind]
        data = b"\r\n".join([first, *filled]) + END + body
        cut = draw(st.sampled_from(["whole", "whole", "apart", "apart", "split", "joined"]))
        if cut == "joined" and reads:
            reads[-1] += data
        elif cut == "apart":
            reads += apart(data)
        elif cut == "split":
            ends = draw(st.lists(st.integers(1, len(data) - 1), min_size=1, max_size=4))
            at = [0, *sorted({*ends}), len(data)]
            reads += [data[start:end] for start, end in pairwise(at)]
        else:
            reads.append(data)
    return reads


@settings(max_examples=200, deadline=None)
@given(some_reads())
def test_attack_d08_any_requests_are_delivered_as_without_a_memory(reads: list[bytes]) -> None:
    asyncio.run(compare(reads))


@settings(max_examples=300, deadline=None)
@given(some_reads(), st.integers(0, 6))
def test_attack_d08_a_second_that_passes_changes_nothing(reads: list[bytes], number: int) -> None:
    """The connection may have no parser after it, however much of a request has come."""
    asyncio.run(compare(reads, tick_after=number))
