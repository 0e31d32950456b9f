"""What the demo prints: colours that tell answers apart, long lines folded in place."""

import io

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mintage.demo.browsers import has_browser
from mintage.demo.paste import lines_to_paste
from mintage.demo.request_log import RequestLog, Seen, call_of, line, plain
from mintage.demo.show import Show, fold, status_style


def shown(width: int, *responses: httpx2.Response) -> str:
    out = io.StringIO()
    show = Show(Console(file=out, width=width, force_terminal=True, color_system="standard"))
    for response in responses:
        show.exchange(response)
    return out.getvalue()


def answer(status: int, url: str = "http://h/mcp") -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", url))


def test_good_answers_and_refusals_have_different_colours() -> None:
    styles = [status_style(status) for status in (200, 303, 401, 503)]
    assert len(set(styles)) == 4
    green, yellow = "\x1b[32m200 OK", "\x1b[33m401 Unauthorized"
    text = shown(80, answer(200), answer(401))
    assert (green in text, yellow in text) == (True, True)


def test_a_long_line_is_folded_before_an_ampersand_and_keeps_its_indent() -> None:
    query = "&".join(f"name{n}=value{n}" for n in range(8))
    text = shown(40, answer(200, f"http://127.0.0.1/authorize?{query}"))
    plain_text = "".join(part.partition("m")[2] for part in text.split("\x1b[") if part)
    lines = [line for line in plain_text.splitlines() if "name" in line]
    assert len(lines) > 2
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith("      &name") for line in lines[1:])


@given(st.text("ab&? ,", max_size=200), st.integers(1, 30))
def test_folding_loses_nothing_but_blanks_and_keeps_to_the_width(text: str, width: int) -> None:
    lines = fold(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("body", "call"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', "tools/list"),
        (b'{"method":"tools/call","params":{"name":"whoami"}}', "tools/call whoami"),
        (b'[{"method":"ping"}]', "ping"),
        (b'{"method":"a\\u001b[2Jb"}', "a\\x1b[2Jb"),
        (b'{"method":7}', ""),
        (b"{", ""),
        (b"[]", ""),
        (b"grant_type=authorization_code&code=secret", ""),
        (b'{"method":"' + b"x" * 70_000 + b'"}', ""),
        (b"[" * 60_000, ""),
    ],
)
def test_the_call_in_a_body(body: bytes, call: str) -> None:
    assert call_of(body) == call


def test_what_a_client_sends_does_not_steer_the_terminal() -> None:
    assert plain("\x1b]0;title\x07\n") == "\\x1b]0;title\\x07\\n"
    assert len(plain("x" * 1000)) == 61


async def test_a_request_is_one_line_without_its_query() -> None:
    seen: list[Seen] = []
    times = iter([1.0, 1.25])
    log = RequestLog(observe=seen.append, clock=lambda: next(times))

    async def app(scope: object, receive: object, send: object) -> None:
        await receive()  # type: ignore[operator]
        await send({"type": "http.response.start", "status": 200})  # type: ignore[operator]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b'{"method":"ping"}'}

    async def send(_: object) -> None: ...

    scope = {"type": "http", "method": "POST", "path": "/mcp", "query_string": b"code=secret"}
    await log.before(app)(scope, receive, send)
    assert seen == [Seen("POST", "/mcp", 200, 0.25, "ping")]
    text = line(seen[0], "10:41:07").plain
    assert text.split() == ["10:41:07", "200", "250", "ms", "POST", "/mcp", "ping"]


def test_every_client_gets_the_address() -> None:
    url = "http://127.0.0.1:8080/mcp"
    for client, text in lines_to_paste(url, "dev"):
        assert url in text or "serverUrl=http%3A%2F%2F127.0.0.1%3A8080%2Fmcp" in text, client


@pytest.mark.parametrize(
    ("environ", "platform", "has"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "x"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "x"}, "darwin", False),
        ({}, "win32", True),
        ({"BROWSER": "/usr/bin/wslview"}, "linux", True),
        ({"BROWSER": "helpers/browser.sh %s", "SSH_CONNECTION": "x"}, "linux", True),
        ({"BROWSER": "/usr/bin/w3m %s", "DISPLAY": ":0"}, "linux", False),
        ({"BROWSER": " "}, "linux", False),
    ],
)
def test_a_page_opens_where_there_is_a_screen(
    environ: dict[str, str],
    platform: str,
    has: bool,  # noqa: FBT001
) -> None:
    assert has_browser(environ, platform) is has


def test_no_cookie_is_shown_whole() -> None:
    request = httpx2.Request("GET", "http://h/consent")
    cookie = "mintage-browser-x1=nrK2Zq8sTm4LdX0aPwv7; HttpOnly; Path=/consent"
    text = shown(200, httpx2.Response(200, request=request, headers={"set-cookie": cookie}))
    assert "mintage-browser-x1=nrK2…; HttpOnly; Path=/consent" in text
