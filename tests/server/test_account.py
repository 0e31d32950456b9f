"""The page of the connected apps: what it shows, and what its buttons do."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from playwright.async_api import Page as Tab

from mintage.clients.client import Client
from mintage.clients.redirects import RedirectUri
from mintage.errors import StoreUnavailable
from mintage.server.account_page import AccountPage, ConnectedApp
from mintage.server.client_address import KeptAddress, kept_address
from mintage.site.site import Site
from mintage.testing.browser import Page
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.values import ClientId
from mintage.vault.values import Listed, Summary
from tests.server.test_pages_in_a_browser import CURSOR
from tests.server.test_several_upstreams import log_in
from tests.support.account import PROVIDER, SESSION, complaint, grants_on, sign_in
from tests.support.pages_in_a_browser import checked
from tests.support.provider_settings import section
from tests.support.world import World, every_store, opened_world


class TestConnectedApps:
    async def test_are_shown_with_all_that_is_known(self, world: World) -> None:
        client = await world.client(client_name="The Editor")
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
            world.clock.advance(3600)
            await client.refresh(tokens["refresh_token"])
            page = await sign_in(world, browser)
        assert "The Editor" in page.text
        assert "alice" in page.text
        assert "127.0.0.1:43117" in page.text
        assert world.resource in page.text
        assert '<code dir="ltr">tools</code>' in page.text
        times = re.findall(r'datetime="([^"]+)"', page.text)
        assert len(times) == 3
        assert times[0][:13] != times[1][:13], "since, and renewed an hour later"
        assert len(grants_on(page)) == 1

    async def test_are_none_without_a_login(self, world: World) -> None:
        client = await world.client(client_name="The Editor")
        async with world.browser() as browser:
            await client.tokens(browser)
            page = await browser.open(f"{world.issuer}/account")
        assert page.status == 200
        assert "The Editor" not in page.text
        assert "Sign in at" in page.text
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]

    @every_store
    async def test_one_is_disconnected_and_refused_at_once(self, world: World) -> None:
        one = await world.client(client_name="One")
        other = await world.client(client_name="Other")
        async with world.browser() as browser:
            first, second = await one.tokens(browser), await other.tokens(browser)
            assert (await one.call(first["access_token"])).status_code == 200
            page = await sign_in(world, browser)
            ids = grants_on(page)
            assert len(ids) == 2
            of_one = next(i for i in ids if page.text.index(f"app-{i}") == _of(page, "One"))
            after = await browser.submit(page, {"grant": of_one})
        assert grants_on(after) == [i for i in ids if i != of_one]
        assert (await one.call(first["access_token"])).status_code == 401
        assert (await one.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
        assert (await other.call(second["access_token"])).status_code == 200

    async def test_all_are_disconnected(self, world: World) -> None:
        clients = [await world.client(client_name=name) for name in "abc"]
        async with world.browser() as browser:
            tokens = [(await each.tokens(browser))["access_token"] for each in clients]
            page = await sign_in(world, browser)
            after = await browser.submit(page, {"action": "disconnect_all"})
        assert grants_on(after) == []
        assert "No app has access" in after.text
        for client, token in zip(clients, tokens, strict=True):
            assert (await client.call(token)).status_code == 401

    async def test_the_provider_revokes_what_this_server_can_still_read(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            used, unused = await client.tokens(browser), await client.tokens(browser)
            await client.call(used["access_token"])
            (token,) = [
                request.headers["authorization"].removeprefix("Bearer ")
                for request in world.backend.requests
            ]
            assert world.upstream.is_live(token)
            page = await sign_in(world, browser)
            await browser.submit(page, {"action": "disconnect_all"})
        await world.running.revoker.drain()
        assert not world.upstream.is_live(token)
        assert world.upstream.seen["revoke"] == 1, "the other could not be read"
        assert (await client.call(unused["access_token"])).status_code == 401

    async def test_signing_in_makes_no_grant_and_revokes_nothing(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
            page = await sign_in(world, browser)
            assert len(grants_on(page)) == 1
        await world.running.revoker.drain()
        assert world.upstream.seen["revoke"] == 0
        assert (await client.call(tokens["access_token"])).status_code == 200
        assert world.upstream.queries[-1]["prompt"] == "select_account"
        assert {"state", "nonce", "code_challenge"} <= world.upstream.queries[-1].keys()

    async def test_of_others_are_not_shown(self, world: World) -> None:
        client = await world.client(client_name="The Editor")
        async with world.browser() as alices, world.browser() as bobs:
            await client.tokens(alices)
            world.upstream.user = "bob"
            page = await sign_in(world, bobs)
        assert grants_on(page) == []


def _of(page: Page, name: str) -> int:
    """Where the heading of the app *name* says its id."""
    found = re.search(rf'id="(app-[a-z2-7]+)"><bdi>{name}</bdi>', page.text)
    assert found is not None
    return found.start(1)


class TestTheSession:
    async def test_ends_by_itself(self, world: World) -> None:
        async with world.browser() as browser:
            page = await sign_in(world, browser)
            world.clock.advance(899)
            assert "Sign out" in (await browser.open(f"{world.issuer}/account")).text
            world.clock.advance(1)
            assert "Sign in at" in (await browser.open(f"{world.issuer}/account")).text
            late = await browser.submit(page, {"action": "sign_out"})
        assert (late.status, complaint(late)) == (400, "Open this page again")

    async def test_is_kept_from_scripts_and_from_other_sites(self, world: World) -> None:
        seen = list[httpx2.Response]()
        async with world.browser() as browser:
            browser._on_response = seen.append
            await sign_in(world, browser)
        (set_,) = [
            cookie
            for response in seen
            for cookie in response.headers.get_list("set-cookie")
            if cookie.startswith(f"{SESSION}=")
        ]
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=900"} <= set(set_.split("; "))
        assert "alice" not in set_

    async def test_is_over_after_signing_out_also_for_a_copy_of_its_cookie(
        self, world: World
    ) -> None:
        client = await world.client(client_name="The Editor")
        async with world.browser() as browser:
            await client.tokens(browser)
            page = await sign_in(world, browser)
            (grant,) = grants_on(page)
            copied = world.cookies_of(browser)
            after = await browser.submit(page, {"action": "sign_out"})
            assert "Sign in at" in after.text
        shown = await world.http.get(f"{world.issuer}/account", headers=copied)
        assert "The Editor" not in shown.text
        replayed = await world.http.post(
            f"{world.issuer}/account",
            data=page.form().fields | {"grant": grant},
            headers=copied,
        )
        assert (replayed.status_code, complaint(replayed)) == (400, "Open this page again")
        assert await world.running.vault.listing.get(grant) is not None


class TestTheLogin:
    async def test_of_a_user_whom_no_rule_admits(self, world: World) -> None:
        world.upstream.claims["email"] = "bob@elsewhere.example"
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/account")
            refused = await browser.submit(page, {"upstream": PROVIDER})
            assert refused.status == 403
            assert "bob@elsewhere.example" in refused.text
            assert 'href="/account"' in refused.text
            assert SESSION not in browser.cookies

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"allow": [{"email_domains": ["example.com"]}]}

    async def test_that_the_person_stops_can_begin_again(self, world: World) -> None:
        world.upstream.error = "access_denied"
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/account")
            stopped = await browser.submit(page, {"upstream": PROVIDER})
        assert stopped.status == 400
        assert 'href="/account"' in stopped.text
        assert "access_denied" not in stopped.text

    async def test_whose_last_page_is_loaded_again(self, world: World) -> None:
        seen = list[httpx2.Response]()
        async with world.browser() as browser:
            browser._on_response = seen.append
            page = await browser.open(f"{world.issuer}/account")
            cookies = world.cookies_of(browser)
            await browser.submit(page, {"upstream": PROVIDER})
            (callback,) = [str(r.url) for r in seen if "/callback?" in str(r.url)]
            login = next(
                cookie.partition(";")[0]
                for response in seen
                for cookie in response.headers.get_list("set-cookie")
                if cookie.startswith("mintage-account-login=")
            )
            headers = {"cookie": f"{cookies['cookie']}; {login}"}
            again = await world.http.get(callback, headers=headers)
        assert again.status_code == 303
        assert "account=" not in again.headers["set-cookie"].replace("account-login=", "")
        assert world.upstream.seen["authorization_code"] == 1

    async def test_while_the_provider_is_away(self, world: World) -> None:
        async with world.browser() as browser:
            page = await browser.open(f"{world.issuer}/account")
            world.upstream.faults["token"] = "503"
            away = await browser.submit(page, {"upstream": PROVIDER})
            assert away.status == 503
            assert 'href="/account"' in away.text
            del world.upstream.faults["token"]
            await sign_in(world, browser)

    async def test_while_the_store_is_away(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def gone(*_: object, **__: object) -> None:
            raise StoreUnavailable("the disk is gone")

        async with world.browser() as browser:
            page = await sign_in(world, browser)
            with monkeypatch.context() as patch:
                patch.setattr(world.running.store, "load", gone)
                away = await browser.open(f"{world.issuer}/account")
                assert away.status == 503, "whether the person signed out is not known"
                assert (await browser.submit(page, {"action": "sign_out"})).status == 503
            after = await browser.submit(page, {"action": "sign_out"})
        assert "Sign in at" in after.text


class TestSeveralProviders:
    @pytest.fixture
    async def partner(self, clock: ManualClock) -> Any:
        async with FakeUpstream(clock).running() as running:
            yield running

    @pytest.fixture
    def overrides(self, upstream: FakeUpstream, partner: FakeUpstream) -> dict[str, Any]:
        partner.client_secret = upstream.client_secret
        return {
            "upstream": [
                section(upstream, "staff", title="Our staff", legacy_default=True),
                section(partner, "partners"),
            ]
        }

    async def test_each_shows_its_own_users_apps(self, world: World) -> None:
        """Both call their user alice."""
        client = await world.client(client_name="The Editor")
        await log_in(world, client, "staff")
        async with world.browser() as browser:
            assert len(grants_on(await sign_in(world, browser, "staff"))) == 1
        async with world.browser() as browser:
            assert grants_on(await sign_in(world, browser, "partners")) == []


class TestTurnedOff:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"account": {"enabled": False}}

    async def test_there_is_no_page(self, world: World) -> None:
        assert (await world.http.get(f"{world.issuer}/account")).status_code == 404
        client = await world.client()
        async with world.browser() as browser:
            assert await client.tokens(browser)


class TestInABrowser:
    @pytest.fixture
    def overrides(self, upstream: FakeUpstream) -> dict[str, Any]:
        return {
            "branding": {"name": "Example Notes", "support": "help@example.com"},
            "scopes": {"texts": {"tools": "Use the notes server's tools"}},
            "upstream": section(upstream, "idp", title="Our staff"),
        }

    @pytest.mark.parametrize(
        ("language", "heading"),
        [("en", "Your connected apps"), ("de", "Ihre verbundenen Apps"), ("ar", "تطبيقاتك")],
    )
    async def test_a_person_disconnects_an_app(
        self, tab: Tab, world: World, language: str, heading: str
    ) -> None:
        async with world.browser() as browser:
            known = await world.client(redirect_uris=[CURSOR])
            known.redirect_uri = CURSOR
            browser.stop_at = (*browser.stop_at, CURSOR)
            name = "The Notes CLI" if language == "en" else "W" * 60
            long = await world.client(client_name=name)
            tokens = await long.tokens(browser)
            await known.log_in(browser)
        await tab.set_extra_http_headers({"accept-language": language})
        await tab.goto(f"{world.issuer}/account")
        await checked(tab, f"account-signed-out-{language}")
        await tab.locator("button[value=idp]").click()
        await tab.locator("button[value=sign_out]").wait_for()
        assert heading in await tab.locator("h1").inner_text()
        await checked(tab, f"account-{language}")
        grant = tab.locator("button[name=grant]")
        assert await grant.count() == 2
        await tab.locator("h2", has_text=name).wait_for()
        await tab.locator("button[value=disconnect_all]").click()
        await grant.first.wait_for(state="detached")
        assert (await long.call(tokens["access_token"])).status_code == 401
        await tab.locator("button[value=sign_out]").click()
        await tab.locator("button[value=idp]").wait_for()


async def test_a_session_of_another_issuer_with_the_same_secret_is_none(
    world: World, clock: ManualClock, upstream: FakeUpstream, tmp_path: Path
) -> None:
    async with opened_world(clock, upstream, tmp_path, {"store": "memory://"}, {}) as other:
        async with world.browser() as browser:
            page = await sign_in(world, browser)
            cookies = world.cookies_of(browser)
        shown = await other.http.get(f"{other.issuer}/account", headers=cookies)
        assert "Sign in at" in shown.text
        sent = page.form().fields | {"action": "sign_out"}
        answer = await other.http.post(f"{other.issuer}/account", data=sent, headers=cookies)
        assert (answer.status_code, complaint(answer)) == (400, "Open this page again")


async def test_apps_from_before_the_provider_was_renamed_are_shown(
    clock: ManualClock, upstream: FakeUpstream, tmp_path: Path
) -> None:
    store = {"store": f"sqlite://{tmp_path}/mintage.db"}
    async with opened_world(clock, upstream, tmp_path, store, {}) as world:
        client, port = await world.client(), world.port
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
    before, upstream.issuer = upstream.issuer, upstream.url.replace("127.0.0.1", "localhost")
    moved = store | {"upstream": section(upstream, "oidc", former_issuers=[before])}
    async with opened_world(clock, upstream, tmp_path, moved, {}, port=port) as world:
        client.http = world.http
        async with world.browser() as browser:
            page = await sign_in(world, browser)
            (grant,) = grants_on(page)
            await browser.submit(page, {"grant": grant})
        assert (await client.call(tokens["access_token"])).status_code == 401


async def test_the_page_of_the_server_leads_to_it(world: World) -> None:
    async with world.browser() as browser:
        assert 'href="/account"' in (await browser.open(f"{world.issuer}/")).text


class TestRows:
    """What is said about an app, by how Mintage knows it."""

    @staticmethod
    def row(client: Client | None, *, renewed_at: int = 150, **more: Any) -> dict[str, Any]:
        summary = Summary("https://idp.example", "alice", ClientId("x"), 100)
        summary = replace(summary, **more)
        grant = Listed(bytes(32), summary, 1000, b"", b"")
        page = AccountPage(Site(issuer="https://auth.example", resources=()), {})
        (row,) = page.rows([ConnectedApp(grant, summary, client, renewed_at, 300)], now=200)
        return row

    @staticmethod
    def client(*uris: str, vouched: bool = False) -> Client:
        return Client(
            client_id=ClientId("x"),
            name="Claims",
            redirect_uris=tuple(map(RedirectUri, uris)),
            auth_method="none",
            grant_types=("authorization_code",),
            vouched=vouched,
        )

    @pytest.mark.parametrize(
        ("uris", "vouched", "app", "standing", "addresses"),
        [
            (["https://app.example/cb"], True, "Claims", "vouched", ["app.example"]),
            (["https://app.example/cb"], False, "Claims", "claimed", ["app.example"]),
            ([CURSOR], False, "Cursor", "known", ["cursor:"]),
            ([CURSOR, "https://a.example/"], False, "Claims", "claimed", ["cursor:", "a.example"]),
        ],
    )  # fmt: skip
    def test_a_name_is_the_apps_own_unless_its_addresses_prove_it(
        self, uris: list[str], app: str, standing: str, addresses: list[str], *, vouched: bool
    ) -> None:
        row = self.row(self.client(*uris, vouched=vouched))
        assert (row["app"], row["standing"], row["addresses"]) == (app, standing, addresses)

    def test_a_document_is_named_by_its_host_and_not_fetched(self) -> None:
        url = "https://app.example/client.json"
        row = self.row(None, client_id=url)
        assert (row["app"], row["standing"]) == ("app.example", "published")
        assert row["addresses"] == [url]

    def test_a_client_that_is_not_known_any_more(self) -> None:
        row = self.row(None, client_id="mc1.AAAA")
        assert (row["app"], row["standing"]) == (None, "unknown")

    @pytest.mark.parametrize(("renewed_at", "shown"), [(99, False), (100, True), (201, False)])
    def test_a_time_that_can_not_be_is_not_shown(self, renewed_at: int, *, shown: bool) -> None:
        """The lifetime of refresh tokens was changed, or the app has no tokens yet."""
        assert (self.row(None, renewed_at=renewed_at)["renewed"] is not None) == shown

    def test_a_resource_that_is_gone_keeps_its_address(self) -> None:
        row = self.row(None, resources=("https://auth.example/old",), scopes=("a",))
        assert row["resources"] == [{"name": None, "identifier": "https://auth.example/old"}]
        assert row["scopes"] == [{"name": "a", "text": None}]


class TestWhereAnAppComesFrom:
    @pytest.fixture
    def overrides(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        kept = getattr(request, "param", None)
        account = {} if kept is None else {"account": {"addresses": kept}}
        return account | {"gateway": {"trusted_proxies": ["127.0.0.1"]}}

    @pytest.mark.parametrize(
        ("overrides", "first", "second"),
        [
            (None, None, None),
            ("off", None, None),
            ("network", "203.0.113.0/24", "2001:db8:1::/48"),
            ("full", "203.0.113.7", "2001:db8:1:2::3"),
        ],
        indirect=["overrides"],
    )
    async def test_is_shown_as_the_settings_say(
        self, world: World, first: str | None, second: str | None
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
            world.http.headers["x-forwarded-for"] = "203.0.113.7"
            tokens = (await client.redeem(login, code)).json()
            page = await sign_in(world, browser)
            assert used_from(page) == first
            world.http.headers["x-forwarded-for"] = "2001:db8:1:2::3"
            await client.refresh(tokens["refresh_token"])
            page = await browser.open(f"{world.issuer}/account")
            assert used_from(page) == second
            (listed,) = [grant async for grant in world.running.vault.listing.find()]
            assert listed.summary is not None
            assert listed.summary.used_from == second

    @pytest.mark.parametrize("overrides", ["full"], indirect=True)
    async def test_costs_no_write_for_a_request(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        before = [row async for row in world.running.store.rows()]
        for _ in range(3):
            await client.call(tokens["access_token"])
        assert [row async for row in world.running.store.rows()] == before

    @pytest.mark.parametrize("overrides", ["full"], indirect=True)
    async def test_is_encrypted_in_the_store(self, world: World) -> None:
        world.http.headers["x-forwarded-for"] = "203.0.113.7"
        client = await world.client()
        async with world.browser() as browser:
            await client.tokens(browser)
        for row in [row async for row in world.running.store.rows()]:
            assert b"203.0.113" not in row.record + (row.index.summary if row.index else b"")

    @pytest.mark.parametrize(
        ("address", "kept", "expected"),
        [
            ("192.0.2.200", "network", "192.0.2.0/24"),
            ("::ffff:192.0.2.200", "network", "192.0.2.0/24"),
            ("::ffff:192.0.2.200", "full", "192.0.2.200"),
            ("fe80::1%eth0", "full", "fe80::1"),
            ("fe80::1%eth0", "network", "fe80::/48"),
            (None, "full", None),
            ("testclient", "full", None),
        ],
    )
    def test_is_an_address_or_nothing(
        self, address: str | None, kept: KeptAddress, expected: str | None
    ) -> None:
        assert kept_address(address, kept) == expected


def used_from(page: Page) -> str | None:
    found = re.search(r"From the network address</dt>\s*<dd><code[^>]*>([^<]*)<", page.text)
    return found[1] if found else None


async def test_an_app_is_last_used_when_it_got_tokens_whatever_their_lifetime_is_now(
    clock: ManualClock, upstream: FakeUpstream, tmp_path: Path
) -> None:
    """The time was computed from the lifetime in earlier versions."""
    store, port = {"store": f"sqlite://{tmp_path}/mintage.db"}, free_port()
    times: list[list[str]] = []
    for lifetime in (2_000_000, 5_000_000):
        settings = store | {"tokens": {"refresh_token_lifetime": lifetime}}
        async with (
            opened_world(clock, upstream, tmp_path, settings, {}, port=port) as world,
            world.browser() as browser,
        ):
            if not times:
                client = await world.client()
                tokens = await client.tokens(browser)
                clock.advance(7200)
                await client.refresh(tokens["refresh_token"])
            times.append(re.findall(r'datetime="([^"]+)"', (await sign_in(world, browser)).text))
    assert times[0] == times[1]
    assert len(times[0]) == 3
