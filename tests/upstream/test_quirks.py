"""Each quirk, on and off, against a provider that has it."""

import base64
import datetime as dt
import json
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk, jws
from msgspec.structs import replace

from mintage.errors import (
    ConfigError,
    UpstreamError,
    UpstreamMisbehaved,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mintage.grants.states import UpstreamTokens
from mintage.upstream.answers import believed, to_a_token_request
from mintage.upstream.identity import from_claims
from mintage.upstream.json_paths import Each, Pick
from mintage.upstream.preset import IdentityMap, Lookup, Preset, Quirks
from mintage.upstream.presets import PRESETS
from mintage.upstream.protocol import HttpResponse, LoginParameters, UpstreamClient
from tests.upstream.conftest import LOGIN, Stage

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "99999999-2222-3333-4444-555555555555"


class TestResource:
    async def test_is_not_sent_upstream(self, stage: Stage) -> None:
        stage.provider.refuses = frozenset({"resource"})
        await stage.log_in(stage.open())

    async def test_unless_the_operator_asks_for_it(self, stage: Stage) -> None:
        upstream = stage.open(resource="https://api.example.com")
        tokens, _ = await stage.log_in(upstream)
        await upstream.refresh(tokens, now=int(stage.clock()))
        sent = [*stage.provider.queries, *stage.provider.forms]
        assert [one["resource"] for one in sent] == ["https://api.example.com"] * 3

    async def test_and_then_a_strict_provider_says_no(self, stage: Stage) -> None:
        stage.provider.refuses = frozenset({"resource"})
        answer = await stage.ask(stage.open(resource="https://api.example.com"))
        assert answer["error"] == "invalid_request"


class TestOfflineAccess:
    async def asked(self, stage: Stage, **section: Any) -> dict[str, str]:
        await stage.ask(stage.open(**section))
        return stage.provider.queries[-1]

    async def test_is_a_scope(self, stage: Stage) -> None:
        query = await self.asked(stage)
        assert "offline_access" in query["scope"].split()
        assert "access_type" not in query

    async def test_or_parameters_of_its_own(self, stage: Stage) -> None:
        quirks = Quirks(offline={"access_type": "offline", "prompt": "consent"})
        query = await self.asked(stage, quirks=quirks)
        assert "offline_access" not in query["scope"].split()
        assert (query["access_type"], query["prompt"]) == ("offline", "consent")

    async def test_over_which_the_operator_has_the_last_word(self, stage: Stage) -> None:
        quirks = Quirks(offline={"access_type": "offline", "prompt": "consent"})
        query = await self.asked(stage, quirks=quirks, parameters={"prompt": "select_account"})
        assert (query["access_type"], query["prompt"]) == ("offline", "select_account")

    async def test_which_are_sent_only_if_it_is_wanted(self, stage: Stage) -> None:
        quirks = Quirks(offline={"access_type": "offline"})
        query = await self.asked(stage, quirks=quirks, scopes=["openid"])
        assert "access_type" not in query


class TestRefreshAnswers:
    async def twice(self, stage: Stage) -> list[UpstreamTokens]:
        upstream = stage.open()
        tokens = [(await stage.log_in(upstream))[0]]
        for _ in range(2):
            renewed = await upstream.refresh(tokens[-1], now=int(stage.clock()))
            tokens.append(renewed.tokens)
        return tokens

    async def test_without_a_refresh_token_keep_the_old_one(self, stage: Stage) -> None:
        stage.provider.rotates = False
        tokens = await self.twice(stage)
        assert len({one.refresh_token for one in tokens}) == 1
        assert len({one.access_token for one in tokens}) == 3

    async def test_with_one_replace_it(self, stage: Stage) -> None:
        tokens = await self.twice(stage)
        assert len({one.refresh_token for one in tokens}) == 3


class TestTokensWithoutAnEnd:
    @pytest.fixture(autouse=True)
    def endless(self, stage: Stage) -> None:
        stage.provider.lifetime = None
        stage.provider.refreshable = False

    async def test_are_looked_at_again_after_a_while(self, stage: Stage) -> None:
        upstream = stage.plain(recheck_seconds=600)
        tokens, _ = await stage.log_in(upstream)
        assert (tokens.recheck, tokens.expires_at) == (True, int(stage.clock()) + 600)
        stage.clock.advance(600)
        again = (await upstream.refresh(tokens, now=int(stage.clock()))).tokens
        assert again.access_token == tokens.access_token
        assert again.expires_at == int(stage.clock()) + 600

    async def test_are_never_looked_at_if_the_operator_says_so(self, stage: Stage) -> None:
        tokens, _ = await stage.log_in(stage.plain(recheck_seconds=0))
        assert (tokens.recheck, tokens.expires_at) == (False, None)

    async def test_that_the_provider_took_back_end_the_login(self, stage: Stage) -> None:
        upstream = stage.plain()
        tokens, _ = await stage.log_in(upstream)
        await upstream.revoke(tokens)
        with pytest.raises(UpstreamRefused):
            await upstream.refresh(tokens, now=int(stage.clock()))

    @pytest.mark.parametrize("fault", ["500", "503", "429", "redirect", "reset"])
    async def test_live_through_an_outage(self, stage: Stage, fault: Any) -> None:
        upstream = stage.plain()
        tokens, _ = await stage.log_in(upstream)
        stage.provider.faults["userinfo"] = fault
        with pytest.raises((UpstreamUnavailable, UpstreamMisbehaved)):
            await upstream.refresh(tokens, now=int(stage.clock()))
        del stage.provider.faults["userinfo"]
        assert (await upstream.refresh(tokens, now=int(stage.clock()))).tokens.recheck

    @pytest.mark.parametrize("status", [403, 404, 400])
    async def test_live_on_unless_the_provider_says_401(self, stage: Stage, status: int) -> None:
        upstream = stage.plain()
        tokens, _ = await stage.log_in(upstream)
        stage.provider.faults["userinfo"] = "invalid_grant"
        stage.provider.errors["invalid_grant"] = (status, {"error": "invalid_grant"})
        with pytest.raises(UpstreamUnavailable):
            await upstream.refresh(tokens, now=int(stage.clock()))

    @pytest.mark.parametrize(
        ("told", "meant"),
        [
            ("token_revoked", UpstreamRefused),
            ("ratelimited", UpstreamUnavailable),
            ("no_such_error", UpstreamUnavailable),
        ],
    )
    async def test_end_by_a_no_with_status_200(
        self, stage: Stage, told: str, meant: type[UpstreamError]
    ) -> None:
        words = {"token_revoked": "invalid_grant", "ratelimited": "temporarily_unavailable"}
        upstream = stage.plain(quirks=Quirks(errors_in_200=True, error_words=words))
        tokens, _ = await stage.log_in(upstream)
        assert (await upstream.refresh(tokens, now=int(stage.clock()))).tokens.recheck
        stage.provider.end_all()
        stage.provider.errors["invalid_token"] = (200, {"ok": False, "error": told})
        with pytest.raises(meant):
            await upstream.refresh(tokens, now=int(stage.clock()))

    async def test_are_trusted_where_nobody_can_be_asked(self, stage: Stage) -> None:
        """An id_token said who it is, and there is no endpoint that takes the token."""
        stage.provider.metadata = {"userinfo_endpoint": None}
        upstream = stage.open()
        tokens, _ = await stage.log_in(upstream)
        stage.provider.end_all()
        again = (await upstream.refresh(tokens, now=int(stage.clock()) + 3600)).tokens
        assert again.expires_at == int(stage.clock()) + 7200

    @pytest.mark.parametrize("body", [{}, {"active": "yes"}, {"active": None}])
    async def test_introspection_that_tells_nothing_ends_nothing(
        self, stage: Stage, body: dict[str, Any]
    ) -> None:
        upstream = stage.plain(introspection_endpoint=f"{stage.provider.url}/introspect")
        tokens, _ = await stage.log_in(upstream)
        stage.provider.faults["introspect"] = "invalid_grant"
        stage.provider.errors["invalid_grant"] = (200, body)
        with pytest.raises(UpstreamUnavailable):
            await upstream.refresh(tokens, now=int(stage.clock()))

    async def test_are_renewed_if_they_have_a_refresh_token(self, stage: Stage) -> None:
        stage.provider.refreshable = True
        upstream = stage.plain()
        tokens, _ = await stage.log_in(upstream)
        gone = tokens.access_token
        held = (await upstream.refresh(tokens, now=int(stage.clock()))).tokens
        assert held.access_token == gone
        stage.provider.faults["userinfo"] = "no_such_token"  # type: ignore[assignment]
        stage.provider.errors["no_such_token"] = (401, {"error": "invalid_token"})
        renewed = (await upstream.refresh(tokens, now=int(stage.clock()))).tokens
        assert renewed.access_token != gone

    async def test_can_be_introspected_instead(self, stage: Stage) -> None:
        upstream = stage.plain(introspection_endpoint=f"{stage.provider.url}/introspect")
        tokens, _ = await stage.log_in(upstream)
        assert (await upstream.refresh(tokens, now=int(stage.clock()))).tokens.recheck
        assert (stage.provider.seen["introspect"], stage.provider.seen["userinfo"]) == (1, 1)
        stage.provider.faults["introspect"] = "invalid_client"
        with pytest.raises(UpstreamMisbehaved):  # a no to us is no word about the token
            await upstream.refresh(tokens, now=int(stage.clock()))
        del stage.provider.faults["introspect"]
        await upstream.revoke(tokens)
        with pytest.raises(UpstreamRefused):
            await upstream.refresh(tokens, now=int(stage.clock()))


class TestHowWeAuthenticate:
    async def works(self, stage: Stage, **section: Any) -> None:
        upstream = stage.open(**section)
        tokens, _ = await stage.log_in(upstream)
        tokens = (await upstream.refresh(tokens, now=int(stage.clock()))).tokens
        await upstream.revoke(tokens)
        assert not stage.provider.is_live(tokens.access_token)

    async def test_basic_with_each_half_form_encoded(self, stage: Stage) -> None:
        stage.provider.auth_method = "client_secret_basic"
        stage.provider.client_id = "an id:with/odd+characters"
        stage.provider.client_secret = "p%ss word:&ü"
        await self.works(stage)

    async def test_post(self, stage: Stage) -> None:
        await self.works(stage)

    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    async def test_discovery_may_be_wrong_and_the_operator_right(
        self, stage: Stage, method: Any
    ) -> None:
        stage.provider.auth_method = method
        others = ["client_secret_basic", "client_secret_post"]
        others.remove(method)
        stage.provider.metadata = {"token_endpoint_auth_methods_supported": others}
        await self.works(stage, auth_method=method)
        with pytest.raises(UpstreamMisbehaved, match="invalid_client"):
            await stage.log_in(stage.open())

    @pytest.mark.parametrize(
        "key",
        [
            jwk.RSAKey.generate_key(2048),
            jwk.ECKey.generate_key("P-256"),
            jwk.ECKey.generate_key("P-384"),
            jwk.OKPKey.generate_key("Ed25519"),
        ],
        ids=["RS256", "ES256", "ES384", "Ed25519"],
    )
    @pytest.mark.parametrize("form", ["PEM", "JWK"])
    async def test_a_key_of_our_own(self, stage: Stage, key: Any, form: str) -> None:
        stage.provider.auth_method = "private_key_jwt"
        stage.provider.client_key = key
        raw = (
            key.as_pem(private=True)
            if form == "PEM"
            else json.dumps(key.as_dict(private=True)).encode()
        )
        await self.works(
            stage, client_secret=None, client_key="env:KEY", secrets={"KEY": bytes(raw).strip()}
        )

    async def test_a_keys_certificate_is_named_by_its_thumbprint(self, stage: Stage) -> None:
        """Some know a key by that alone."""
        stage.provider.auth_method = "private_key_jwt"
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mintage")])
        at = dt.datetime.fromtimestamp(stage.clock(), dt.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, at, at)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        both = certificate.public_bytes(serialization.Encoding.PEM) + pem
        stage.provider.client_key = jwk.RSAKey.import_key(pem)
        await self.works(stage, client_secret=None, client_key="env:KEY", secrets={"KEY": both})
        assertion = stage.provider.forms[0]["client_assertion"]
        thumbprint = jws.extract_compact(assertion.encode()).headers()["x5t#S256"]
        digest = certificate.fingerprint(hashes.SHA256())
        assert base64.urlsafe_b64decode(thumbprint + "=") == digest

    @pytest.mark.parametrize(
        "raw",
        [
            b"not a key",
            b"{",
            b'{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}',
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            jwk.RSAKey.generate_key(2048).as_pem(private=False),
            json.dumps(jwk.ECKey.generate_key("P-256").as_dict(private=False)).encode(),
            json.dumps(jwk.ECKey.generate_key("secp256k1").as_dict(private=True)).encode(),
            jwk.OKPKey.generate_key("X25519").as_pem(private=True),
        ],
    )
    def test_what_is_no_private_key_is_found_at_the_start(self, stage: Stage, raw: bytes) -> None:
        with pytest.raises(ConfigError, match=r"^upstream\.client_key: ") as refused:
            stage.open(client_secret=None, client_key="env:KEY", secrets={"KEY": raw})
        assert raw.decode() not in str(refused.value)

    async def test_a_public_client_has_pkce_and_nothing_else(self, stage: Stage) -> None:
        stage.provider.auth_method = "none"
        await self.works(stage, client_secret=None)
        assert all("client_secret" not in form for form in stage.provider.forms)


class TestPkce:
    async def test_a_provider_may_refuse_it(self, stage: Stage) -> None:
        stage.provider.refuses = frozenset({"code_challenge", "code_verifier"})
        assert (await stage.ask(stage.open()))["error"] == "invalid_request"
        await stage.log_in(stage.open(pkce=False))

    async def test_is_always_there_otherwise(self, stage: Stage) -> None:
        await stage.log_in(stage.open())
        assert stage.provider.queries[0]["code_challenge_method"] == "S256"
        assert stage.provider.forms[0]["code_verifier"] == LOGIN.code_verifier


class TestScopes:
    async def test_are_asked_for_with_spaces_or_commas(self, stage: Stage) -> None:
        await stage.ask(stage.open(scopes=["openid", "email"]))
        await stage.ask(stage.open(quirks=Quirks(scope_separator=","), scopes=["openid", "email"]))
        assert [one["scope"] for one in stage.provider.queries] == ["openid email", "openid,email"]

    async def test_are_asked_for_under_another_name(self, stage: Stage) -> None:
        quirks = Quirks(scope_parameter="user_scope")
        await stage.ask(stage.open(quirks=quirks, scopes=["openid"]))
        assert stage.provider.queries[0]["user_scope"] == "openid"
        assert "scope" not in stage.provider.queries[0]

    @pytest.mark.parametrize(("separator", "scope"), [(",", "repo user"), (" ", "repo,user")])
    async def test_are_answered_with_commas(self, stage: Stage, separator: Any, scope: str) -> None:
        stage.provider.shape = lambda body: body | {"scope": "repo,user"}
        upstream = stage.open(quirks=Quirks(answered_separator=separator))
        tokens, _ = await stage.log_in(upstream)
        assert tokens.scope == scope


class TestTokenAnswers:
    async def test_as_a_form(self, stage: Stage) -> None:
        stage.provider.form_answers = True
        tokens, _ = await stage.log_in(stage.open(quirks=Quirks(form_answers=True)))
        assert stage.provider.is_live(tokens.access_token)
        assert tokens.expires_at == int(stage.clock()) + 3600  # a string of digits

    async def test_as_a_form_from_one_that_is_not_known_for_it(self, stage: Stage) -> None:
        stage.provider.form_answers = True
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.open())

    async def test_a_missing_token_type_is_a_bearers(self, stage: Stage) -> None:
        stage.provider.shape = lambda body: {k: v for k, v in body.items() if k != "token_type"}
        tokens, _ = await stage.log_in(stage.open())
        assert stage.provider.is_live(tokens.access_token)

    async def test_token_types_of_its_own(self, stage: Stage) -> None:
        stage.provider.shape = lambda body: body | {"token_type": "user"}
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.open())
        await stage.log_in(stage.open(quirks=Quirks(token_types=frozenset({"bearer", "user"}))))

    @pytest.mark.parametrize("inner", [None, "token", ["token"]])
    async def test_nested_in_something_else(self, stage: Stage, inner: Any) -> None:
        stage.provider.shape = lambda _: {"ok": True, "authed_user": inner}
        upstream = stage.open(quirks=Quirks(tokens_under="authed_user"), scopes=["email"])
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(upstream)

    def test_a_form_that_is_none(self) -> None:
        for body in (b"access_token=\xff", b"&".join([b"a=b"] * 100)):
            form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
            response = HttpResponse(status=200, headers=form, body=body)
            with pytest.raises(UpstreamMisbehaved):
                believed(to_a_token_request(response, Quirks(form_answers=True)))

    async def test_nested(self, stage: Stage) -> None:
        stage.provider.shape = lambda body: {"ok": True, "authed_user": body}
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.open(scopes=["email"]))
        upstream = stage.open(quirks=Quirks(tokens_under="authed_user"), scopes=["email"])
        tokens, _ = await stage.log_in(upstream)
        assert stage.provider.is_live(tokens.access_token)

    async def test_errors_with_status_200(self, stage: Stage) -> None:
        stage.provider.errors["invalid_grant"] = (200, {"ok": False, "error": "invalid_code"})
        words = {"invalid_code": "invalid_grant"}
        for quirks, meant in [
            (Quirks(errors_in_200=True, error_words=words), UpstreamRefused),
            (Quirks(errors_in_200=True), UpstreamMisbehaved),
            (Quirks(error_words=words), UpstreamMisbehaved),
        ]:
            with pytest.raises(meant):
                await stage.open(quirks=quirks).redeem("wrong", LOGIN, now=int(stage.clock()))

    @pytest.mark.parametrize(
        ("statuses", "meant"),
        [({400, 401}, UpstreamMisbehaved), ({400, 401, 403}, UpstreamRefused)],
    )
    async def test_errors_with_status_403(
        self, stage: Stage, statuses: set[int], meant: type[UpstreamError]
    ) -> None:
        stage.provider.errors["invalid_grant"] = (403, {"error": "invalid_grant"})
        upstream = stage.open(quirks=Quirks(refusal_statuses=frozenset(statuses)))
        with pytest.raises(meant):
            await upstream.redeem("wrong", LOGIN, now=int(stage.clock()))

    async def test_an_error_in_200_is_an_outage_if_it_says_so(self, stage: Stage) -> None:
        stage.provider.errors["invalid_grant"] = (200, {"ok": False, "error": "ratelimited"})
        words = {"ratelimited": "temporarily_unavailable"}
        upstream = stage.open(quirks=Quirks(errors_in_200=True, error_words=words))
        with pytest.raises(UpstreamUnavailable):
            await upstream.redeem("wrong", LOGIN, now=int(stage.clock()))


