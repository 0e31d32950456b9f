"""What real clients do and the specifications leave open: the rows of docs/client-quirks.md."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from mintage.clients.registration import ClientIds, parse_registration
from mintage.network.tls import trusted
from mintage.testing.oauth_client import REDIRECT_URI, approve
from tests.support.world import World

VS_CODE = [
    "https://insiders.vscode.dev/redirect",
    "https://vscode.dev/redirect",
    "http://127.0.0.1/",
    "http://127.0.0.1:33418/",
]


class TestWhereTheAnswerGoes:
    async def test_spec072_a_native_client_listens_on_whatever_port_is_free(
        self, world: World
    ) -> None:
        """RFC 8252 §7.3: registered on one port, listening on another."""
        client = await world.client(redirect_uris=["http://127.0.0.1:1234/callback"])
        async with world.browser() as browser:
            login, code = await client.log_in(browser, redirect_uri=REDIRECT_URI)
        assert (await client.redeem(login, code)).status_code == 200

    async def test_spec072_localhost_is_a_name_and_a_port_that_it_has_does_not_vary(
        self, world: World
    ) -> None:
        """What listens on a name is for the resolver to say: there the bytes must be the same."""
        registered = "http://localhost:1234/callback"
        client = await world.client(redirect_uris=[registered])
        login = client.authorization(redirect_uri="http://localhost:4321/callback")
        assert (await world.http.get(login.url)).status_code == 400
        login = client.authorization(redirect_uri=registered)
        assert (await world.http.get(login.url)).status_code == 200

    async def test_localhost_without_a_port_is_any_port_of_it(self, world: World) -> None:
        """Claude Code lists it so, and listens where it can."""
        client = await world.client(redirect_uris=["http://localhost/callback"])
        client.redirect_uri = "http://localhost:55623/callback"
        async with world.browser() as browser:
            browser.stop_at = (client.redirect_uri, "https://")
            login, code = await client.log_in(browser)
            assert (await client.redeem(login, code)).status_code == 200
        for other in ("http://localhost:55623/other", "http://127.0.0.1:55623/callback"):
            answer = await world.http.get(client.authorization(redirect_uri=other).url)
            assert answer.status_code == 400
            assert "location" not in answer.headers

    @pytest.mark.parametrize(
        "used", [*VS_CODE, "http://127.0.0.1:59656/"], ids=lambda uri: urlsplit(uri).netloc
    )
    async def test_vs_code_registers_several_and_uses_any_of_them(
        self, world: World, used: str
    ) -> None:
        """Its own port, when that is taken another one, and its web page where none can be had."""
        client = await world.client(redirect_uris=VS_CODE, client_name="Visual Studio Code")
        client.redirect_uri = used
        async with world.browser() as browser:
            browser.stop_at = (used,)
            login, code = await client.log_in(browser)
        assert (await client.redeem(login, code)).status_code == 200

    @pytest.mark.parametrize(
        "scheme", ["vscode://vscode.github-authentication/did", "cursor://anysphere.cursor/cb"]
    )
    async def test_spec056_editors_have_schemes_of_their_own(
        self, world: World, scheme: str
    ) -> None:
        client = await world.client(redirect_uris=[scheme])
        client.redirect_uri = scheme
        async with world.browser() as browser:
            browser.stop_at = (scheme,)
            page = await browser.open(client.authorization().url)
            assert (
                f"the app that opens <bdi>{urlsplit(scheme).scheme}:</bdi> addresses" in page.text
            )
            landed = await browser.submit(page, {"decision": "approve"})
        assert landed.url.startswith(f"{scheme}?code=")


class TestWhatIsLeftOut:
    async def test_scope_and_resource_at_authorize(self, world: World) -> None:
        """All scopes of the first resource: the one that a server with one resource has."""
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, resource=None)
        assert tokens["scope"] == "tools"
        assert (await client.call(tokens["access_token"])).status_code == 200

    async def test_redirect_uri_at_authorize_where_there_is_but_one(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser, redirect_uri=None)
        assert (await client.redeem(login, code)).status_code == 200

    async def test_spec084_redirect_uri_scope_and_resource_at_the_token_endpoint(
        self, world: World
    ) -> None:
        """OAuth 2.1 dropped redirect_uri there; 2.0 clients still send it, and both work."""
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        answer = await client.token(
            grant_type="authorization_code", code=code, code_verifier=login.verifier
        )
        assert answer.status_code == 200
        renewed = await client.refresh(answer.json()["refresh_token"])
        assert renewed.json()["scope"] == answer.json()["scope"] == "tools"


class TestWhatIsAskedForTooMuch:
    async def test_spec073_all_scopes_of_the_servers_metadata(self, world: World) -> None:
        """Some clients read them there and not in the resource's; the answer says which count."""
        metadata = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
        everything = " ".join(metadata.json()["scopes_supported"])
        assert everything == "other tools"
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope=everything)
        assert tokens["scope"] == "tools"

    @pytest.mark.parametrize("scope", ["tools offline_access", " offline_access", "offline_access"])
    async def test_spec013_offline_access_with_a_space_in_front_or_not(
        self, world: World, scope: str
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope=scope)
        assert tokens["scope"] == "tools"
        assert tokens["refresh_token"]

    @pytest.mark.parametrize(
        "scope", ["openid email profile", "other", "tools unheard-of", "unheard-of offline_access"]
    )
    async def test_spec065_what_this_resource_does_not_have_is_left_out(
        self, world: World, scope: str
    ) -> None:
        """Habit, not need: RFC 6749 §3.3 lets a server leave it out, and the answer says so."""
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope=scope)
        assert tokens["scope"] == "tools"
        again = await client.refresh(tokens["refresh_token"], scope=scope)
        assert again.json()["scope"] == "tools", "they name at refresh what they asked for"
        plain = await client.refresh(again.json()["refresh_token"])
        assert plain.json()["scope"] == "tools"

    async def test_a_refresh_may_name_what_we_left_out_and_nothing_else(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope="tools openid")
        for scope in ("tools other", "tools email", "openid email"):
            refused = await client.refresh(tokens["refresh_token"], scope=scope)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope"), scope
        assert (await client.refresh(tokens["refresh_token"], scope="openid")).status_code == 200

    async def test_metadata_that_nobody_asked_for(self, world: World) -> None:
        """Hosted clients register with all that they know; what does not matter is ignored."""
        client = await world.client(
            redirect_uris=["https://chatgpt.com/connector_platform_oauth_redirect"],
            application_type="web",
            client_uri="https://chatgpt.com",
            contacts=["support@example.com"],
            response_types=["code"],
            software_id="an-id",
        )
        assert client.client_secret is None


