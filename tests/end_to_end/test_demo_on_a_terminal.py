"""``mintage demo`` as a person sees it: on a terminal, until a signal to its whole group."""

import asyncio
import contextlib
import os
import pty
import signal
import sys

import httpx2
import pytest

from mintage.testing.browser import Browser
from tests.support.command import children, is_gone


class Terminal:
    """What a process writes to its terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.text = ""

    def on_output(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed: nothing more will come
            self.text += os.read(self._descriptor, 65536).decode(errors="replace")

    async def until(self, *words: str) -> None:
        async with asyncio.timeout(100):
            while not all(word in self.text for word in words):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_with_one_line_and_nothing_is_left(number: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    loop, terminal = asyncio.get_running_loop(), Terminal(ours)
    loop.add_reader(ours, terminal.on_output)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mintage", "demo", "--no-browser",
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    try:
        await terminal.until("Ctrl-C ends the demo")
        if number is signal.SIGINT:
            await log_in(terminal)
        below = children(child.pid)
        assert below
        before = len(terminal.text)
        os.killpg(child.pid, number)
        assert await asyncio.wait_for(child.wait(), 60) == 0
        assert all([await is_gone(pid) for pid in below])
        await terminal.until("Stopped.")
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert terminal.text[before:].split() == ["Stopped."]


async def log_in(terminal: Terminal) -> None:
    """As a person with a browser; the terminal shows each step while they do it."""
    url = terminal.text.partition("Now you: open ")[2].partition("http://")[2]
    page_url = "http://" + "".join(
        c for c in url.split(". ")[0].split("\x1b")[0] if c.isprintable()
    )
    async with Browser() as browser, httpx2.AsyncClient(trust_env=False) as http:
        style = await http.get(f"{page_url}/style.css")
        assert "prefers-color-scheme: dark" in style.text
        home = await browser.open(page_url)
        assert "Log in" in home.text
        consent = await browser.open(f"{page_url}/login")
        await terminal.until("POST /register", "GET /authorize")
        login = await browser.submit(consent, {"decision": "approve"})
        await terminal.until("POST /consent")
        done = await browser.submit(login, {"username": "admin", "password": "admin"})
    assert "You are logged in" in done.text
    await terminal.until("GET /callback", "POST /token")