class TestIssuersOfManyTenants:
    @pytest.fixture(autouse=True)
    def many(self, stage: Stage) -> None:
        self.template = f"{stage.provider.url}/{{tenantid}}/v2.0"
        stage.provider.issuer = self.template
        self.claims(stage, TENANT, TENANT)

    def claims(self, stage: Stage, issuer: str, tenant: str | None) -> None:
        stage.provider.claims = {
            "iss": self.template.replace("{tenantid}", issuer),
            "tid": tenant,
        }

    def open(self, stage: Stage, template: str | None) -> Any:
        return stage.open(quirks=Quirks(issuer_template=template), issuer=stage.provider.url)

    async def test_the_issuer_is_the_tenants_own(self, stage: Stage) -> None:
        upstream = self.open(stage, self.template)
        _, identity = await stage.log_in(upstream)
        assert identity.issuer == f"{stage.provider.url}/{TENANT}/v2.0"
        await upstream.check_issuer(identity.issuer)
        for other in (self.template, f"{stage.provider.url}/x/v2.0", "https://evil.example"):
            with pytest.raises(UpstreamMisbehaved):
                await upstream.check_issuer(other)

    async def test_without_the_quirk_discovery_is_not_the_issuers(self, stage: Stage) -> None:
        with pytest.raises(UpstreamMisbehaved):
            await stage.ask(self.open(stage, None))

    @pytest.mark.parametrize(
        ("issuer", "tenant"),
        [(TENANT, OTHER_TENANT), (TENANT, None), ("{tenantid}", "{tenantid}"), ("x/y", "x/y")],
    )
    async def test_attack_b10_a_tenant_does_not_speak_for_another(
        self, stage: Stage, issuer: str, tenant: str | None
    ) -> None:
        self.claims(stage, issuer, tenant)
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(self.open(stage, self.template))

    @pytest.mark.parametrize(("bound", "good"), [(TENANT, True), (OTHER_TENANT, False)])
    async def test_attack_b10_nor_does_its_key(
        self,
        stage: Stage,
        bound: str,
        good: bool,  # noqa: FBT001
    ) -> None:
        public = stage.provider.key.as_dict(private=True)
        bound_to = {"issuer": self.template.replace("{tenantid}", bound)}
        key = jwk.import_key({**public, **bound_to})
        assert isinstance(key, jwk.RSAKey)
        stage.provider.key = key
        login = stage.log_in(self.open(stage, self.template))
        if good:
            await login
        else:
            with pytest.raises(UpstreamMisbehaved):
                await login


