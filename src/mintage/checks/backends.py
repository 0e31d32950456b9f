"""Checks that an HTTP server answers at the address of each backend."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from mintage.checks.findings import Finding, error, ok, warning
from mintage.errors import ConfigError
from mintage.gateway.http1.connection import BackendError
from mintage.gateway.http1.pool import Pool
from mintage.gateway.http1.request import BackendRequest, Body
from mintage.settings.load import Config
from mintage.settings.resources import check_program
from mintage.site.resource import Resource
from mintage.site.targets import Command, External, HttpTarget

_USER: Final = ("", "")
_HEADERS: Final = [(b"accept", b"text/html, application/json, text/event-stream")]


async def check_backends(config: Config) -> AsyncIterator[Finding]:
    """The target of each resource of *config*: an address that answers, or a program."""
    for number, resource in enumerate(config.resources):
        key = f"resource[{number}]"
        match resource.target:
            case HttpTarget() as target:
                yield await _address(target, f"{key}.backend")
                if config.gateway.forward_auth is not None and not _reads_bodies(resource):
                    yield warning(
                        f"{key}.backend",
                        f"Mintage itself forwards what reaches it at {resource.path}, and "
                        f"gateway.forward_auth is for what {config.gateway.forward_auth} forwards",
                        f"remove it if {config.gateway.forward_auth} asks about this resource",
                    )
            case Command() as command:
                yield _program(command, f"{key}.command.run")
            case External():
                if config.gateway.forward_auth is None:
                    yield warning(
                        key,
                        f"nothing serves {resource.path} unless Mintage is inside your application",
                        "otherwise add backend or command, or let another proxy ask "
                        "(gateway.forward_auth)",
                    )


def _reads_bodies(resource: Resource) -> bool:
    """Whether Mintage must forward *resource*, because its rules read what another proxy keeps."""
    return resource.filter_lists or resource.reads_mcp


def _program(command: Command, key: str) -> Finding:
    try:
        check_program(command, key)
    except ConfigError as missing:
        return error(missing.key, missing.advice, "install the program, or write its path")
    return ok(key, f"{command.run[0]} is installed")


async def _address(target: HttpTarget, key: str) -> Finding:
    """A GET without credentials: any response shows that an HTTP server is there."""
    pool = Pool(target)
    body = Body(_stays, 0, more=False)
    where = target.url if target.socket is None else f"unix:{target.socket}"
    head = pool.begin("GET", target.at("", b""), _HEADERS).head([])
    request = BackendRequest(pool, "GET", head, body, _USER)
    try:
        status = (await request.answer()).status
    except BackendError as failure:
        return error(
            key,
            f"{where}: {_said(failure)}",
            "start the backend, and check the address, the port, and http or https",
        )
    finally:
        request.end()
        pool.close()
    if status == HTTPStatus.NOT_FOUND:
        return warning(
            key,
            f"{where} answers 404: there is a server, and nothing at this path",
            "check the path: MCP servers often are at /mcp",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return warning(key, f"{where} answers {status}", "look into the backend's own log")
    return ok(key, f"{where} answers")


def _said(failure: BackendError) -> str:
    cause = failure.__cause__
    return failure.advice.partition(";")[0] + (f" ({cause})" if cause and str(cause) else "")


async def _stays() -> dict[str, object]:
    """What a client that waits for its response gives: nothing, and no disconnect."""
    never: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
    return await never
