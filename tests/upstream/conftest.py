"""A provider that fails as it is told, and our side of it as ``[upstream]`` describes it."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from mintage.grants.states import Identity, UpstreamTokens
from mintage.settings.upstream_section import UpstreamSection
from mintage.settings.upstreams import read_upstream
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import answer_of
from mintage.upstream.opening import open_upstream
from mintage.upstream.preset import Preset, Quirks
from mintage.upstream.presets import PRESETS
from mintage.upstream.protocol import LoginRequest, Transport, UpstreamClient
from mintage.upstream.transport import HttpTransport
from mintage.values import Secret

LOGIN = LoginRequest(
    redirect_uri="http://127.0.0.1:9/callback",
    state="state",
    nonce="the-nonce",
    code_verifier="v" * 43,
)

Opened = Callable[..., UpstreamClient]


def opened_with(
    section: dict[str, Any], transport: Transport, clock: ManualClock, **secrets: bytes
) -> UpstreamClient:
    """The upstream of an ``[upstream]`` section; *secrets* are what its ``env:NAME`` stand for."""
    read = msgspec.convert(section, UpstreamSection)
    upstream = read_upstream(read, lambda spec, _: Secret(secrets[spec.removeprefix("env:")]))
    return open_upstream(upstream, transport, clock)


@dataclass
class Stage:
    """The provider, a clock, and everything that was opened."""

    provider: FakeUpstream
    clock: ManualClock
    patch: pytest.MonkeyPatch
    opened: list[UpstreamClient] = field(default_factory=list)

    def open(self, quirks: Quirks | None = None, **section: Any) -> UpstreamClient:
        """An upstream at the provider; *quirks* in the place of the preset's."""
        base = {"client_id": self.provider.client_id, "client_secret": "env:SECRET"}
        if "preset" not in section:
            base["issuer"] = self.provider.issuer
        name = section.get("preset", "oidc")
        if quirks is not None:
            preset = PRESETS[name]
            changed = {field: getattr(preset, field) for field in preset.__struct_fields__}
            self.patch.setitem(PRESETS, name, Preset(**changed | {"quirks": quirks}))
        secrets = {"SECRET": self.provider.client_secret.encode()} | section.pop("secrets", {})
        merged = {key: value for key, value in (base | section).items() if value is not None}
        upstream = opened_with(merged, HttpTransport(), self.clock, **secrets)
        self.opened.append(upstream)
        return upstream

    def plain(self, **section: Any) -> UpstreamClient:
        """A provider without discovery and without OpenID Connect."""
        url = self.provider.url
        return self.open(
            **{
                "preset": "oauth2",
                "auth_method": self.provider.auth_method,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token",
                "userinfo_endpoint": f"{url}/userinfo",
                "revocation_endpoint": f"{url}/revoke",
            }
            | section,
        )

    async def log_in(
        self, upstream: UpstreamClient, login: LoginRequest = LOGIN
    ) -> tuple[UpstreamTokens, Identity]:
        answer = await self.ask(upstream, login)
        return await upstream.redeem(answer["code"], login, now=int(self.clock()))

    async def ask(self, upstream: UpstreamClient, login: LoginRequest = LOGIN) -> dict[str, str]:
        """What the browser brings back from the provider."""
        async with Browser(stop_at=(login.redirect_uri,)) as browser:
            return answer_of(await browser.open(await upstream.authorization_url(login)))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())


@pytest.fixture
async def provider(clock: ManualClock) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(clock).running() as provider:
        yield provider


@pytest.fixture
async def stage(
    provider: FakeUpstream, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    stage = Stage(provider, clock, monkeypatch)
    yield stage
    for upstream in stage.opened:
        await upstream.close()