async def test_an_issuer_may_have_two_spellings(stage: Stage) -> None:
    stage.provider.claims = {"iss": "idp.example"}
    with pytest.raises(UpstreamMisbehaved):
        await stage.log_in(stage.open())
    upstream = stage.open(quirks=Quirks(issuer_aliases=("idp.example",)))
    _, identity = await stage.log_in(upstream)
    assert identity.issuer == stage.provider.issuer


@pytest.mark.parametrize(
    ("wish", "email", "asked"),
    [
        ("always", "a@example.com", 1),
        ("for_email", "a@example.com", 0),
        ("for_email", None, 1),
        ("never", None, 0),
    ],
)
async def test_userinfo_is_asked_when_it_is_worth_it(
    stage: Stage, wish: Any, email: str | None, asked: int
) -> None:
    stage.provider.claims = {"email": email}
    stage.provider.profile = {"groups": ["staff"]}
    _, identity = await stage.log_in(stage.open(quirks=Quirks(userinfo=wish)))
    assert stage.provider.seen["userinfo"] == asked
    assert identity.claims.get("groups") == (["staff"] if asked else None)


@pytest.mark.parametrize(
    ("claims", "userinfo", "email", "verified"),
    [
        ({"email": "a@x.example", "email_verified": True}, {}, "a@x.example", True),
        ({"email": "a@x.example", "email_verified": "true"}, {}, "a@x.example", True),
        ({"email": "a@x.example", "email_verified": "false"}, {}, "a@x.example", False),
        ({"email": "a@x.example", "email_verified": 1.5}, {}, "a@x.example", False),
        ({"email": "a@x.example"}, {"email": "b@x.example", "email_verified": True},
         "a@x.example", None),
        ({"email_verified": True}, {"email": "b@x.example", "email_verified": False},
         "b@x.example", False),
        ({"email_verified": True}, {}, None, None),
    ],
)  # fmt: skip
def test_an_address_is_verified_only_by_who_told_it(
    claims: dict[str, Any], userinfo: dict[str, Any], email: str | None, verified: Any
) -> None:
    """Rules let people in by it."""
    signed = {"iss": "https://idp.example", "sub": "alice"}
    told = userinfo and {"sub": "alice"} | userinfo
    found = from_claims(signed | claims, told, IdentityMap()).claims
    assert (found.get("email"), found.get("email_verified")) == (email, verified)


