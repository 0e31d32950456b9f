"""Nothing that nobody needs may fail a login; what is needed is read strictly."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe, jwk, jws
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mintage.errors import (
    ConfigError,
    UpstreamMisbehaved,
    UpstreamMisconfigured,
    UpstreamUnavailable,
)
from mintage.testing.fake_upstream import FakeUpstream
from mintage.upstream import members
from mintage.upstream.discovery import read_discovery
from mintage.upstream.members import Member
from mintage.upstream.oauth2 import read_tokens
from tests.upstream.conftest import LOGIN, Stage
from tests.upstream.test_presets import read

ODD = [None, "", [], {}, 7, True, 1.5, "a string", ["a", "list"], [None], {"an": "object"}]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    "name",
    ["userinfo_endpoint", "revocation_endpoint", "token_endpoint_auth_methods_supported",
     "authorization_response_iss_parameter_supported", "scopes_supported", "unknown_member"],
)  # fmt: skip
def test_discovery_may_hold_anything_where_nobody_needs_it(name: str, value: Any) -> None:
    document = {
        "issuer": "https://a.example",
        "authorization_endpoint": "https://a.example/a",
        "token_endpoint": "https://a.example/t",
        "jwks_uri": "https://a.example/j",
    }
    assert read_discovery(document | {name: value}, "https://a.example").jwks_uri


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", ["refresh_token", "expires_in", "scope", "id_token", "unknown"])
def test_a_token_answer_may_too(name: str, value: Any) -> None:
    body = {"access_token": "a", "token_type": "bearer"} | {name: value}
    assert read_tokens(body, now=1000)[0].access_token == "a"


@pytest.mark.parametrize(
    ("member", "value", "read_as"),
    [
        ("scope", ["read", "write"], "read write"),
        ("refresh_token", ["r"], "r"),
        ("expires_in", "60", 1060),
        ("expires_in", [60], 1060),
        ("expires_in", -1, None),
        ("expires_in", "soon", None),
        ("token_type", None, "a"),
    ],
)
def test_what_can_be_read_is_read(member: str, value: Any, read_as: Any) -> None:
    body = {"access_token": "a", "token_type": "bearer"} | {member: value}
    tokens = read_tokens(body, now=1000)[0]
    name = {"expires_in": "expires_at", "token_type": "access_token"}.get(member, member)
    assert getattr(tokens, name) == read_as


@pytest.mark.parametrize("value", [v for v in ODD if v != "a string"])
@pytest.mark.parametrize("name", ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_what_is_needed_is_read_strictly_and_named(name: str, value: Any) -> None:
    document = {
        "issuer": "https://a.example",
        "authorization_endpoint": "https://a.example/a",
        "token_endpoint": "https://a.example/t",
        "jwks_uri": "https://a.example/j",
    }
    with pytest.raises(UpstreamMisbehaved, match=name):
        read_discovery(document | {name: value}, "https://a.example")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=200)
@given(value=VALUES)
def test_a_reader_never_raises_and_never_gives_another_type(value: Any) -> None:
    types: dict[members.Read, type] = {
        members.text: str, members.token: str, members.scopes: str, members.number: int,
        members.flag: bool, members.words: tuple, members.url(plain=True): str,
    }  # fmt: skip
    for reader, kind in types.items():
        found = members.members({"m": value}, [Member("m", reader)], of="x")
        assert type(found.get("m", kind())) is kind


CLAIMS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["azp", "nbf", "iat", "at_hash", "auth_time", "groups", "name", "picture",
                     "email", "email_verified", "amr", "acr", "locale", "hd"]),
    st.none() | st.just("") | st.just([]),
)  # fmt: skip


async def test_an_id_token_may_hold_nothing_where_nobody_needs_it(stage: Stage) -> None:
    upstream = stage.open()
    key = stage.provider.key

    @settings(max_examples=5)
    @given(claims=CLAIMS)
    def drawn(claims: dict[str, Any]) -> None:
        seen.append(claims)

    seen: list[dict[str, Any]] = [dict.fromkeys(["azp", "nbf", "iat", "at_hash"])]
    drawn()
    for claims in seen:
        stage.provider.sign = lambda made, more=claims: jws.serialize_compact(
            {"alg": "RS256", "kid": key.kid}, json.dumps(made | more).encode(), key
        )
        _, who = await stage.log_in(upstream)
        assert who.subject == "alice"


class TestKeys:
    @pytest.mark.parametrize("kid", [None, "another", ""])
    async def test_a_kid_that_the_set_does_not_have(self, stage: Stage, kid: str | None) -> None:
        header = {"alg": "RS256"} | ({} if kid is None else {"kid": kid})
        key = stage.provider.key
        stage.provider.sign = lambda claims: jws.serialize_compact(
            header, json.dumps(claims).encode(), key
        )
        _, who = await stage.log_in(stage.open())
        assert who.subject == "alice"

    async def test_another_key_is_not_believed_for_that(self, stage: Stage) -> None:
        stranger = jwk.RSAKey.generate_key(2048)
        stage.provider.sign = lambda claims: jws.serialize_compact(
            {"alg": "RS256", "kid": "another"}, json.dumps(claims).encode(), stranger
        )
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.open())


class Signing(FakeUpstream):
    """Answers userinfo with a JWT (OpenID Connect Core §5.3.2)."""

    told: dict[str, Any] = {}  # noqa: RUF012
    signer: Any = None
    encrypted = False

    async def _userinfo(self, request: Request) -> Response:
        claims = {"sub": self.user, "email": "alice@example.com", "email_verified": True}
        claims |= {"iss": self.issuer, "aud": self.client_id} | self.told
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.signer or self.key
        body = jws.serialize_compact(
            {"alg": "RS256", "kid": self.key.kid}, json.dumps(claims).encode(), key
        )
        if self.encrypted:
            secret = jwk.OctKey.generate_key(128)
            body = jwe.encrypt_compact({"alg": "dir", "enc": "A128GCM"}, body.encode(), secret)
        return Response(body, media_type="application/jwt")


class TestSignedUserinfo:
    @pytest.fixture
    async def provider(self, clock: Any) -> Any:
        async with Signing(clock).running() as provider:
            provider.claims = {"email": None, "email_verified": None}
            yield provider

    @pytest.mark.parametrize("told", [{}, {"iss": None, "aud": None}, {"aud": ["x", "mintage"]}])
    async def test_is_read(self, stage: Stage, told: dict[str, Any]) -> None:
        stage.provider.told = told  # type: ignore[attr-defined]
        _, who = await stage.log_in(stage.open(userinfo=True))
        assert who.claims["email"] == "alice@example.com"
        assert who.claims["email_verified"] is True

    @pytest.mark.parametrize(
        "told",
        [{"iss": "https://evil.example"}, {"aud": "another"}, {"sub": "mallory"}, {"exp": 5}],
    )
    async def test_of_somebody_else_is_not_believed(
        self, stage: Stage, told: dict[str, Any]
    ) -> None:
        stage.provider.told = told  # type: ignore[attr-defined]
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.open(userinfo=True))

    async def test_under_another_key_is_not_believed(self, stage: Stage) -> None:
        stage.provider.signer = jwk.RSAKey.generate_key(2048)  # type: ignore[attr-defined]
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.open(userinfo=True))

    async def test_that_is_encrypted_is_refused_with_a_sentence(self, stage: Stage) -> None:
        stage.provider.encrypted = True  # type: ignore[attr-defined]
        with pytest.raises(UpstreamMisconfigured, match="userinfo is encrypted"):
            await stage.log_in(stage.open(userinfo=True))

    async def test_can_be_spared(self, stage: Stage) -> None:
        stage.provider.encrypted = True  # type: ignore[attr-defined]
        _, who = await stage.log_in(stage.open(userinfo=False))
        assert who.subject == "alice"
        assert stage.provider.seen["userinfo"] == 0


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"null"])
async def test_userinfo_that_tells_nothing_is_no_login_without_an_address(
    stage: Stage, answer: bytes
) -> None:
    class Silent(FakeUpstream):
        async def _userinfo(self, _: Request) -> Response:
            return Response(answer)

    async with Silent(stage.clock).running() as provider:
        stage.provider = provider
        with pytest.raises(UpstreamUnavailable):
            await stage.log_in(stage.open(userinfo=True))


class TestTwoNames:
    """The issuer is the outside's name; Mintage itself reaches the provider inside."""

    async def test_the_document_is_read_where_it_is_said(self, stage: Stage) -> None:
        inside = stage.provider.url
        stage.provider.issuer = "https://login.example.com/realms/x"
        stage.provider.metadata = {"authorization_endpoint": "https://login.example.com/authorize"}
        upstream = stage.open(
            issuer=stage.provider.issuer,
            discovery_url=f"{inside}/.well-known/openid-configuration",
            http_to_the_provider_stays_in_a_trusted_network=True,
        )

        assert (await upstream.authorization_url(LOGIN)).startswith("https://login.example.com/")
        await upstream.check_issuer("https://login.example.com/realms/x")

    def test_http_needs_the_long_name(self) -> None:
        section = {
            "issuer": "https://login.example.com",
            "discovery_url": "http://keycloak.auth.svc:8080/.well-known/openid-configuration",
            "token_endpoint": "http://keycloak.auth.svc:8080/token",
        }
        with pytest.raises(ConfigError, match="discovery_url"):
            read(section)
        allowed = {"http_to_the_provider_stays_in_a_trusted_network": True}
        assert read(section | allowed).plain
        for name in ("issuer", "authorization_endpoint"):
            with pytest.raises(ConfigError, match=name):
                read(section | allowed | {name: "http://keycloak.auth.svc:8080/x"})

    def test_discovery_may_name_http_endpoints_then(self) -> None:
        document = {
            "issuer": "https://login.example.com",
            "authorization_endpoint": "https://login.example.com/a",
            "token_endpoint": "http://keycloak.auth.svc:8080/t",
            "jwks_uri": "http://keycloak.auth.svc:8080/j",
        }
        with pytest.raises(UpstreamMisbehaved, match="token_endpoint"):
            read_discovery(document, "https://login.example.com")
        found = read_discovery(document, "https://login.example.com", plain=True)
        assert found.jwks_uri == document["jwks_uri"]


async def test_a_provider_that_verifies_every_address(stage: Stage) -> None:
    stage.provider.claims = {"email_verified": None}
    _, who = await stage.log_in(stage.open())
    assert "email_verified" not in who.claims
    _, who = await stage.log_in(stage.open(emails_are_verified=True))
    assert who.claims["email_verified"] is True
    stage.provider.claims = {"email_verified": False}
    _, who = await stage.log_in(stage.open(emails_are_verified=True))
    assert who.claims["email_verified"] is False


async def test_numbers_for_subjects_in_userinfo(stage: Stage) -> None:
    class Counting(FakeUpstream):
        async def _userinfo(self, _: Request) -> Response:
            return JSONResponse({"sub": 12345, "email": "a@example.com"})

    async with Counting(stage.clock).running() as provider:
        provider.user = "12345"
        provider.claims = {"email": None}
        stage.provider = provider
        _, who = await stage.log_in(stage.open())
        assert (who.subject, who.claims["email"]) == ("12345", "a@example.com")
