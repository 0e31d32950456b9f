"""Our own leg of the login: what a provider may say, and what is believed of it."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import msgspec
import pytest
import uvicorn
from joserfc import jwk, jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mintage.errors import UpstreamError, UpstreamMisbehaved, UpstreamRefused, UpstreamUnavailable
from mintage.grants.states import UpstreamTokens
from mintage.testing.browser import Browser
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port, nanoidp
from mintage.testing.oauth_client import answer_of
from mintage.testing.serving import serving
from mintage.upstream.answers import No, Unknown, believed, to_a_token_request
from mintage.upstream.discovery import read_discovery
from mintage.upstream.id_token import read_keys
from mintage.upstream.oauth2 import read_tokens
from mintage.upstream.opening import open_upstream
from mintage.upstream.preset import Quirks
from mintage.upstream.protocol import HttpRequest, HttpResponse, UpstreamClient
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream
from mintage.values import Secret
from tests.upstream.conftest import LOGIN


@pytest.fixture
async def upstream(provider: FakeUpstream, clock: ManualClock) -> AsyncIterator[UpstreamClient]:
    described = Upstream(
        name="oidc",
        title="the provider",
        issuer=provider.issuer,
        client_id=provider.client_id,
        client_secret=Secret(provider.client_secret.encode()),
        scopes=("openid", "email"),
    )
    upstream = open_upstream(described, HttpTransport(), clock)
    yield upstream
    await upstream.close()


async def log_in(upstream: UpstreamClient, clock: ManualClock) -> Any:
    async with Browser(stop_at=(LOGIN.redirect_uri,)) as browser:
        page = await browser.open(await upstream.authorization_url(LOGIN))
    return await upstream.redeem(answer_of(page)["code"], LOGIN, now=int(clock()))


async def test_a_good_login_tells_who_it_is(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    provider.claims = {"groups": ["a", "b"], "name": "Älice", "hidden": "x", "picture": {"no": 1}}
    tokens, identity = await log_in(upstream, clock)
    assert provider.is_live(tokens.access_token)
    assert tokens.expires_at == int(clock()) + 3600
    assert (identity.issuer, identity.subject) == (provider.issuer, "alice")
    assert identity.claims == {
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["a", "b"],
        "name": "Älice",
    }


NOW = int(time.time())
FORGED: dict[str, dict[str, Any]] = {
    "wrong nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "nonce of another type": {"nonce": 5},
    "nonce with a surrogate": {"nonce": "\ud800"},
    "wrong issuer": {"iss": "https://other.example"},
    "no issuer": {"iss": None},
    "wrong audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "several audiences, no azp": {"aud": ["mintage", "other"]},
    "azp of another client": {"azp": "other"},
    "expired": {"exp": NOW - 3600},
    "no exp": {"exp": None},
    "exp of another type": {"exp": "soon"},
    "endless exp": {"exp": 10**400},
    "from the future": {"iat": NOW + 3600},
    "not yet valid": {"nbf": NOW + 3600},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
    "long subject": {"sub": "a" * 256},
    "subject of another type": {"sub": 5},
    "subject with a surrogate": {"sub": "\ud800"},
    "wrong at_hash": {"at_hash": "AAAA"},
    "at_hash with a surrogate": {"at_hash": "\ud800"},
}


@pytest.mark.parametrize("claims", FORGED.values(), ids=FORGED)
async def test_attack_b10_a_wrong_id_token_is_not_believed(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    with pytest.raises(UpstreamMisbehaved):
        await log_in(upstream, clock)


def compact(header: dict[str, Any], claims: dict[str, Any], key: bytes | None) -> str:
    """A JWS by hand: HMAC-SHA256 under *key*, or no signature at all."""

    def segment(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(claims).encode())}"
    signature = b"" if key is None else hmac.digest(key, signed.encode(), "sha256")
    return f"{signed}.{segment(signature)}"


async def test_attack_b10_neither_unsigned_nor_signed_by_another(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    kid = provider.key.kid
    stranger = RSAKey.generate_key(2048)
    forgeries: dict[str, Callable[[dict[str, Any]], str]] = {
        "none": lambda claims: compact({"alg": "none"}, claims, None),
        "hs256 with the public key": lambda claims: compact(
            {"alg": "HS256", "kid": kid}, claims, provider.key.as_pem(private=False)
        ),
        "hs256 with our client secret": lambda claims: compact(
            {"alg": "HS256"}, claims, provider.client_secret.encode()
        ),
        "a stranger's key": lambda claims: jwt.encode({"alg": "RS256"}, claims, stranger),
        "a stranger's key under a known kid": lambda claims: jwt.encode(
            {"alg": "RS256", "kid": kid}, claims, stranger
        ),
        "a stranger's key in the header": lambda claims: jwt.encode(
            {"alg": "RS256", "jwk": stranger.as_dict(private=False)}, claims, stranger
        ),
    }
    for name, sign in forgeries.items():
        provider.sign = sign
        with pytest.raises(UpstreamMisbehaved):
            await log_in(upstream, clock)
        clock.advance(20)  # past the pause between two looks for a key
        assert name


async def test_headers_that_nobody_reads_do_not_matter(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    header = {"alg": "RS256", "kid": provider.key.kid, "x5c": ["A" * 2000], "odd": 1}
    token = {}

    def sign(claims: dict[str, Any]) -> str:
        registry = JWSRegistry(strict_check_header=False)
        registry.max_header_length = 8000
        token["made"] = jwt.encode(header, claims, provider.key, registry=registry)
        return token["made"]

    provider.sign = sign
    _, identity = await log_in(upstream, clock)
    assert identity.subject == "alice"


@pytest.mark.parametrize("token", [None, 5, "", "a.b", "a.b.c.d", ["a.b.c"]])
async def test_attack_b10_an_id_token_must_be_there(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock, token: Any
) -> None:
    provider.shape = lambda body: body | {"id_token": token}
    with pytest.raises(UpstreamMisbehaved):
        await log_in(upstream, clock)


async def test_attack_b10_userinfo_of_somebody_else_is_not_believed(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    provider.claims = {"email": None}
    provider.profile = {"sub": "mallory"}
    with pytest.raises(UpstreamMisbehaved):
        await log_in(upstream, clock)


async def test_attack_b08_an_iss_that_is_promised_must_be_there(upstream: UpstreamClient) -> None:
    with pytest.raises(UpstreamMisbehaved):
        await upstream.check_issuer(None)


async def test_a_new_key_is_found_without_a_restart(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    await log_in(upstream, clock)
    provider.key = RSAKey.generate_key(2048, auto_kid=True)
    clock.advance(20)
    await log_in(upstream, clock)
    assert provider.seen["jwks"] == 2


async def test_unusable_claims_are_left_out(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    provider.claims = {"groups": [10**30], "email": "\ud800", "name": "n" * 5000, "hd": 10**30}
    _, identity = await log_in(upstream, clock)
    assert set(identity.claims) <= {"email", "email_verified"}


async def test_an_outage_of_discovery_alone_stops_nobody(
    upstream: UpstreamClient, provider: FakeUpstream, clock: ManualClock
) -> None:
    await log_in(upstream, clock)
    provider.faults["discovery"] = "500"
    clock.advance(3601)
    await log_in(upstream, clock)


async def test_one_users_cookies_do_not_go_along_with_anothers() -> None:

    seen: list[str | None] = []

    async def answer(request: Request) -> Response:
        seen.append(request.headers.get("cookie"))
        return Response("{}", headers={"set-cookie": "session=alices; Path=/"})

    port = free_port()
    app = Starlette(routes=[Route("/", answer)])
    transport = HttpTransport()
    async with serving(
        uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    ):
        for _ in range(2):
            await transport.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{port}/"))
        await transport.close()
    assert seen == [None, None]


async def test_time_outs_are_for_all_attempts_together(provider: FakeUpstream) -> None:
    provider.faults["jwks"] = "hang"
    transport = HttpTransport(timeout=2)
    with pytest.raises(UpstreamUnavailable):
        await transport.send(HttpRequest(method="GET", url=f"{provider.issuer}/jwks", safe=True))
    await transport.close()
    assert provider.seen["jwks"] == 1


class TestWhatAnErrorMeans:
    def means(self, status: int, body: dict[str, Any]) -> object:
        response = HttpResponse(status=status, headers={}, body=msgspec.json.encode(body))
        return to_a_token_request(response, Quirks())

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, "invalid_grant"),
            (401, "invalid_grant"),
            (400, "access_denied"),
            (400, "interaction_required"),
            (401, "interaction_required"),
        ],
    )
    def test_these_end_the_login(self, status: int, error: str) -> None:
        assert self.means(status, {"error": error}) == No(error)

    def test_attack_e22_a_secret_that_is_refused_in_other_words_ends_nothing(self) -> None:
        """401 is for the client (RFC 6749 §5.2); Auth0 says ``access_denied`` with it."""
        answer = self.means(401, {"error": "access_denied", "error_description": "Unauthorized"})
        assert isinstance(answer, Unknown)
        assert answer.why == "us"

    @pytest.mark.parametrize("error", ["temporarily_unavailable", "server_error", "slow_down"])
    def test_these_pass(self, error: str) -> None:
        assert self.means(400, {"error": error}) == Unknown(error, "away")

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (401, {"error": "invalid_client"}),
            (400, {"error": "invalid_scope"}),
            (403, {"error": "Forbidden"}),
            (404, {"error": "not_found"}),
            (403, {"error": "invalid_grant"}),
            (400, {"error": "no_such_error"}),
            (400, {"error": ["invalid_grant"]}),
            (400, {"error": None}),
            (400, {}),
        ],
    )
    def test_attack_c09_nothing_else_is_a_word_about_the_login(
        self, status: int, body: dict[str, Any]
    ) -> None:
        assert isinstance(self.means(status, body), Unknown)


class TestTokenResponses:
    def read(self, **changes: Any) -> UpstreamTokens:
        body = {"access_token": "a", "token_type": "Bearer", "expires_in": 60} | changes
        response = HttpResponse(status=200, headers={}, body=msgspec.json.encode(body))
        before = UpstreamTokens(access_token="old", refresh_token="old-r", scope="s")
        answer = believed(to_a_token_request(response, Quirks()))
        return read_tokens(answer, now=1000, before=before)[0]

    def test_what_is_not_replaced_is_kept(self) -> None:
        tokens = self.read()
        assert (tokens.refresh_token, tokens.scope, tokens.expires_at) == ("old-r", "s", 1060)

    @pytest.mark.parametrize(("sent", "expires_at"), [("60", 1060), (60.0, 1060), (None, None)])
    def test_lifetimes_come_in_several_shapes(self, sent: Any, expires_at: int | None) -> None:
        assert self.read(expires_in=sent).expires_at == expires_at

    @pytest.mark.parametrize(
        "changes",
        [
            {"access_token": None},
            {"access_token": ""},
            {"access_token": 5},
            {"access_token": "a\r\nX-Evil: 1"},
            {"access_token": "ä"},
            {"token_type": "mac"},
        ],
    )
    def test_odd_ones_are_not_believed(self, changes: dict[str, Any]) -> None:
        with pytest.raises(UpstreamMisbehaved):
            self.read(**changes)


class TestDiscovery:
    DOCUMENT: ClassVar[dict[str, Any]] = {
        "issuer": "https://idp.example",
        "authorization_endpoint": "https://idp.example/a",
        "token_endpoint": "https://idp.example/t",
        "jwks_uri": "https://idp.example/j",
        "revocation_endpoint": "https://idp.example/r",
        "userinfo_endpoint": "https://idp.example/u",
    }

    def test_is_read(self) -> None:
        assert read_discovery(self.DOCUMENT, "https://idp.example").token_endpoint

    @pytest.mark.parametrize(
        "changes",
        [
            {"issuer": "https://idp.example/"},
            {"issuer": "https://evil.example"},
            {"token_endpoint": "http://idp.example/t"},
            {"token_endpoint": "https://idp.example/t#f"},
            {"token_endpoint": "https://idp.example/t\n"},
            {"token_endpoint": "https://"},
            {"token_endpoint": "https://idp.example:99999/"},
            {"jwks_uri": "file:///etc/passwd"},
            {"token_endpoint": 5},
            {"jwks_uri": None},
        ],
    )
    def test_attack_b08_is_the_issuers_own_or_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(UpstreamMisbehaved):
            read_discovery(self.DOCUMENT | changes, "https://idp.example")


async def test_a_third_partys_provider_end_to_end() -> None:
    """nanoidp: login with PKCE, rotation, an old refresh token refused, revocation."""
    async with nanoidp(redirect_uri=LOGIN.redirect_uri) as idp:
        described = Upstream(
            name="oidc",
            title="the provider",
            issuer=idp.issuer,
            client_id=idp.client_id,
            client_secret=Secret(idp.client_secret.encode()),
            scopes=("openid", "email", "offline_access"),
        )
        upstream = open_upstream(described, HttpTransport(), time.time)
        async with Browser(stop_at=(LOGIN.redirect_uri,)) as browser:
            page = await browser.open(await upstream.authorization_url(LOGIN))
            page = await browser.submit(page, {"username": idp.username, "password": idp.password})
        now = int(time.time())
        first, identity = await upstream.redeem(answer_of(page)["code"], LOGIN, now=now)
        assert (identity.subject, identity.claims["email"]) == ("admin", "admin@example.org")
        second = (await upstream.refresh(first, now=now)).tokens
        assert second.refresh_token not in (None, first.refresh_token)
        with pytest.raises(UpstreamRefused):
            await upstream.refresh(first, now=now)
        await upstream.revoke(second)
        with pytest.raises(UpstreamError):
            await upstream.refresh(second, now=now)
        await upstream.close()


def test_a_jwks_without_a_good_key_is_none() -> None:
    weak = {"kty": "RSA", "e": "AQAB", "n": "A" * 171}
    bodies: list[dict[str, Any]] = [
        {},
        {"keys": []},
        {"keys": [weak]},
        {"keys": [{"kty": "oct", "k": "AAAA"}]},
    ]
    for body in bodies:
        with pytest.raises(UpstreamMisbehaved):
            read_keys(body)
    good = jwk.ECKey.generate_key("P-256").as_dict(private=False)
    assert len(read_keys({"keys": [weak, {"kty": "new"}, 5, good]}).keys) == 1
