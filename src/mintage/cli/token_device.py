"""``mintage token get --device``: the login of a machine without a browser (RFC 8628)."""

import asyncio
import re
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from mintage.cli.plain_text import as_text
from mintage.clients.client import DEVICE_CODE
from mintage.errors import MintageError
from mintage.urls import check_https, whole_url

_METADATA: Final = re.compile(r'resource_metadata="([^"]+)"')
_TIMEOUT: Final = 30.0  # seconds for one request
_SLOWER: Final = 5  # seconds, for each slow_down (RFC 8628 §3.5)

NO_SERVER: Final = "check that a server runs there, and the host and port"


class DeviceLoginFailed(MintageError):
    """The login did not come to a token. The text says why."""


async def log_in(url: str, scopes: tuple[str, ...]) -> dict[str, Any]:
    """The token response, after a person has approved elsewhere. Raises `DeviceLoginFailed`."""
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT) as http:
            server, resource = await _discover(http, url)
            client_id = await _register(http, server)
            form = {"client_id": client_id, "resource": resource}
            if scopes:
                form["scope"] = " ".join(scopes)
            asked = _good(await http.post(_endpoint(server, "device_authorization"), data=form))
            _show(asked)
            return await _poll(http, _endpoint(server, "token"), client_id, asked)
    except httpx2.ConnectError as error:
        raise DeviceLoginFailed(f"{url}: {error}; {NO_SERVER}") from None
    except httpx2.HTTPError as error:
        raise DeviceLoginFailed(f"{url}: {str(error) or type(error).__name__}") from None


async def _discover(http: httpx2.AsyncClient, url: str) -> tuple[dict[str, Any], str]:
    """The metadata of the resource's authorization server, and the resource (RFC 9728 §5)."""
    response = await http.get(url)
    named = _METADATA.search(response.headers.get("www-authenticate", ""))
    if response.status_code != 401 or named is None:  # noqa: PLR2004
        raise DeviceLoginFailed(f"{url} answered {response.status_code} and asked for no login")
    found = _good(await http.get(_checked(named[1])))
    resource, servers = found.get("resource"), found.get("authorization_servers")
    if not isinstance(resource, str) or not url.startswith(resource.rstrip("/")):
        raise DeviceLoginFailed(f"the metadata of {url} is about another resource")
    if not isinstance(servers, list) or not servers:
        raise DeviceLoginFailed(f"the metadata of {url} names no authorization server")
    issuer = _checked(str(servers[0]))
    parts = urlsplit(issuer)
    at = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    server = _good(await http.get(at.rstrip("/")))
    if server.get("issuer") != issuer:
        raise DeviceLoginFailed(f"{at} is the metadata of another server")
    return server, resource


async def _register(http: httpx2.AsyncClient, server: Mapping[str, Any]) -> str:
    metadata = {
        "client_name": "mintage token get",
        "redirect_uris": [],
        "grant_types": [DEVICE_CODE, "refresh_token"],
        "response_types": [],
        "token_endpoint_auth_method": "none",
    }
    _endpoint(server, "device_authorization")  # before anything is registered
    answer = _good(await http.post(_endpoint(server, "registration"), json=metadata))
    return str(answer.get("client_id"))


def _show(asked: Mapping[str, Any]) -> None:
    """What the person needs, on standard error."""
    page, code = as_text(str(asked.get("verification_uri"))), as_text(str(asked.get("user_code")))
    print(f"Open {page} on a device with a browser, and type: {code}", file=sys.stderr)  # noqa: T201
    minutes = _seconds(asked, "expires_in", 600) // 60
    print(f"Waiting for it {minutes} minutes; Ctrl-C ends.", file=sys.stderr, flush=True)  # noqa: T201


async def _poll(
    http: httpx2.AsyncClient, url: str, client_id: str, asked: Mapping[str, Any]
) -> dict[str, Any]:
    form = {
        "client_id": client_id,
        "grant_type": DEVICE_CODE,
        "device_code": str(asked.get("device_code")),
    }
    interval = _seconds(asked, "interval", 5)
    while True:
        await asyncio.sleep(interval)
        response = await http.post(url, data=form)
        if response.is_success:
            return _good(response)
        match _json(response).get("error"):
            case "authorization_pending" | "temporarily_unavailable":
                continue
            case "slow_down" | "too_many_requests":
                interval += _SLOWER
            case _:
                _good(response)


def _endpoint(server: Mapping[str, Any], name: str) -> str:
    found = server.get(f"{name}_endpoint")
    if isinstance(found, str):
        return _checked(found)
    what = {
        "device_authorization": "no login for devices: its operator turns it on with "
        "[grant_types.device_code]",
        "registration": "no registration of clients",
    }
    raise DeviceLoginFailed(f"{server.get('issuer')} offers {what.get(name, f'no {name}')}")


def _good(response: httpx2.Response) -> dict[str, Any]:
    found = _json(response)
    if not response.is_success:
        why = found.get("error_description") or found.get("error") or response.status_code
        raise DeviceLoginFailed(f"the login was refused: {as_text(str(why))}")
    return found


def _json(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _seconds(asked: Mapping[str, Any], name: str, default: int) -> int:
    value = asked.get(name, default)
    return min(max(value, 1), 1800) if isinstance(value, int) else default


def _checked(url: str) -> str:
    """An address that the server named: https, or http on this machine."""
    check_https(whole_url(url, "URL", example="https://auth.example.com"), "URL")
    return url