class TestLookups:
    def open(self, stage: Stage, **more: Any) -> UpstreamClient:
        """A provider that tells the user, and the teams to a token that may read them."""
        url = stage.provider.url
        teams = Lookup(
            into="teams", url=f"{url}/teams", scopes=frozenset({"read:org"}), page_size=100
        )
        preset = Preset(
            name="rest",
            title="REST",
            discovery=False,
            lookups=(Lookup(into="user", url=f"{url}/user"), teams),
            identity=IdentityMap(
                subject=Pick(("user", "id")), groups=Each(("teams",), (("org", "name"), ("slug",)))
            ),
        )
        stage.patch.setitem(PRESETS, "rest", preset)
        return stage.plain(preset="rest", userinfo_endpoint=None, **more)

    def teams(self, stage: Stage, count: int) -> None:
        stage.provider.documents["/user"] = {"id": 7}
        stage.provider.documents["/teams"] = [
            {"org": {"name": "acme"}, "slug": f"t{number}"} for number in range(count)
        ]

    @pytest.mark.parametrize(("count", "asked"), [(0, 2), (99, 2), (100, 3), (250, 4)])
    async def test_lists_come_in_pages(self, stage: Stage, count: int, asked: int) -> None:
        self.teams(stage, count)
        _, identity = await stage.log_in(self.open(stage, scopes=["read:org"]))
        assert identity.claims["groups"] == [f"acme/t{number}" for number in range(count)]
        assert stage.provider.seen["documents"] == asked

    async def test_more_than_can_be_kept_is_nothing(self, stage: Stage) -> None:
        """A part of the list would make rules say different things; so they say nothing."""
        self.teams(stage, 501)
        _, identity = await stage.log_in(self.open(stage, scopes=["read:org"]))
        assert "groups" not in identity.claims
        assert identity.incomplete == ("groups",)

    @pytest.mark.parametrize(
        ("granted", "asked"), [(None, 2), ("read:org x", 2), ("x", 1), ("read:orgs", 1)]
    )
    async def test_are_made_by_what_was_granted(
        self, stage: Stage, granted: str | None, asked: int
    ) -> None:
        self.teams(stage, 1)
        stage.provider.shape = lambda body: body | ({"scope": granted} if granted else {})
        _, identity = await stage.log_in(self.open(stage, scopes=["read:org"]))
        assert stage.provider.seen["documents"] == asked
        assert ("groups" in identity.claims) == (asked == 2)

    async def test_with_an_error_in_200_are_not_answered(self, stage: Stage) -> None:
        self.teams(stage, 1)
        self.open(stage, scopes=["read:org"])
        rest = PRESETS["rest"]
        single = msgspec.structs.replace(rest.lookups[1], page_size=None)
        changed = msgspec.structs.replace(
            rest, lookups=(rest.lookups[0], single), quirks=Quirks(errors_in_200=True)
        )
        stage.patch.setitem(PRESETS, "rest", changed)
        upstream = stage.plain(preset="rest", userinfo_endpoint=None, scopes=["read:org"])
        stage.provider.documents["/teams"] = {"ok": False, "error": "missing_scope"}
        with pytest.raises(UpstreamUnavailable, match="teams was answered with 200, missing_scope"):
            await stage.log_in(upstream)
        stage.provider.documents["/user"] = {"ok": False, "error": "missing_scope", "id": 7}
        with pytest.raises(UpstreamUnavailable):
            await stage.log_in(upstream)

    async def test_that_are_refused_are_not_answered(self, stage: Stage) -> None:
        stage.provider.documents["/user"] = {"id": 7}
        with pytest.raises(UpstreamUnavailable, match="teams was answered with 404"):
            await stage.log_in(self.open(stage, scopes=["read:org"]))

    async def test_unless_they_tell_who_it_is(self, stage: Stage) -> None:
        stage.provider.documents["/teams"] = []
        with pytest.raises(UpstreamUnavailable):
            await stage.log_in(self.open(stage, scopes=["read:org"]))