class TestWhatIsWrittenOtherwise:
    async def test_members_that_are_null_are_as_if_they_were_left_out(self, world: World) -> None:
        nothing = dict.fromkeys(
            ["scope", "jwks", "jwks_uri", "client_name", "grant_types", "response_types",
             "application_type", "token_endpoint_auth_method", "contacts", "logo_uri"]
        )  # fmt: skip
        nulls = await world.http.post(
            f"{world.issuer}/register", json=nothing | {"redirect_uris": [REDIRECT_URI]}
        )
        plain = await world.http.post(
            f"{world.issuer}/register", json={"redirect_uris": [REDIRECT_URI]}
        )
        own = {"client_id", "client_secret", "client_id_issued_at"}
        assert nulls.status_code == 201
        assert {name: value for name, value in nulls.json().items() if name not in own} == {
            name: value for name, value in plain.json().items() if name not in own
        }

    async def test_a_resource_with_a_query_is_the_same_resource_everywhere(
        self, world: World
    ) -> None:
        named = f"{world.resource}?profile=a&x"
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser, resource=named)
        answer = await client.redeem(login, code, resource=named)
        assert answer.status_code == 200
        renewed = await client.refresh(answer.json()["refresh_token"], resource=named)
        token = renewed.raise_for_status().json()["access_token"]
        assert (await client.call(token)).status_code == 200
        assert world.running.tokens.read_any(token)[1].aud == world.resource


