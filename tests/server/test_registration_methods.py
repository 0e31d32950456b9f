"""All ways in which a client can register, and what the metadata says about them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.clients.client import Client
from mintage.clients.registration import ClientIds, Registration
from mintage.crypto.derivation import purpose_key
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient
from mintage.values import Secret
from tests.support.client_hosts import NAME, ClientHost, Names, client_host, fetch_from_tests
from tests.support.client_hosts import REDIRECT_URI as PUBLISHED_URI
from tests.support.client_keys import jwks, key
from tests.support.world import SECRET, World

METADATA = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
CONFIGURED = {
    "client_id": "our-own-ide",
    "name": "Our own IDE",
    "redirect_uris": [REDIRECT_URI],
    "client_secret": "env:SECRET",
    "scopes": [],
}


async def register(world: World, token: str | None = None, **metadata: Any) -> httpx2.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return await world.http.post(
        f"{world.issuer}/register", json=METADATA | metadata, headers=headers
    )


async def metadata_of(world: World) -> dict[str, Any]:
    answer = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
    found: dict[str, Any] = answer.json()
    return found


class TestRegistrationWithAToken:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"registration": {"mode": "token", "token": "env:SECRET"}}

    async def test_only_who_has_the_token_registers(self, world: World) -> None:
        assert (await register(world, SECRET)).status_code == 201
        for token in (None, "x", SECRET[:-1], f"{SECRET}x", SECRET.swapcase()):
            answer = await register(world, token)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert SECRET not in answer.text

    async def test_other_schemes_and_two_headers_are_refused(self, world: World) -> None:
        url = f"{world.issuer}/register"
        basic = await world.http.post(
            url, json=METADATA, headers={"authorization": f"Basic {SECRET}"}
        )
        twice = await world.http.post(
            url, json=METADATA, headers=[("authorization", f"Bearer {SECRET}")] * 2
        )
        assert (basic.status_code, twice.status_code) == (401, 400)

    async def test_registered_clients_need_no_token_later(self, world: World) -> None:
        client_id = (await register(world, SECRET)).json()["client_id"]
        client = OAuthClient(world.issuer, world.http, world.resource, client_id)
        async with world.browser() as browser:
            assert await client.tokens(browser)


class TestWithoutRegistration:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"registration": {"mode": "off"}, "cimd": {"enabled": False}}

    async def test_there_is_no_endpoint_and_none_is_named(self, world: World) -> None:
        assert (await register(world)).status_code == 404
        assert "registration_endpoint" not in await metadata_of(world)

    async def test_a_url_is_no_client_id(self, world: World) -> None:
        client = OAuthClient(
            world.issuer, world.http, world.resource, f"https://{NAME}/client.json"
        )
        page = await world.http.get(client.authorization().url)
        assert page.status_code == 401
        assert (await metadata_of(world))["client_id_metadata_document_supported"] is False


async def test_the_metadata_names_the_methods_that_work_and_no_others(world: World) -> None:
    named = (await metadata_of(world))["token_endpoint_auth_methods_supported"]
    known = [
        "none", "client_secret_basic", "client_secret_post", "client_secret_jwt",
        "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth",
    ]  # fmt: skip
    taken = [
        method
        for method in known
        if (await register(world, token_endpoint_auth_method=method, jwks=jwks(key()))).status_code
        == 201
    ]
    assert taken == named


class TestApplicationType:
    """OpenID Connect Registration §2, which MCP 2026-07-28 asks clients to send."""

    @pytest.mark.parametrize(
        ("kind", "uri"),
        [
            (None, "http://127.0.0.1/cb"),
            (None, "https://a.example/cb"),
            ("native", "http://127.0.0.1/cb"),
            ("native", "http://localhost:8080/cb"),
            ("native", "com.example.app:/cb"),
            ("native", "https://a.example/claimed"),
            ("web", "https://a.example/cb"),
        ],
    )
    async def test_spec059_goes_with_the_redirect_uris(
        self, world: World, kind: str | None, uri: str
    ) -> None:
        sent = {} if kind is None else {"application_type": kind}
        answer = await register(world, redirect_uris=[uri], **sent)
        assert answer.status_code == 201
        assert answer.json().get("application_type") == kind

    @pytest.mark.parametrize(
        "uri",
        ["http://127.0.0.1/cb", "http://localhost/cb", "https://localhost/cb", "com.example.app:/"],
    )
    async def test_spec059_a_web_client_lives_on_https(self, world: World, uri: str) -> None:
        uris = ["https://a.example/cb", uri]
        answer = await register(world, redirect_uris=uris, application_type="web")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")
        assert "native" in answer.json()["error_description"]

    @pytest.mark.parametrize("kind", ["", "desktop", "WEB", 7])
    async def test_other_words_are_refused(self, world: World, kind: Any) -> None:
        answer = await register(world, application_type=kind)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


class TestConfiguredClients:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        public = {"client_id": "public", "redirect_uris": [REDIRECT_URI], "scopes": ["tools"]}
        return {"client": [CONFIGURED, public]}

    def client(self, world: World, client_id: str, secret: str | None = None) -> OAuthClient:
        return OAuthClient(world.issuer, world.http, world.resource, client_id, secret)

    async def test_log_in_with_their_secret_in_the_header(self, world: World) -> None:
        client = self.client(world, "our-own-ide")
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": login.verifier,
        }
        url = f"{world.issuer}/token"
        wrong = await world.http.post(url, data=form, auth=("our-own-ide", SECRET[:-1]))
        good = await world.http.post(url, data=form, auth=("our-own-ide", SECRET))
        assert (wrong.status_code, good.status_code) == (401, 200)

    async def test_are_shown_by_name_as_known(self, world: World) -> None:
        page = await world.http.get(self.client(world, "our-own-ide").authorization().url)
        assert "<strong><bdi>Our own IDE</bdi></strong> asks for access. The operator" in page.text
        assert "verify this app" not in " ".join(page.text.split())

    async def test_may_ask_for_their_scopes_and_no_others(self, world: World) -> None:
        ours, public = (self.client(world, name) for name in ("our-own-ide", "public"))
        refused = await world.http.get(ours.authorization(scope="tools").url)
        assert "error=invalid_scope" in refused.headers["location"]
        assert (
            '<code dir="ltr">tools</code>'
            not in (await world.http.get(ours.authorization().url)).text
        )
        assert (
            '<code dir="ltr">tools</code>'
            in (await world.http.get(public.authorization().url)).text
        )

    async def test_of_another_case_are_not_known(self, world: World) -> None:
        page = await world.http.get(self.client(world, "Public").authorization().url)
        assert page.status_code == 401


class TestPolicy:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"cimd": {"allow": [NAME, f"*.{NAME}"], "deny": [f"evil.{NAME}"]}}

    @pytest.fixture
    def seen(self) -> list[Client]:
        return []

    @pytest.fixture
    def parts(self, seen: list[Client]) -> dict[str, Any]:
        async def accept(client: Client) -> bool:
            seen.append(client)
            return client.name != "Not this one"

        return {"fetch": fetch_from_tests(Names()), "accept_client": accept}

    @pytest.fixture
    async def host(self, tmp_path: Path) -> AsyncIterator[ClientHost]:
        async with client_host(tmp_path) as one:
            yield one

    async def ask(self, world: World, url: str) -> httpx2.Response:
        client = OAuthClient(world.issuer, world.http, world.resource, url)
        return await world.http.get(client.authorization(redirect_uri=PUBLISHED_URI).url)

    async def test_hosts_that_are_not_allowed_are_not_asked(
        self, world: World, host: ClientHost
    ) -> None:
        for name in (f"evil.{NAME}", "elsewhere.example", f"{NAME}.elsewhere.example"):
            page = await self.ask(world, host.url(host=name))
            assert page.status_code == 401
            assert "does not accept its host" in page.text
        assert host.seen == []

    async def test_hosts_that_are_allowed_are(self, world: World, host: ClientHost) -> None:
        url = host.url(host=f"good.{NAME}")
        host.publish(client_id=url)
        assert (await self.ask(world, host.publish("/b.json"))).status_code == 200
        assert (await self.ask(world, url)).status_code == 200

    async def test_keys_may_not_come_from_elsewhere(self, world: World, host: ClientHost) -> None:
        url = host.publish(
            token_endpoint_auth_method="private_key_jwt",
            jwks_uri=host.url("/keys.json", host=f"evil.{NAME}"),
        )
        page = await self.ask(world, url)
        assert page.status_code == 401
        assert "jwks_uri" in page.text

    async def test_not_by_registration_either(self, world: World, host: ClientHost) -> None:
        method = {"token_endpoint_auth_method": "private_key_jwt"}
        good = await register(world, jwks_uri=host.url("/keys.json"), **method)
        evil = host.url("/keys.json", host=f"evil.{NAME}")
        refused = await register(world, jwks_uri=evil, **method)
        assert (good.status_code, refused.status_code) == (201, 400)
        assert refused.json()["error"] == "invalid_client_metadata"

    async def test_the_callable_has_the_last_word(
        self, world: World, host: ClientHost, seen: list[Client]
    ) -> None:
        assert (await self.ask(world, host.publish("/a.json"))).status_code == 200
        page = await self.ask(world, host.publish("/b.json", client_name="Not this one"))
        assert page.status_code == 401
        assert [client.client_id for client in seen] == [host.url("/a.json"), host.url("/b.json")]


class TestAClientIdFromBeforeTheSecretWasReplaced:
    """It gets what makes it register again, and never a redirect."""

    @pytest.fixture
    def client_id(self) -> str:
        old = ClientIds(purpose_key(Secret(b"o" * 32), "client-id"))
        registration = Registration(
            redirect_uris=(REDIRECT_URI,),
            client_name="An old friend",
            token_endpoint_auth_method="none",
            grant_types=("authorization_code", "refresh_token"),
        )
        return old.issue(registration, now=0, salt=b"saltsalt").client.client_id

    async def test_is_invalid_client_at_the_token_endpoint(
        self, world: World, client_id: str
    ) -> None:
        client = OAuthClient(world.issuer, world.http, world.resource, client_id)
        for answer in (await client.refresh("x"), await client.revoke("x")):
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
            assert "register again" in answer.json()["error_description"]

    async def test_is_a_page_that_says_so_at_the_authorization_endpoint(
        self, world: World, client_id: str
    ) -> None:
        client = OAuthClient(world.issuer, world.http, world.resource, client_id)
        page = await world.http.get(client.authorization().url)
        assert page.status_code == 401
        assert "register again" in page.text
        assert "location" not in page.headers