class TestRevocation:
    async def test_of_a_token_as_githubs(self, stage: Stage) -> None:
        quirks = Quirks(revocation="delete_token")
        upstream = stage.open(
            quirks=quirks, revocation_endpoint=f"{stage.provider.url}/revoke/{{client_id}}"
        )
        tokens, _ = await stage.log_in(upstream)
        await upstream.revoke(tokens)
        assert not stage.provider.is_live(tokens.access_token)
        await upstream.revoke(tokens)  # gone already: nothing is left to do

    async def test_by_the_token_itself(self, stage: Stage) -> None:
        upstream = stage.open(
            quirks=Quirks(revocation="bearer"),
            revocation_endpoint=f"{stage.provider.url}/revoke/own",
        )
        tokens, _ = await stage.log_in(upstream)
        await upstream.revoke(tokens)
        assert not stage.provider.is_live(tokens.access_token)

    @pytest.mark.parametrize(("error", "done"), [("token_revoked", True), ("ratelimited", False)])
    async def test_by_the_token_itself_is_not_done_by_any_200(
        self,
        stage: Stage,
        error: str,
        done: bool,  # noqa: FBT001
    ) -> None:
        words = {"token_revoked": "invalid_grant", "ratelimited": "temporarily_unavailable"}
        upstream = stage.open(
            quirks=Quirks(revocation="bearer", errors_in_200=True, error_words=words),
            revocation_endpoint=f"{stage.provider.url}/revoke/own",
        )
        tokens, _ = await stage.log_in(upstream)
        stage.provider.end_all()
        stage.provider.errors["invalid_token"] = (200, {"ok": False, "error": error})
        if done:
            await upstream.revoke(tokens)
        else:
            with pytest.raises(UpstreamMisbehaved):
                await upstream.revoke(tokens)

    async def test_is_left_out_where_there_is_none(self, stage: Stage) -> None:
        upstream = stage.plain(revocation_endpoint=None)
        tokens, _ = await stage.log_in(upstream)
        await upstream.revoke(tokens)
        assert stage.provider.is_live(tokens.access_token)

    @pytest.mark.parametrize("how", ["rfc7009", "delete_token", "bearer"])
    async def test_that_fails_is_told(self, stage: Stage, how: Any) -> None:
        stage.provider.faults["revoke"] = "500"
        upstream = stage.open(quirks=Quirks(revocation=how))
        tokens, _ = await stage.log_in(upstream)
        with pytest.raises(UpstreamError):
            await upstream.revoke(tokens)


