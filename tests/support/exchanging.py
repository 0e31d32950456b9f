"""A server whose backends act for their users at each other's resources (RFC 8693)."""

import json
from pathlib import Path
from typing import Any, Final

import httpx2
from joserfc.util import urlsafe_b64decode

from mintage.testing.oauth_client import OAuthClient
from tests.support.forge import P256, pem
from tests.support.world import THE_BACKEND, World

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
SECRETS: Final = {
    name: f"the client secret of the backend {name}, long enough"
    for name in ("notes", "files", "mail", "reader")
}


def settings(directory: Path) -> dict[str, Any]:
    """Notes may ask files, files may ask mail, mail may ask all; a reader may ask the provider."""
    (directory / "signing.pem").write_bytes(pem(P256))
    for name, secret in SECRETS.items():
        (directory / name).write_text(secret)
    more = ["files.read", "files.write", "mail.send"]
    return {
        "tokens": {"signing_key": "file:signing.pem"},
        "grant_types": {"token_exchange": {}},
        "scopes": {"implies": {"files": ["files.read", "files.write"]}},
        "resource": [
            _resource("/mcp", ["tools"], more),
            _resource("/files", ["files.read"], ["files.write", "mail.send"]),
            _resource("/mail", ["mail.send"], []),
            _resource("/open", [], []),
            _resource("/bound", [], []) | {"dpop": "required"},
        ],
        "client": [
            _client(
                "notes",
                "/mcp",
                {"path": "/files", "scopes": ["files.read", "mail.send"]},
                {"path": "/open"},
            ),
            _client("files", "/files", {"path": "/mail", "scopes": ["mail.send"]}),
            _client("mail", "/mail", {"path": "/mail", "scopes": ["mail.send"]}),
            {
                "client_id": "reader",
                "client_secret": "file:reader",
                "token_exchange": {
                    "resource": "/mcp",
                    "gets_the_users_access_token_at_the_identity_provider": True,
                },
            },
        ],
    }


def _resource(path: str, scopes: list[str], optional: list[str]) -> dict[str, Any]:
    return {
        "path": path,
        "backend": THE_BACKEND,
        "scopes": scopes,
        "optional_scopes": optional,
        "credential": "identity",
    }


def _client(name: str, resource: str, *targets: dict[str, Any]) -> dict[str, Any]:
    return {
        "client_id": name,
        "client_secret": f"file:{name}",
        "token_exchange": {"resource": resource, "target": list(targets)},
    }


async def exchange(
    world: World, backend: str, token: str, target: str | None = None, **form: str
) -> httpx2.Response:
    """The answer to *backend*, which exchanges *token* for one at the path *target*."""
    sent = {
        "grant_type": GRANT_TYPE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
    }
    if target is not None:
        sent["resource"] = f"{world.issuer}{target}"
    return await world.http.post(
        f"{world.issuer}/token", data=sent | form, auth=(backend, SECRETS[backend])
    )


async def exchanged(
    world: World, backend: str, token: str, target: str, **form: str
) -> dict[str, Any]:
    """The response to such a request, which is answered."""
    answer = await exchange(world, backend, token, target, **form)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def logged_in(world: World, **parameters: str | None) -> tuple[OAuthClient, dict[str, Any]]:
    """A client with its tokens for ``/mcp``, with all scopes unless *parameters* say otherwise."""
    client = await world.client()
    wanted = {"scope": "tools files.read files.write mail.send"} | parameters
    async with world.browser() as browser:
        return client, await client.tokens(browser, **wanted)


async def call(world: World, path: str, token: str) -> httpx2.Response:
    """The answer of the resource at *path* to a request with *token*."""
    headers = {"authorization": f"Bearer {token}"}
    return await world.http.get(f"{world.issuer}{path}", headers=headers)


async def identity_at(world: World, path: str, token: str) -> str:
    """The signed identity that the backend at *path* gets with a request with *token*."""
    answer = await call(world, path, token)
    assert answer.status_code == 200, answer.text
    signed: str = answer.json()["headers"]["x-identity-token"]
    return signed


def payload(token: str) -> dict[str, Any]:
    """The claims of *token*, not verified."""
    raw = urlsafe_b64decode(token.split(".")[1].encode())
    claims: dict[str, Any] = json.loads(raw)
    return claims


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]
