"""nginx and HAProxy, which keep their connections to Mintage, and Mintage, which keeps them longer.

Short times in place of the usual ones (60 and 75 seconds): nginx keeps a connection for two
seconds, HAProxy for about one, and Mintage for three. Bytes take fifteen milliseconds.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from mintage.network.tls import trusted
from mintage.testing.nanoidp import free_port
from tests.support.fleet import fleet
from tests.support.proxies import program, running
from tests.support.servers import Wire

pytestmark = [
    pytest.mark.timeout(120),
    # The wire aborts its lines at the end, and leaves them to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KEPT = 3  # seconds, by Mintage
NGINX = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream mintage {{
        server 127.0.0.1:{mintage};
        keepalive 16;
        keepalive_timeout 2s;
    }}
    server {{
        listen 127.0.0.1:{listen};
        location / {{
            proxy_pass http://mintage;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}
"""
HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    http-reuse always
    retries 0
listen public
    bind 127.0.0.1:{listen}
    server mintage 127.0.0.1:{mintage} pool-purge-delay 250ms
"""


@asynccontextmanager
async def front(kind: str, directory: Path, mintage: int) -> AsyncIterator[str]:
    listen = free_port()
    text = NGINX if kind == "nginx" else HAPROXY
    file = directory / "front.conf"
    file.write_text(text.format(directory=directory, listen=listen, mintage=mintage))
    options = ["-p", str(directory), "-c"] if kind == "nginx" else ["-db", "-f"]
    command = [program(kind), *options, str(file)]
    async with running(*command, port=listen, log=directory / "front.log"):
        yield f"http://127.0.0.1:{listen}"


async def asked(url: str, idle: float) -> list[tuple[int, str]]:
    """Two requests that may not be sent again, *idle* seconds apart, on a connection of its own."""
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "y"}
    async with httpx2.AsyncClient(verify=trusted(), trust_env=False, timeout=20) as http:
        answers = []
        for pause in (0.0, idle):
            await asyncio.sleep(pause)
            answer = await http.post(f"{url}/token", data=form)
            answers.append((answer.status_code, answer.json()["error"]))
        return answers


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
async def test_no_request_is_lost_on_a_connection_that_was_kept(kind: str, tmp_path: Path) -> None:
    pauses = [0.05, 0.1, 0.5, *(near + 0.02 * n for near in (0.9, 1.9, 2.9) for n in range(10))]
    async with fleet(tmp_path, processes=1) as running_:
        with running_.file.open("a") as file:
            file.write(f"[server]\nkeep_alive_seconds = {KEPT}\n")
        async with (
            running_.serving(0),
            Wire(running_.ports[0], delay=0.015).running() as wire,
            front(kind, tmp_path, wire.port) as url,
        ):
            answers = await asyncio.gather(*(asked(url, pause) for pause in pauses))
    assert {answer for both in answers for answer in both} == {(401, "invalid_client")}
    assert 0 < wire.carried < 2 * len(pauses), "connections are kept, and used again"
    assert not re.search(
        r"upstream prematurely|reset by peer", (tmp_path / "front.log").read_text()
    )