class TestWithoutDiscovery:
    async def test_a_plain_provider_logs_in_by_userinfo(self, stage: Stage) -> None:
        upstream = stage.plain()
        _, identity = await stage.log_in(upstream)
        assert (identity.issuer, identity.subject) == (stage.provider.url, "alice")
        assert "nonce" not in stage.provider.queries[0]
        assert stage.provider.seen["discovery"] == stage.provider.seen["jwks"] == 0
        await upstream.check_issuer("whatever it calls itself")

    async def test_the_names_of_its_claims_are_the_operators_to_say(self, stage: Stage) -> None:
        stage.provider.profile = {"user": {"id": 7, "mail/main": "a@example.com"}, "teams": "ops"}
        claims = {"subject": "/user/id", "email": "/user/mail~1main", "groups": "/teams"}
        _, identity = await stage.log_in(stage.plain(claims=claims))
        assert identity.subject == "7"
        assert identity.claims["email"] == "a@example.com"
        assert identity.claims["groups"] == ["ops"]

    @pytest.mark.parametrize("subject", [None, "", 0, -1, 1.5, True, ["a"], "a" * 256])
    async def test_nobody_is_logged_in_without_a_name(self, stage: Stage, subject: Any) -> None:
        stage.provider.profile = {"sub": subject}
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(stage.plain())

    @pytest.mark.parametrize("fault", ["array", "garbage", "redirect", "invalid_grant"])
    async def test_nor_by_an_answer_that_is_none(self, stage: Stage, fault: Any) -> None:
        stage.provider.faults["userinfo"] = fault
        with pytest.raises((UpstreamMisbehaved, UpstreamUnavailable)):
            await stage.log_in(stage.plain())

    async def test_an_id_token_is_verified_with_the_keys_that_are_named(self, stage: Stage) -> None:
        url = stage.provider.url
        upstream = stage.plain(issuer=url, jwks_uri=f"{url}/jwks", scopes=["openid"])
        _, identity = await stage.log_in(upstream)
        assert identity.claims["email_verified"] is True
        assert (stage.provider.seen["discovery"], stage.provider.seen["jwks"]) == (0, 1)
        stage.provider.claims = {"nonce": "another"}
        with pytest.raises(UpstreamMisbehaved):
            await stage.log_in(upstream)
        with pytest.raises(UpstreamMisbehaved):
            await upstream.check_issuer("https://evil.example")


