"""During an upgrade a page or a cookie may come from a server of another version.

Both last ten minutes. What has other fields by now is never misread: the user is sent back.
"""

import secrets
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from mintage.crypto.base64url import encode_text
from mintage.crypto.sealing import NONCE_BYTES, BoxKey, seal
from mintage.errors import InvalidRequest
from mintage.server.consent_form import ConsentSeal
from mintage.server.cookies import Cookies

KEY = BoxKey(b"k" * 32)
NOW = 1_800_000_000

Former = tuple[str | None, int | None, str | None]
FORMER: list[Former] = [(None, None, None), ("login", 60, "alice@example.com")]


def former_request(asked: Former) -> list[Any]:
    """A request in which prompt, max_age and login_hint are three fields."""
    return [
        "client", "An app", "https://app.example/callback", "s", "c" * 43, ["tools"],
        "https://auth.example/mcp", [], [], *asked, None,
    ]  # fmt: skip


def sealed(value: list[Any], context: bytes) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return encode_text(seal(msgspec.msgpack.encode(value), key=KEY, context=context, nonce=nonce))


@pytest.mark.parametrize("asked", FORMER, ids=str)
def test_a_page_of_another_version_sends_the_user_back(asked: Former) -> None:
    text = sealed([former_request(asked), b"h" * 32, NOW + 600, ["oidc"]], b"consent form")
    with pytest.raises(InvalidRequest, match="go back to the application and log in again"):
        ConsentSeal((KEY,), secrets.token_bytes).open(text)


@pytest.mark.parametrize("asked", FORMER, ids=str)
def test_a_login_cookie_of_another_version_is_as_if_there_were_none(asked: Former) -> None:
    cookies = Cookies((KEY,), secure=True, random_bytes=secrets.token_bytes)
    name = cookies._logins._name("state")
    login = [former_request(asked), "state", "nonce", "v" * 43, NOW + 600, "oidc"]
    header = (b"cookie", f"{name}={sealed(login, name.encode())}".encode())
    request = Request({"type": "http", "headers": [header]})
    assert cookies.login(request, "state", now=NOW) is None
