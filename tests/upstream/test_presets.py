"""Every preset against what its provider's documentation says it answers; values are made up.

A recording is played by a provider on this machine: requests to the real addresses are
sent there instead, over real HTTP, and everything else is as it would be.
"""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec.structs import replace

from mintage.errors import ConfigError, UpstreamError, UpstreamRefused
from mintage.settings.upstream_section import UpstreamSection
from mintage.settings.upstreams import read_upstream
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.oauth_client import answer_of
from mintage.upstream.preset import Preset
from mintage.upstream.presets import PRESETS
from mintage.upstream.protocol import HttpRequest, HttpResponse, LoginParameters, UpstreamClient
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream
from mintage.values import Secret
from tests.upstream.conftest import LOGIN, opened_with

WISH = replace(LOGIN, parameters=LoginParameters(max_age=600, login_hint="alice"))
PLAYED = {
    "authorization_endpoint": "authorize",
    "token_endpoint": "token",
    "userinfo_endpoint": "userinfo",
    "revocation_endpoint": "revoke",
    "jwks_uri": "jwks",
}


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider says. *source* is the documentation that the shapes are taken from.

    *token* is over what the playing provider makes up; None takes a member out. *around*
    and *under*: where the tokens stand in the answer.
    """

    source: str
    upstream: dict[str, Any]
    asks: dict[str, str]
    asks_not: list[str]
    auth_method: Any
    token: dict[str, Any]
    errors: dict[str, tuple[int, dict[str, Any]]]
    identity: dict[str, Any]
    discovery: dict[str, Any] | None = None
    endpoints: dict[str, str] = {}
    id_token: dict[str, Any] = {}
    userinfo: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    rotates: bool = True
    around: dict[str, Any] = {}
    under: str | None = None

    def addresses(self) -> dict[str, str]:
        """Where the provider really is → where it is played."""
        found = {real: played for played, real in self.endpoints.items()}
        if self.discovery is not None:
            issuer = self.discovery["issuer"]
            if "{tenantid}" in issuer:
                issuer = issuer.replace("{tenantid}", self.upstream["tenant"])
            well_known = ".well-known/openid-configuration"
            found[f"{issuer.rstrip('/')}/{well_known}"] = well_known
            found |= {
                self.discovery[name]: played
                for name, played in PLAYED.items()
                if name in self.discovery
            }
        for url in self.answers:
            found[url] = f"documents{urlsplit(url).path}"
        return found


class Rerouted:
    """A transport that finds the real provider's addresses on this machine, and no other."""

    def __init__(self, addresses: dict[str, str], at: str) -> None:
        self._addresses = addresses
        self._at = at
        self._inner = HttpTransport()

    async def give_up_after(self, seconds: float) -> None:
        await self.close()
        self._inner = HttpTransport(timeout=seconds)

    def there(self, url: str) -> str:
        address, mark, query = url.partition("?")
        return f"{self._at}/{self._addresses[address]}{mark}{query}"

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await self._inner.send(msgspec.structs.replace(request, url=self.there(request.url)))

    async def close(self) -> None:
        await self._inner.close()


HERE = Path(__file__).parent / "recorded"
RECORDINGS = {
    path.stem: msgspec.json.decode(path.read_bytes(), type=Recording)
    for path in sorted(HERE.glob("*.json"))
}


def play(recording: Recording, provider: FakeUpstream, clock: ManualClock) -> None:
    """Let *provider* answer as it is recorded."""

    def shape(body: dict[str, Any]) -> dict[str, Any]:
        # The token itself stays the provider's own: it knows which of them live.
        merged = body | {k: v for k, v in recording.token.items() if k != "access_token"}
        told = {name: value for name, value in merged.items() if value is not None}
        return recording.around | {recording.under: told} if recording.under else told

    provider.auth_method = recording.auth_method
    provider.refreshable = recording.token.get("refresh_token", "") is not None
    provider.rotates = recording.rotates
    provider.shape = shape
    provider.errors = recording.errors
    provider.profile = recording.userinfo
    provider.claims = dict(recording.id_token)
    if "auth_time" in provider.claims:
        provider.claims["auth_time"] = int(clock())
    if recording.discovery is not None:
        provider.metadata = recording.discovery | {
            "authorization_response_iss_parameter_supported": False,
        }
        provider.metadata |= {name: None for name in PLAYED if name not in recording.discovery}
        provider.issuer = recording.identity["issuer"]
    provider.documents = {
        f"/documents{urlsplit(url).path}": answer for url, answer in recording.answers.items()
    }


