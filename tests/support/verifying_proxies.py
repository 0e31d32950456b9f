"""Proxies that verify tokens themselves, as in the manual, and an issuer whose keys they have."""

import asyncio
import json
import re
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mintage.cli.verify_files import Files
from mintage.crypto.base64url import encode_text
from mintage.jwt.jws import sign
from mintage.jwt.keyring import TokenKey
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from tests.support import proxies

PAGE = proxies.ROOT / "docs/how-to/verify-in-the-proxy.md"
_ISSUER = "https://auth.example.com"
# The lines of HAProxy's file that the page leaves out.
_ONLY_TO_ASK = (
    "lua-load",
    "tune.bufsize",
    "tune.maxrewrite",
    "http-request lua.mintage",
    "# If a script fails",
    "http-request return status 503 hdr retry",
)


def es256_pem() -> bytes:
    """A new private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def es256() -> TokenKey:
    return TokenKey.from_pem(es256_pem())


@dataclass
class Issuer:
    """It serves its keys and its list of ended logins. Its tokens say whatever a test wants."""

    port: int
    keys: list[TokenKey] = field(default_factory=lambda: [es256()])
    ended: set[int] = field(default_factory=set)
    list_seconds: int = 60
    listed: dict[str, Any] = field(default_factory=dict)
    """Other claims of the list."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": f"{self.url}/mcp", "client_id": "c", "scope": "tools",
            "exp": now + 600, "iat": now, "jti": "j", "token_use": "access", "sub": "alice",
            "status": {"status_list": {"idx": 7, "uri": f"{self.url}/status-list"}},
        }  # fmt: skip
        return {name: value for name, value in (claims | other).items() if value is not None}

    def token(self, *, key: TokenKey | None = None, typ: str = "at+jwt", **claims: Any) -> str:
        """A token with other *claims*; None leaves one out."""
        return signed(self.claims(**claims), key or self.keys[0], typ)

    def status_list(self) -> str:
        bits = bytearray(1024)
        for number in self.ended:
            bits[number // 8] |= 1 << number % 8
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": f"{self.url}/status-list", "iat": now,
            "exp": now + self.list_seconds, "ttl": 3,
            "status_list": {"bits": 1, "lst": encode_text(zlib.compress(bits, 9))},
        }  # fmt: skip
        return signed(claims | self.listed, self.keys[0], "statuslist+jwt")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def jwks(_: Request) -> Response:
            return JSONResponse({"keys": [dict(key.jwk or {}) for key in self.keys]})

        async def status_list(_: Request) -> Response:
            return PlainTextResponse(self.status_list())

        routes = [Route("/jwks", jwks), Route("/status-list", status_list)]
        config = uvicorn.Config(
            Starlette(routes=routes), port=self.port, log_config=None, lifespan="off"
        )
        async with serving(uvicorn.Server(config)):
            yield


def signed(claims: dict[str, Any], key: TokenKey, typ: str) -> str:
    assert key.signer is not None
    return sign(msgspec.json.encode(claims), header=key.header(typ), signer=key.signer)


@dataclass
class Proxy:
    """One that runs. *files* are those that it reads; `renew` is what the program does in turns."""

    port: int
    files: Files
    reload: Any

    async def renew(self, *, at: float | None = None) -> None:
        await self.files.renew(time.time() if at is None else at)


def _written(file: Path, text: str) -> str:
    file.write_text(text)
    return str(file)


def nginx_command(directory: Path, *, listen: int, issuer: Issuer, tools: int) -> list[str]:
    command = proxies.nginx_command(
        directory, listen=listen, mintage=issuer.port, tools=tools, keeper="proxy_cache"
    )
    script = proxies.replaced(
        proxies.block("js", PAGE),
        {_ISSUER: issuer.url, "/run/mintage": str(directory)},
    )
    here = proxies.replaced(
        proxies.blocks("nginx", PAGE)[0],
        {
            "/etc/nginx/mintage_verify.js": _written(directory / "verify.js", script),
            "/run/nginx-verify.sock": str(directory / "v.sock"),
        },
    )
    file = directory / "nginx.conf"
    text = proxies.replaced(
        file.read_text(),
        {
            "http://mintage/verify": "http://mintage_here/verify",
            "server {\n    listen 127": f"{here}\nserver {{\n    listen 127",
        },
    )
    file.write_text(proxies.modules("ngx_http_js_module") + text)
    return command


