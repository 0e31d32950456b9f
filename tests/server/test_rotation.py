"""The root secret is replaced while somebody is in the middle of logging in."""

import secrets

import pytest
from starlette.requests import Request

from mintage.crypto.sealing import BoxKey
from mintage.errors import InvalidRequest
from mintage.server.consent_form import ConsentForm, ConsentSeal
from mintage.server.cookies import Cookies, PendingLogin
from mintage.server.requests import AuthorizationRequest
from mintage.values import ClientId

OLD, NEW = BoxKey(b"o" * 32), BoxKey(b"n" * 32)
WANTED = AuthorizationRequest(
    client_id=ClientId("client"),
    client_name="IDE",
    redirect_uri="https://app.example/cb",
    state=None,
    code_challenge="c" * 43,
    scopes=("tools",),
    resource="https://auth.example/mcp",
)


def test_a_consent_form_shown_before_is_accepted_after() -> None:
    form = ConsentForm(request=WANTED, browser=b"b" * 32, expires_at=100, upstreams=("oidc",))
    text = ConsentSeal((OLD,), secrets.token_bytes).seal(form)
    assert ConsentSeal((NEW, OLD), secrets.token_bytes).open(text) == form
    with pytest.raises(InvalidRequest):
        ConsentSeal((NEW,), secrets.token_bytes).open(text)


def test_a_login_cookie_set_before_is_read_after() -> None:
    login = PendingLogin(
        request=WANTED,
        state="state",
        nonce="nonce",
        code_verifier="v" * 43,
        expires_at=100,
        upstream="oidc",
    )
    value = Cookies((OLD,), secure=True, random_bytes=secrets.token_bytes).seal_login(login)

    def read_with(*keys: BoxKey) -> PendingLogin | None:
        cookies = Cookies(keys, secure=True, random_bytes=secrets.token_bytes)
        header = f"{cookies._logins._name('state')}={value}".encode()
        request = Request({"type": "http", "headers": [(b"cookie", header)]})
        return cookies.login(request, "state", now=0)

    assert read_with(NEW, OLD) == login
    assert read_with(NEW) is None