@dataclass
class Played:
    recording: Recording
    provider: FakeUpstream
    clock: ManualClock
    transport: Rerouted
    upstream: UpstreamClient

    def now(self) -> int:
        return int(self.clock())

    async def log_in(self) -> Any:
        url = await self.upstream.authorization_url(WISH)
        async with Browser(stop_at=(LOGIN.redirect_uri,)) as browser:
            page = await browser.open(self.transport.there(url))
        return await self.upstream.redeem(answer_of(page)["code"], WISH, now=self.now())


@pytest.fixture(params=RECORDINGS)
async def played(
    request: pytest.FixtureRequest, provider: FakeUpstream, clock: ManualClock
) -> AsyncIterator[Played]:
    recording = RECORDINGS[request.param]
    play(recording, provider, clock)
    section = recording.upstream | {"client_id": "mintage", "client_secret": "env:SECRET"}
    transport = Rerouted(recording.addresses(), provider.url)
    secret = provider.client_secret.encode()
    upstream = opened_with(section, transport, clock, SECRET=secret)
    yield Played(recording, provider, clock, transport, upstream)
    await upstream.close()


async def test_a_login_tells_who_it_is(played: Played) -> None:
    _, identity = await played.log_in()
    assert msgspec.json.decode(msgspec.json.encode(identity)) == played.recording.identity
    query = played.provider.queries[0]
    assert played.recording.asks.items() <= query.items()
    assert not set(played.recording.asks_not) & query.keys()


async def test_a_login_lives_on(played: Played) -> None:
    """By a refresh; or, where its token never ends, by another look at it."""
    tokens, _ = await played.log_in()
    played.clock.advance(3600)
    again = (await played.upstream.refresh(tokens, now=played.now())).tokens
    assert played.provider.is_live(again.access_token)
    assert again.recheck == (tokens.refresh_token is None)
    assert again.expires_at is not None
    assert again.expires_at > played.now()


async def test_a_login_that_the_provider_ended_is_over(played: Played) -> None:
    tokens, _ = await played.log_in()
    played.provider.end_all()
    with pytest.raises(UpstreamRefused):
        await played.upstream.refresh(tokens, now=played.now())
    with pytest.raises(UpstreamRefused):
        await played.upstream.redeem("a wrong code", LOGIN, now=played.now())


@pytest.mark.parametrize("fault", ["500", "429", "hang", "garbage"])
async def test_a_login_lives_through_an_outage(played: Played, fault: Any) -> None:
    tokens, _ = await played.log_in()
    if fault == "hang":
        await played.transport.give_up_after(0.2)
    played.provider.faults |= dict.fromkeys(["token", "documents", "userinfo"], fault)
    with pytest.raises(UpstreamError) as failure:
        await played.upstream.refresh(tokens, now=played.now())
    assert not isinstance(failure.value, UpstreamRefused)


async def test_its_end_is_told_where_that_can_be_done(played: Played) -> None:
    tokens, _ = await played.log_in()
    await played.upstream.revoke(tokens)
    known = any(name.startswith("revoke") for name in played.recording.addresses().values())
    assert played.provider.is_live(tokens.access_token) == (not known)
    assert bool(played.provider.seen["revoke"]) == known


def test_every_preset_is_recorded() -> None:
    recorded = {recording.upstream["preset"] for recording in RECORDINGS.values()}
    assert recorded | {"oidc", "oauth2"} == PRESETS.keys()


def read(section: dict[str, Any]) -> Upstream:
    whole = {"client_id": "m", "client_secret": "env:S"} | section
    present = {key: value for key, value in whole.items() if value is not None}
    return read_upstream(msgspec.convert(present, UpstreamSection), lambda *_: Secret(b"a secret"))


