"""The programs of the lab, each started once: backends, proxies, Mintage, an application."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from mintage.testing.nanoidp import free_port
from tests.support.node import node
from tests.support.proxies import program

HERE: Final = Path(__file__).parent / "backends"
ROOT: Final = HERE.parents[2]
BACKENDS: Final = ("wsgi", "flask", "starlette", "node", "php")
SPEAKING: Final = ("sdk", "fastmcp")  # integrations of servers that speak MCP
INSIDE: Final = ("inside", *SPEAKING)
_PATIENCE: Final = 60  # seconds that a program may take to start on a loaded machine


@contextmanager
def started(
    command: Sequence[str], log: Path, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """*command*, until the block ends. What it prints is in *log*."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=os.environ | (environ or {}),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


def backend_command(
    kind: str, port: int, log: Path, prefixes: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of a backend that writes what it sees into *log*."""
    environ = {"LAB_LOG": str(log), "LAB_PREFIXES": " ".join(prefixes)}
    arguments = [str(port), str(log), *prefixes]
    match kind:
        case "wsgi":
            return [sys.executable, "-m", "tests.seams.backends.wsgi", *arguments], environ
        case "starlette":
            return [sys.executable, "-m", "tests.seams.backends.starlette_app", *arguments], environ
        case "flask":
            bound = [
                "-b",
                f"127.0.0.1:{port}",
                "--threads",
                "8",
                "--keep-alive",
                "60",
                "--graceful-timeout",
                "2",
            ]
            lenient = ["--log-level", "critical", "tests.seams.backends.flask_app:app"]
            return [sys.executable, "-m", "gunicorn", *bound, *lenient], environ
        case "node":
            return [str(node()), str(HERE / "server.js"), *arguments], environ
        case _:
            router = str(HERE / "router.php")
            return [program("php"), "-S", f"127.0.0.1:{port}", router], environ


def inside_command(kind: str, port: int, log: Path, settings: Path) -> list[str]:
    """An application with the login inside, which writes what it sees into *log*."""
    module = "tests.seams.backends.tools" if kind in SPEAKING else "tests.seams.backends.guarded"
    arguments = [kind] if kind in SPEAKING else []
    return [sys.executable, "-m", module, *arguments, str(port), str(log), str(settings)]


_NGINX: Final = """\
daemon off; master_process off; pid {at}/pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
    upstream mintage {{ server 127.0.0.1:{behind}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{listen};
        underscores_in_headers on;
        location / {{
            proxy_pass http://mintage;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""
_HAPROXY: Final = """\
global
    maxconn 2048
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend public
    bind 127.0.0.1:{listen}
    default_backend mintage
backend mintage
    server mintage 127.0.0.1:{behind}
"""
_CADDY: Final = """\
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{listen} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{behind}
}}
"""
_LIGHTTPD: Final = """\
server.port = {listen}
server.bind = "127.0.0.1"
server.document-root = "{at}"
server.modules = ("mod_proxy")
server.max-keep-alive-requests = 100000
proxy.server = ("" => (("host" => "127.0.0.1", "port" => {behind})))
"""
_APACHE: Final = """\
ServerRoot /usr/lib/apache2
PidFile {at}/pid
ErrorLog {at}/error.log
Listen 127.0.0.1:{listen}
ServerName 127.0.0.1
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
MaxKeepAliveRequests 0
AllowEncodedSlashes NoDecode
ProxyPass / http://127.0.0.1:{behind}/ nocanon
"""
PROXIES: Final = {
    "nginx": ("nginx.conf", _NGINX, ["nginx", "-p", "{at}", "-e", "stderr", "-c", "{file}"]),
    "haproxy": ("haproxy.cfg", _HAPROXY, ["haproxy", "-db", "-f", "{file}"]),
    "caddy": (
        "Caddyfile",
        _CADDY,
        ["caddy", "run", "--config", "{file}"],
    ),
    "lighttpd": ("lighttpd.conf", _LIGHTTPD, ["lighttpd", "-D", "-f", "{file}"]),
    "apache": ("apache.conf", _APACHE, ["apache2", "-X", "-f", "{file}"]),
}


def proxy_command(kind: str, at: Path, *, listen: int, behind: int) -> list[str]:
    """A proxy with the plainest configuration that passes everything on to port *behind*."""
    name, text, command = PROXIES[kind]
    file = at / name
    file.write_text(text.format(at=at, listen=listen, behind=behind))
    found = [part.format(at=at, file=file) for part in command]
    return [program(found[0]), *found[1:]]


class Programs:
    """Starts programs, each in a folder of its own, and ends all of them at the end."""

    def __init__(self, at: Path, stack: ExitStack) -> None:
        self._at = at
        self._stack = stack
        self._waiting: list[tuple[int, subprocess.Popen[bytes], Path]] = []

    def folder(self, name: str) -> Path:
        made = self._at / name
        made.mkdir()
        return made

    def start(
        self, name: str, command: Sequence[str], port: int, environ: dict[str, str] | None = None
    ) -> None:
        log = self._at / f"{name}.log"
        home = {"HOME": str(self._at / name)}
        process = self._stack.enter_context(started(command, log, home | (environ or {})))
        self._waiting.append((port, process, log))

    def wait(self) -> None:
        """Returns once all of them listen."""
        for port, process, log in self._waiting:
            wait_until_listening(port, process, log)
        self._waiting.clear()


__all__ = [
    "BACKENDS", "INSIDE", "PROXIES", "SPEAKING", "Programs", "backend_command", "free_port",
    "inside_command", "proxy_command",
]  # fmt: skip
