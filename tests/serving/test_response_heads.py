"""The head of a response: what is sent, how its body ends, and what no header may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.serving.response_heads import head_of


def test_a_stated_length_is_the_framing() -> None:
    head, length, chunked, stays = head_of(200, [(b"Content-Length", b"3"), (b"x-a", b"b")])
    assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: b\r\n\r\n"
    assert (length, chunked, stays) == (3, False, True)


def test_a_name_may_hold_a_percent_sign() -> None:
    head, *_ = head_of(200, [(b"content-length", b"0"), (b"x-%b%", b"%b")])
    assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-%b%: %b\r\n\r\n"


def test_without_a_length_the_body_is_sent_in_chunks() -> None:
    head, length, chunked, _ = head_of(200, [])
    assert head == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (length, chunked) == (None, True)


def test_chunks_win_over_a_length() -> None:
    """An application that states both sends chunks; a reader would take the chunks too."""
    _, length, chunked, _ = head_of(
        200, [(b"content-length", b"3"), (b"transfer-encoding", b"Chunked")]
    )
    assert (length, chunked) == (None, True)


@pytest.mark.parametrize(("status", "for_head"), [(204, False), (304, False), (200, True)])
def test_no_body_needs_no_framing(status: int, *, for_head: bool) -> None:
    head, length, chunked, _ = head_of(status, [], for_head=for_head)
    assert b"chunked" not in head
    assert (length, chunked) == (0, False)


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    """RFC 9112 §6.3: its body ends with the connection."""
    head, length, chunked, stays = head_of(
        200, [(b"transfer-encoding", b"chunked")], keep_alive=False, plain=True
    )
    assert head == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    assert (length, chunked, stays) == (None, False, False)


def test_an_application_may_close_the_connection() -> None:
    head, *_, stays = head_of(204, [(b"connection", b"x, Close")])
    assert not stays
    assert head.count(b"lose") == 1


def test_a_status_without_a_name_is_sent() -> None:
    assert head_of(299, [])[0].startswith(b"HTTP/1.1 299 \r\n")


@given(value=st.binary(max_size=20), at=st.integers(0, 2))
def test_no_value_begins_a_line_of_its_own(value: bytes, at: int) -> None:
    """A backend's or an application's header says one thing, whatever bytes it holds."""
    headers = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-c", b"3")]
    headers[at] = (headers[at][0], value)
    controls = any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in value)
    if controls:
        with pytest.raises(ValueError, match="value"):
            head_of(200, headers)
    else:
        head, *_ = head_of(200, headers)
        assert head.count(b"\n") == head.count(b"\r") == 6


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"\xe4", b"a\0"])
def test_a_name_is_a_token(name: bytes) -> None:
    with pytest.raises(ValueError, match="name"):
        head_of(200, [(name, b"1")])
