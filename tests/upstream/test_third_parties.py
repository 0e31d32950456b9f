"""Whole logins through strict providers that other people wrote. Nothing of them is ours.

``nanoidp`` is the third; its test stands in test_oidc.py.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc import jwk
from msgspec.structs import replace

from mintage.errors import UpstreamError, UpstreamMisbehaved, UpstreamRefused
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.oauth_client import answer_of
from mintage.upstream.protocol import LoginParameters, LoginRequest, UpstreamClient
from mintage.upstream.transport import HttpTransport
from tests.support.node import NodeMissing, install
from tests.upstream.conftest import LOGIN, opened_with
from tests.upstream.providers.running import (
    HERE,
    authlib_provider,
    oidc_provider,
)

SECRET = "p%ss:word & more, of this test alone"
KEY = jwk.ECKey.generate_key("P-256", auto_kid=True)
SECRETS = {
    "SECRET": SECRET.encode(),
    "WRONG": b"wrong",
    "WORDS": b"letters-and-digits-123",
    "KEY": json.dumps(KEY.as_dict(private=True)).encode(),
}
WHO = {
    "email": "alice@corp.example",
    "email_verified": True,
    "name": "Alice Example",
    "groups": ["ops", "staff"],
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())


Open = Callable[..., UpstreamClient]


@pytest.fixture
async def open_with(clock: ManualClock) -> AsyncIterator[Open]:
    opened = []

    def make(**section: Any) -> UpstreamClient:
        opened.append(opened_with(section, HttpTransport(), clock, **SECRETS))
        return opened[-1]

    yield make
    for upstream in opened:
        await upstream.close()


@pytest.fixture(scope="session")
def node_modules() -> None:
    """The packages of the lock file. Where they can't be had the test skips; in CI it fails."""
    try:
        install(HERE)
    except NodeMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


class TestOidcProvider:
    """The npm package ``oidc-provider``, which is certified."""

    @pytest.fixture
    async def issuer(self, node_modules: None) -> AsyncIterator[str]:
        async with oidc_provider(
            redirect_uri=LOGIN.redirect_uri, secret=SECRET, jwk=KEY.as_dict(private=False)
        ) as issuer:
            yield issuer

    @pytest.fixture
    def opened(self, issuer: str, open_with: Open) -> Open:
        """The provider, for the client that authenticates by *method*."""
        credentials: dict[str, dict[str, Any]] = {
            "private_key_jwt": {"client_key": "env:KEY"},
            "none": {},
        }

        def opened(method: str, **more: Any) -> UpstreamClient:
            section = {
                "issuer": issuer,
                "client_id": method,
                "auth_method": method,
                "scopes": ["openid", "email", "profile", "offline_access"],
                # It holds to OpenID Connect Core §11: offline access needs the user's consent.
                "parameters": {"prompt": "consent"},
            } | credentials.get(method, {"client_secret": "env:SECRET"})
            return open_with(**section | more)

        return opened

    async def log_in(self, upstream: UpstreamClient, login: LoginRequest = LOGIN) -> Any:
        async with Browser(stop_at=(login.redirect_uri,)) as browser:
            page = await browser.open(await upstream.authorization_url(login))
            page = await browser.submit(page, {"login": "alice", "password": "x"})
            page = await browser.submit(page, {})
        answer = answer_of(page)
        assert answer["state"] == login.state
        await upstream.check_issuer(answer["iss"])
        return await upstream.redeem(answer["code"], login, now=int(time.time()))

    @pytest.mark.parametrize(
        "method", ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
    )
    async def test_login_rotation_reuse_and_revocation(
        self, issuer: str, opened: Open, method: str
    ) -> None:
        upstream = opened(method)
        first, identity = await self.log_in(upstream)
        assert (identity.issuer, identity.subject) == (issuer, "alice")
        assert identity.claims == WHO
        now = int(time.time())
        second = (await upstream.refresh(first, now=now)).tokens
        assert second.refresh_token not in (None, first.refresh_token)
        await upstream.revoke(second)
        with pytest.raises(UpstreamRefused):
            await upstream.refresh(second, now=now)
        with pytest.raises(UpstreamRefused):
            await upstream.redeem("no such code", LOGIN, now=now)

    async def test_an_old_refresh_token_ends_it_all(self, opened: Open) -> None:
        upstream = opened("client_secret_basic")
        first, _ = await self.log_in(upstream)
        now = int(time.time())
        second = (await upstream.refresh(first, now=now)).tokens
        for tokens in (first, second):
            with pytest.raises(UpstreamRefused):
                await upstream.refresh(tokens, now=now)

    async def test_what_the_client_wishes_is_known_there(self, opened: Open) -> None:
        upstream = opened("client_secret_basic")
        wish = replace(
            LOGIN, parameters=LoginParameters(prompt="login", max_age=60, login_hint="alice")
        )
        _, identity = await self.log_in(upstream, wish)
        assert identity.subject == "alice"

    async def test_a_resource_that_it_does_not_know_is_refused(self, opened: Open) -> None:
        upstream = opened("client_secret_basic", resource="https://api.example")
        async with Browser(stop_at=(LOGIN.redirect_uri,)) as browser:
            page = await browser.open(await upstream.authorization_url(LOGIN))
        assert answer_of(page)["error"] == "invalid_target"

    async def test_a_wrong_secret_is_our_fault_and_no_end_of_a_login(self, opened: Open) -> None:
        upstream = opened("client_secret_basic", client_secret="env:WRONG")
        with pytest.raises(UpstreamMisbehaved, match="invalid_client"):
            await self.log_in(upstream)


async def test_authlib(open_with: Open) -> None:
    """Authlib's server: PKCE and nonce are a must there, and a code works once."""
    async with authlib_provider(
        client_id="mintage", client_secret="letters-and-digits-123",
        redirect_uri=LOGIN.redirect_uri,
        password="pw",
    ) as issuer:  # fmt: skip
        section = {
            "issuer": issuer,
            "client_id": "mintage",
            "client_secret": "env:WORDS",  # it does not decode what RFC 6749 has us encode
            "scopes": ["openid", "email", "profile"],
        }
        upstream = open_with(**section)
        async with Browser(stop_at=(LOGIN.redirect_uri,)) as browser:
            page = await browser.open(await upstream.authorization_url(LOGIN))
            page = await browser.submit(page, {"password": "pw"})
        answer = answer_of(page)
        await upstream.check_issuer(answer["iss"])
        with pytest.raises(UpstreamMisbehaved):
            await upstream.check_issuer("http://127.0.0.1:1")
        now = int(time.time())
        first, identity = await upstream.redeem(answer["code"], LOGIN, now=now)
        assert (identity.subject, identity.claims) == ("alice", WHO)
        with pytest.raises(UpstreamRefused):
            await upstream.redeem(answer["code"], LOGIN, now=now)
        second = (await upstream.refresh(first, now=now)).tokens
        with pytest.raises(UpstreamRefused):
            await upstream.refresh(first, now=now)
        await upstream.revoke(second)
        with pytest.raises(UpstreamError):
            await upstream.refresh(second, now=now)
