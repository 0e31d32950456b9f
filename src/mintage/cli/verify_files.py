"""``mintage verify-files``: keeps the files with which a proxy verifies tokens by itself."""

import asyncio
import logging
import os
import re
import shlex
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from mintage.endpoints import JWKS, STATUS_LIST
from mintage.errors import BadKeySet, ConfigError, KeysUnavailable, TokenError
from mintage.jwt.proxy_files import Ended, changed, ended_files, key_files, read_status_list
from mintage.jwt.verifier import check_url, fetch_over_http

_KEYS_EVERY: Final = 30.0  # seconds
_SOCKET_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 60.0

log = logging.getLogger("mintage")


@dataclass(slots=True, kw_only=True)
class Files:
    """The files in *directory*. *haproxy*: its socket for commands; *on_new_keys*: a command."""

    directory: Path
    issuer: str
    haproxy: Path | None = None
    on_new_keys: str | None = None
    _written: dict[str, bytes] = field(default_factory=dict)
    _jwks: bytes = b""
    _keys_until: float = 0.0

    async def renew(self, now: float) -> None:
        """Fetch what has changed, and write it.

        Raises `KeysUnavailable`, `BadKeySet`, `TokenError` and ``OSError``: the files stay as they
        are, and proxies refuse all requests once the list in them is over.
        """
        if now >= self._keys_until:
            await self._renew_keys()
            self._keys_until = now + _KEYS_EVERY
        uri = f"{self.issuer}/{STATUS_LIST.name}"
        listed = (await fetch_over_http(uri)).body.decode("ascii", "replace")
        try:
            ended = read_status_list(listed, self._jwks, issuer=self.issuer, uri=uri, now=now)
        except TokenError:
            self._keys_until = 0.0  # the issuer may have a new key
            raise
        self._write(ended_files(ended))
        if self.haproxy is not None:
            await self._tell_haproxy(self.haproxy, ended)

    async def _renew_keys(self) -> None:
        jwks = (await fetch_over_http(f"{self.issuer}/{JWKS.name}")).body
        new = self._write(key_files(jwks))
        self._jwks = jwks
        if new and self.on_new_keys is not None:
            await _run(self.on_new_keys)

    def _write(self, files: dict[str, bytes]) -> bool:
        """Write those that have changed. A reader finds the former file or the new one, whole."""
        new = changed(self._written, files)
        for name, text in new.items():
            handle, path = tempfile.mkstemp(dir=self.directory, prefix=f".{name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                os.fchmod(handle, 0o644)  # nothing in them is secret
            Path(path).replace(self.directory / name)
        self._written |= new
        return bool(new)

    async def _tell_haproxy(self, socket: Path, ended: Ended) -> None:
        """Replace the map in HAProxy's memory, all at once. It reads the file only at its start."""
        path = self.directory / "ended.map"
        created = await _said(socket, f"prepare map {path}\n")
        version = re.search(r"New version created: (\d+)", created)
        if version is None:
            raise OSError(f"HAProxy has no map {path}: {created.strip()}")
        at = f"@{version[1]} {path}"
        lines = ended_files(ended)["ended.map"].decode().splitlines()
        for start in range(0, len(lines), 500):  # HAProxy takes some 16 KiB at once
            refused = await _said(
                socket, f"add map {at} <<\n" + "\n".join(lines[start : start + 500]) + "\n\n"
            )
            if refused.strip():
                raise OSError(f"HAProxy does not take the list: {refused.strip()}")
        await _said(socket, f"commit map {at}\n")


async def _said(socket: Path, command: str) -> str:
    """HAProxy's answer to *command*."""
    async with asyncio.timeout(_SOCKET_SECONDS):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            writer.write(command.encode())
            await writer.drain()
            return (await reader.read()).decode("latin-1")
        finally:
            writer.close()


async def _run(command: str) -> None:
    """Run *command* without a shell. A failure is logged: the files are right all the same."""
    process = await asyncio.create_subprocess_exec(*shlex.split(command))
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        code = await process.wait()
    if code:
        log.error("%s: exit code %d after new keys: the proxy may not know them", command, code)


def verify_files(
    directory: Annotated[Path, Parameter(help="Where the files are. It must exist.")],
    *,
    issuer: Annotated[str, Parameter(help="The issuer of the tokens, as in mintage.toml.")],
    every: Annotated[float, Parameter(help="Seconds between two looks at ended logins.")] = 2.0,
    haproxy: Annotated[
        Path | None, Parameter(help="HAProxy's socket for commands (stats socket, level admin).")
    ] = None,
    on_new_keys: Annotated[
        str | None, Parameter(help="A command to run when the keys are others: a reload.")
    ] = None,
    once: Annotated[bool, Parameter(help="Write the files, and end.", negative="")] = False,
) -> int:
    """Keep the files with which a proxy verifies tokens by itself.

    It fetches the public keys and the list of ended logins, verifies the list, and writes both for
    nginx, HAProxy and Envoy. It needs no secret. If Mintage can't be reached, the files stay, and
    the proxies refuse requests when the list in them is over: a minute later.
    """
    try:
        check_url(issuer)
    except ValueError:
        raise ConfigError("issuer", "is an https URL, or http on this machine") from None
    files = Files(
        directory=directory.absolute(),
        issuer=issuer.rstrip("/"),
        haproxy=haproxy,
        on_new_keys=on_new_keys,
    )
    return asyncio.run(_keep(files, every, once=once))


async def _keep(files: Files, every: float, *, once: bool) -> int:
    said = ""
    while True:
        began = time.monotonic()
        try:
            await files.renew(time.time())
        except (KeysUnavailable, BadKeySet, TokenError, OSError, TimeoutError) as error:
            if once:
                raise
            if str(error) != said:
                said = str(error)
                log.warning("the files for the proxy are not renewed: %s", said)
        else:
            if once:
                return 0
            if said:
                said = ""
                log.warning("the files for the proxy are renewed again")
        await asyncio.sleep(max(0.0, began + every - time.monotonic()))