PLAIN = {
    "preset": "oauth2",
    "authorization_endpoint": "https://idp.example/authorize?tenant=1",
    "token_endpoint": "https://idp.example/token",
    "userinfo_endpoint": "https://idp.example/userinfo",
}
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("preset", {"preset": "gihtub"}),
    ("client_id", {"preset": "google", "client_id": ""}),
    ("issuer", {}),
    ("issuer", {"issuer": "idp.example"}),
    ("issuer", {"issuer": "http://idp.example"}),
    ("issuer", {"issuer": "ftp://idp.example"}),
    ("issuer", {"issuer": "https://idp.example?a=b"}),
    ("issuer", {"issuer": "https://idp.example:99999"}),
    ("issuer", {"issuer": "https://idp .example"}),
    ("tenant", {"preset": "entra"}),
    ("tenant", {"preset": "entra", "tenant": "corp.onmicrosoft.com"}),
    ("tenant", {"preset": "google", "tenant": "common"}),
    ("domain", {"preset": "okta"}),
    ("domain", {"preset": "okta", "domain": "https://acme.okta.com"}),
    ("domain", {"preset": "auth0", "domain": "acme.eu.auth0.com/"}),
    ("domain", {"preset": "keycloak", "realm": "staff"}),
    ("realm", {"preset": "keycloak", "domain": "sso.example.com"}),
    ("realm", {"preset": "keycloak", "domain": "sso.example.com", "realm": "a/b"}),
    ("region", {"preset": "cognito", "user_pool": "eu-west-1_x"}),
    ("user_pool", {"preset": "cognito", "region": "eu-west-1"}),
    ("api", {"preset": "github", "api": "https://api.github.com"}),
    ("scopes", {"preset": "google", "scopes": ["openid email"]}),
    ("resource", {"preset": "google", "resource": "not a url"}),
    ("auth_method", {"preset": "google", "auth_method": "client_secret_jwt"}),
    ("client_key", {"preset": "google", "auth_method": "private_key_jwt"}),
    ("client_secret", {"preset": "google", "auth_method": "client_secret_post",
                       "client_secret": None}),
    ("client_secret", {"preset": "slack", "client_secret": None}),
    ("client_secret", {"preset": "google", "client_secret": None, "pkce": False}),
    ("claims.uid", {"preset": "google", "claims": {"uid": "/x"}}),
    ("claims.groups", {"preset": "google", "claims": {"groups": "x"}}),
    ("parameters.state", {"preset": "google", "parameters": {"state": "x"}}),
    ("parameters.max_age", {"preset": "okta", "domain": "a.okta.com",
                            "parameters": {"max_age": "60"}}),
    ("parameters.resource", {"preset": "google", "parameters": {"resource": "x"}}),
    ("recheck_seconds", {"preset": "github", "recheck_seconds": -1}),
    ("authorization_endpoint", PLAIN | {"authorization_endpoint": None}),
    ("token_endpoint", PLAIN | {"token_endpoint": None}),
    ("token_endpoint", PLAIN | {"token_endpoint": "http://idp.example/token"}),
    ("userinfo_endpoint", PLAIN | {"userinfo_endpoint": None}),
    ("issuer", PLAIN | {"jwks_uri": "https://idp.example/keys"}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "section"), WRONG, ids=str)
def test_wrong_settings_are_named(key: str, section: dict[str, Any]) -> None:
    with pytest.raises(
        (ConfigError, msgspec.ValidationError), match=rf"upstream\.{key}: |\$\.{key}"
    ):
        read(section)


@pytest.mark.parametrize(
    "section",
    [
        {"preset": "google"},
        {"issuer": "http://127.0.0.1:9000"},
        {"preset": "okta", "issuer": "https://acme.okta.com/oauth2/default"},
        {"preset": "entra", "tenant": "common"},
        {"preset": "google", "client_secret": None},
        PLAIN,
    ],
)
def test_good_settings_are_taken(section: dict[str, Any]) -> None:
    assert read(section).client_id == "m"


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ({"preset": "github"}, "GitHub"),
        ({"preset": "github", "domain": "github.corp.example"}, "github.corp.example"),
        ({"preset": "entra", "tenant": "common"}, "Microsoft Entra ID"),
        ({"preset": "keycloak", "domain": "sso.corp.example", "realm": "r"}, "sso.corp.example"),
        ({"issuer": "https://login.corp.example/x"}, "login.corp.example"),
        (PLAIN, "idp.example"),
    ],
)
def test_pages_call_it_by_its_name(section: dict[str, Any], name: str) -> None:
    assert read(section).title == name


def test_recordings_hold_no_real_secret() -> None:
    """Their values are made up; what looks like a token is an example from documentation."""
    for path in HERE.glob("*.json"):
        assert "eyJ" not in path.read_text(encoding="utf-8")
        assert json.loads(path.read_text(encoding="utf-8"))["source"]


DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "providers"
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_has_its_page(preset: Preset) -> None:
    page = (DOCS / f"{preset.name}.md").read_text(encoding="utf-8")
    block = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])
    assert block["upstream"].get("preset", "oidc") == preset.name
    row = re.search(rf"^\| `{preset.name}` \|(.*)\|.*\|$", INDEX, re.MULTILINE)
    assert row is not None
    needed = [name for name, default in preset.parameters.items() if default is None]
    assert [name for name in needed if f"`{name}`" not in row[1]] == []


def test_every_key_is_explained() -> None:
    """In the reference, which the section itself is the source of."""
    reference = (DOCS.parents[1] / "reference.md").read_text(encoding="utf-8")
    for field in msgspec.structs.fields(UpstreamSection):
        assert f"`upstream.{field.encode_name}" in reference, field.name