class TestAResourceWithoutScopes:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        backend = "http://127.0.0.1:9"
        return {
            "resource": [
                {"path": "/mcp", "backend": backend},
                {"path": "/other", "backend": backend, "scopes": ["other"]},
            ]
        }

    async def test_spec073_takes_clients_that_ask_for_those_of_others(self, world: World) -> None:
        """Its own metadata lists none, so they turn to the server's."""
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope="other")
        assert "scope" not in tokens, "an empty one would be none (RFC 6749 §3.3)"
        assert (await client.call(tokens["access_token"])).status_code == 502, "let in"

    @pytest.mark.parametrize("scope", ["openid email profile", "unheard-of"])
    async def test_takes_clients_that_ask_by_habit(self, world: World, scope: str) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser, scope=scope)
        assert "scope" not in tokens
        assert (await client.refresh(tokens["refresh_token"], scope=scope)).status_code == 200


class TestAuthenticationMethods:
    """Some clients choose by our metadata, some by habit, some say nothing."""

    @pytest.mark.parametrize("asked", ["none", "client_secret_basic", "client_secret_post", None])
    async def test_whatever_a_client_registers_with_it_gets(
        self, world: World, asked: str | None
    ) -> None:
        body = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": asked}
        sent = {name: value for name, value in body.items() if value is not None}
        answer = (await world.http.post(f"{world.issuer}/register", json=sent)).json()
        given = answer["token_endpoint_auth_method"]
        assert given == (asked or "client_secret_basic"), "RFC 7591 §2: the default"
        assert ("client_secret" in answer) == (given != "none")
        metadata = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
        assert given in metadata.json()["token_endpoint_auth_methods_supported"]

    async def test_the_wrong_one_is_told_which_is_right(self, world: World) -> None:
        client = await world.client(token_endpoint_auth_method="client_secret_basic")
        answer = await client.refresh("a-token")
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "registered client_secret_basic" in answer.json()["error_description"]


class TestOldRegistrations:
    """A client keeps its client_id for ever; the secret that signed it may be gone."""

    @pytest.fixture
    def stale(self, world: World) -> str:
        body = b'{"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}'
        issued = ClientIds(b"a secret of long ago".ljust(32, b".")).issue(
            parse_registration(body), now=0, salt=b"saltsalt"
        )
        return issued.client.client_id

    async def test_get_the_error_that_makes_clients_register_again(
        self, world: World, stale: str
    ) -> None:
        client = await world.client()
        client.client_id = stale
        for answer in (await client.refresh("a-token"), await client.revoke("a-token")):
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    async def test_get_a_page_at_authorize_that_says_so(self, world: World, stale: str) -> None:
        client = await world.client()
        client.client_id = stale
        answer = await world.http.get(client.authorization().url)
        assert answer.status_code == 401
        assert "This app is not known here" in answer.text
        assert "register" in answer.text


class TestLostCookies:
    """Webviews and private windows that forget cookies: a page that says what to do."""

    async def test_between_the_consent_page_and_its_answer(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url)
            browser.cookies.clear()
            lost = await browser.submit(page, {"decision": "approve"})
        assert lost.status == 403
        assert "allow cookies for this site" in lost.text
        assert "your usual browser" in lost.text

    async def test_on_the_way_back_from_the_provider(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            browser.stop_at = (f"{world.issuer}/callback",)
            back = await approve(browser, client.authorization().url)
            browser.cookies.clear()
            browser.stop_at = ()
            lost = await browser.open(back.url)
        assert lost.status == 403
        assert "allow cookies for this site" in lost.text
        assert "your usual browser" in lost.text
        assert world.upstream.seen["authorization_code"] == 0


class TestHostedClients:
    async def test_two_of_its_machines_refresh_at_once(self, world: World) -> None:
        """From two addresses: both get the same successor, and the session lives."""
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)

        async def renew(address: str) -> dict[str, Any]:
            transport = httpx2.AsyncHTTPTransport(local_address=address)
            async with httpx2.AsyncClient(verify=trusted(), transport=transport) as http:
                answer = await http.post(
                    f"{world.issuer}/token",
                    data={
                        "grant_type": "refresh_token",
                        "client_id": client.client_id,
                        "refresh_token": tokens["refresh_token"],
                    },
                )
            body: dict[str, Any] = answer.raise_for_status().json()
            return body

        one, other = await asyncio.gather(renew("127.0.0.1"), renew("127.0.0.2"))
        assert one["refresh_token"] == other["refresh_token"]
        assert (await client.call(one["access_token"])).status_code == 200
        assert (await client.refresh(one["refresh_token"])).status_code == 200