def nginx_lua_command(directory: Path, *, listen: int, issuer: Issuer, tools: int) -> list[str]:
    command = proxies.nginx_command(directory, listen=listen, mintage=issuer.port, tools=tools)
    script, _, _ = proxies.blocks("lua", PAGE)
    here = {_ISSUER: issuer.url, "/run/mintage": str(directory)}
    _written(directory / "mintage_verify.lua", proxies.replaced(script, here))
    before, _, judged = proxies.blocks("nginx", PAGE)[1].partition("\n\n")
    before = proxies.replaced(before, {"/etc/nginx/mintage": str(directory)})
    file = directory / "nginx.conf"
    text = proxies.replaced(
        file.read_text(),
        {
            "        auth_request /_mintage/verify;\n": judged,
            "upstream tools {": f"{before}\nupstream tools {{",
        },
    )
    for left_out in (proxies.QUESTION, r"^ *auth_request_set [^\n]*\n"):
        text, times = re.subn(left_out, "", text, flags=re.MULTILINE | re.DOTALL)
        assert times, left_out
    file.write_text(proxies.modules(*proxies.LUA) + text)
    return command


def haproxy_command(directory: Path, *, listen: int, issuer: Issuer, tools: int) -> list[str]:
    command = proxies.haproxy_command(directory, listen=listen, mintage=issuer.port, tools=tools)
    here = {_ISSUER: issuer.url, "/run/mintage": str(directory)}
    rules = proxies.replaced(proxies.block("haproxy", PAGE), here)
    _, script, _ = proxies.blocks("lua", PAGE)
    loaded = _written(directory / "verify.lua", proxies.replaced(script, here))
    file = directory / "haproxy.cfg"
    text, left_out = file.read_text(), 0
    for line in text.splitlines():
        if line.strip().startswith(_ONLY_TO_ASK):
            text, left_out = text.replace(f"{line}\n", ""), left_out + 1
    assert left_out == len(_ONLY_TO_ASK)
    host = "    http-request set-header host 127.0.0.1:8000\n".replace("8000", str(tools))
    text = proxies.replaced(text, {host: f"{host}{rules}"})
    lines = f"    stats socket {directory}/h.sock level admin\n    lua-load-per-thread {loaded}\n"
    file.write_text(text.replace("global\n", f"global\n{lines}", 1))
    return command


def envoy_command(directory: Path, *, listen: int, issuer: Issuer, tools: int) -> list[str]:
    command = proxies.envoy_command(directory, listen=listen, mintage=issuer.port, tools=tools)
    _, _, script = proxies.blocks("lua", PAGE)
    script = proxies.replaced(script, {_ISSUER: issuer.url, "/run/mintage": str(directory)})
    text = proxies.replaced(
        proxies.block("yaml", PAGE),
        {
            _ISSUER: issuer.url,
            "http://127.0.0.1:8080": issuer.url,
            "/etc/envoy/mintage_judge.lua": _written(directory / "judge.lua", script),
        },
    )
    verify, judge = YAML(typ="safe").load(text)
    change_filters(directory, [verify, judge])
    return command


def change_filters(directory: Path, filters: list[Any]) -> None:
    """Put *filters* in place of Envoy's question. None: nobody asks, and no header is dropped."""
    file = directory / "envoy.json"
    config = json.loads(file.read_text())
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    drop, asking, router = manager["http_filters"]
    assert asking["name"] == "ask-mintage"
    manager["http_filters"] = [drop, *filters, router] if filters else [router]
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        route.pop("typed_per_filter_config", None)
    file.write_text(json.dumps(config))


COMMANDS = {
    "nginx": nginx_command,
    "nginx with Lua": nginx_lua_command,
    "haproxy": haproxy_command,
    "envoy": envoy_command,
}


@asynccontextmanager
async def verifying(
    kind: str,
    directory: Path,
    issuer: Issuer,
    tools: int,
    change: Mapping[str, tuple[str, str]] | None = None,
) -> AsyncIterator[Proxy]:
    """The proxy of that *kind*, with the files of *issuer*, until the block ends.

    *change*: a piece of text in the proxy's files, and the text that replaces it.
    """
    files = Files(directory=directory, issuer=issuer.url)
    await files.renew(time.time())
    listen = free_port()
    command = COMMANDS[kind](directory, listen=listen, issuer=issuer, tools=tools)
    for name, (old, new) in (change or {}).items():
        _written(directory / name, proxies.replaced((directory / name).read_text(), {old: new}))
    log = directory / f"{kind}.log"
    async with proxies.running(*command, port=listen, log=log):
        if kind == "haproxy":
            files.haproxy = directory / "h.sock"
        yield Proxy(listen, files, None)


async def asked(port: int, *lines: str, target: str = "/mcp/x", method: str = "GET") -> bytes:
    """What comes back for a request with these header *lines*, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close", *lines]
    writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
    try:
        async with asyncio.timeout(10):
            return await _response(reader)
    finally:
        writer.close()


async def _response(reader: asyncio.StreamReader) -> bytes:
    """To its end by ``Content-Length``, if it has one: Envoy closes a second later."""
    found = b""
    while more := await reader.read(65536):
        found += more
        head, end, body = found.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if end and length is not None and len(body) >= int(length[1]):
            break
    return found