class TestWhatTheClientWishesOfTheLogin:
    WISH = LoginParameters(prompt="login", max_age=300, login_hint="alice@example.com")
    LOGIN = replace(LOGIN, parameters=WISH)

    async def asked(self, stage: Stage, quirks: Quirks, **wish: Any) -> dict[str, str]:
        parameters = msgspec.structs.replace(self.WISH, **wish)
        await stage.ask(stage.open(quirks=quirks), replace(LOGIN, parameters=parameters))
        return stage.provider.queries[-1]

    async def test_is_passed_on(self, stage: Stage) -> None:
        query = await self.asked(stage, Quirks())
        assert (query["prompt"], query["max_age"]) == ("login", "300")
        assert query["login_hint"] == "alice@example.com"

    async def test_has_the_languages_of_its_pages_if_the_provider_speaks_openid_connect(
        self, stage: Stage
    ) -> None:
        login = replace(LOGIN, ui_locales="ar fr-CA")
        await stage.ask(stage.open(), login)
        assert stage.provider.queries[-1]["ui_locales"] == "ar fr-CA"
        await stage.ask(stage.open(), LOGIN)
        assert "ui_locales" not in stage.provider.queries[-1]
        await stage.ask(stage.plain(), login)
        assert "ui_locales" not in stage.provider.queries[-1]

    async def test_is_left_out_if_the_provider_does_not_know_it(self, stage: Stage) -> None:
        query = await self.asked(stage, Quirks(prompts={}, max_age=False, login_hint=None))
        assert not {"prompt", "max_age", "login_hint"} & query.keys()

    async def test_has_the_providers_names(self, stage: Stage) -> None:
        query = await self.asked(stage, Quirks(prompts={"login": "relogin"}, login_hint="login"))
        assert (query["prompt"], query["login"]) == ("relogin", "alice@example.com")

    async def test_joins_what_the_preset_needs(self, stage: Stage) -> None:
        quirks = Quirks(parameters={"prompt": "consent"})
        assert (await self.asked(stage, quirks))["prompt"] == "login consent"
        assert (await self.asked(stage, quirks, prompt=None))["prompt"] == "consent"
        assert (await self.asked(stage, quirks, prompt="none"))["prompt"] == "none"

    async def test_consent_is_asked_by_our_own_page_alone(self, stage: Stage) -> None:
        assert "prompt" not in await self.asked(stage, Quirks(), prompt="consent")
        assert (await self.asked(stage, Quirks(), prompt="login consent"))["prompt"] == "login"
        quirks = Quirks(prompts={"consent": "consent"})
        assert "prompt" not in await self.asked(stage, quirks, prompt="consent")

    async def test_joins_what_the_operator_wants(self, stage: Stage) -> None:
        await stage.ask(stage.open(parameters={"prompt": "consent"}), self.LOGIN)
        assert stage.provider.queries[-1]["prompt"] == "login consent"

    @pytest.mark.parametrize(
        ("age", "good"), [(0, True), (300, True), (3600, False), (None, False)]
    )
    async def test_max_age_is_checked_by_auth_time(
        self,
        stage: Stage,
        age: int | None,
        good: bool,  # noqa: FBT001
    ) -> None:
        now = int(stage.clock())
        stage.provider.claims = {"auth_time": None if age is None else now - age}
        login = stage.log_in(stage.open(), self.LOGIN)
        if good:
            await login
        else:
            with pytest.raises(UpstreamMisbehaved):
                await login

    async def test_max_age_is_not_checked_where_it_is_unknown(self, stage: Stage) -> None:
        await stage.log_in(stage.open(quirks=Quirks(max_age=False)), self.LOGIN)


async def test_the_operators_own_parameters_go_along(stage: Stage) -> None:
    await stage.ask(stage.open(parameters={"hd": "example.com", "acr_values": "mfa"}))
    query = stage.provider.queries[0]
    assert (query["hd"], query["acr_values"]) == ("example.com", "mfa")
