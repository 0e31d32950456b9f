"""A consent that the user lets Mintage remember: what is left out then, and when it is not."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mintage.errors import StoreUnavailable
from mintage.telemetry.grant_count import counted
from mintage.testing.clock import ManualClock
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import answer_of
from mintage.values import ClientId
from mintage.vault.consents import MOST_CONSENTS, RememberedConsent
from tests.support.account import grants_on, sign_in
from tests.support.client_hosts import ClientHost, Names, client_host, fetch_from_tests
from tests.support.provider_settings import section
from tests.support.remembered_consent import (
    APP,
    AT,
    CHECKBOX,
    DAY,
    HINT,
    OTHER,
    SITE,
    agree,
    answers_on,
    app_of,
    asks,
)
from tests.support.world import World, every_store, opened_world


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"consent": {"remember_seconds": 30 * DAY}, "client": [APP, OTHER]}


async def test_the_page_offers_it_and_says_how_long(world: World) -> None:
    async with world.browser() as browser:
        page = await browser.open(app_of(world).authorization().url, link_on=SITE)
    assert CHECKBOX in page.text
    assert "again for <bdi>30</bdi> days" in page.text


class TestOff:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"client": [APP]}

    async def test_nothing_is_offered_and_nothing_is_kept(self, world: World) -> None:
        client = app_of(world)
        async with world.browser() as browser:
            for _ in range(2):
                page = await browser.open(client.authorization().url, link_on=SITE)
                assert asks(page)
                assert CHECKBOX not in page.text
                await browser.submit(page, {"decision": "approve", "remember": "yes"})
            assert HINT not in browser.cookies
        assert world.stored() == 4, "two logins, and the claims of their callbacks"


@every_store
async def test_the_page_is_left_out_the_next_time(world: World) -> None:
    client = app_of(world)
    async with world.browser() as browser:
        await agree(world, browser, client.authorization().url)
        login = client.authorization()
        landed = await browser.open(login.url, link_on=SITE)
    assert landed.url.startswith(AT)
    assert answer_of(landed)["state"] == login.state
    assert (await client.redeem(login, answer_of(landed)["code"])).status_code == 200
    assert world.upstream.seen["authorization_code"] == 2, "the user logged in there again"


async def test_it_is_remembered_only_if_the_user_wishes_so(world: World) -> None:
    client = app_of(world)
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url, link_on=SITE)
        await browser.submit(page, {"decision": "approve"})
        assert HINT not in browser.cookies
        assert asks(await browser.open(client.authorization().url, link_on=SITE))


async def test_a_denial_is_not_remembered(world: World) -> None:
    client = app_of(world)
    async with world.browser() as browser:
        page = await browser.open(client.authorization().url, link_on=SITE)
        await browser.submit(page, {"decision": "deny", "remember": "yes"})
        assert HINT not in browser.cookies
        assert asks(await browser.open(client.authorization().url, link_on=SITE))


@pytest.mark.parametrize("prompt", ["consent", "login", "select_account", "login consent"])
async def test_a_request_with_a_prompt_asks(world: World, prompt: str) -> None:
    client = app_of(world)
    async with world.browser() as browser:
        await agree(world, browser, client.authorization().url)
        url = client.authorization(prompt=prompt).url
        assert asks(await browser.open(url, link_on=SITE))


async def test_the_hint_is_kept_from_scripts_and_names_nobody(world: World) -> None:
    seen = list[httpx2.Response]()
    async with world.browser() as browser:
        browser._on_response = seen.append
        await agree(world, browser, app_of(world).authorization().url)
    (cookie,) = [
        cookie
        for response in seen
        for cookie in response.headers.get_list("set-cookie")
        if cookie.startswith(f"{HINT}=")
    ]
    parts = set(cookie.split("; "))
    assert {"HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={30 * DAY}"} <= parts
    assert "alice" not in cookie
    assert len(cookie) < 400


async def test_a_store_that_fails_only_forgets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login goes on, and the next one asks."""

    async def fails(*_: object) -> bytes:
        raise StoreUnavailable("the disk is full")

    client = app_of(world)
    async with world.browser() as browser:
        with monkeypatch.context() as patch:
            patch.setattr(world.running.vault.consents, "remember", fails)
            await agree(world, browser, client.authorization().url)
        assert HINT not in browser.cookies
        assert asks(await browser.open(client.authorization().url, link_on=SITE))


class TestAMetadataDocument:
    @pytest.fixture
    def parts(self) -> dict[str, Any]:
        return {"fetch": fetch_from_tests(Names())}

    @pytest.fixture
    async def host(self, tmp_path: Path) -> AsyncIterator[ClientHost]:
        async with client_host(tmp_path) as one:
            yield one

    @pytest.mark.parametrize(
        ("change", "asked"),
        [
            ({}, False),
            ({"client_name": "Another name"}, True),
            ({"redirect_uris": [AT, f"{AT}/more"]}, True),
        ],
    )
    async def test_is_asked_about_again_when_it_changed(
        self, world: World, host: ClientHost, change: dict[str, Any], *, asked: bool
    ) -> None:
        published: dict[str, Any] = {
            "redirect_uris": [AT],
            "headers": {"cache-control": "max-age=60"},
        }
        client = app_of(world, host.publish(**published))
        async with world.browser() as browser:
            await agree(world, browser, client.authorization().url)
            host.publish(**published | change)
            world.clock.advance(3600)
            page = await browser.open(client.authorization().url, link_on=SITE)
        assert page.url.startswith(AT) != asked


class TestSeveralProviders:
    @pytest.fixture
    def overrides(self, upstream: FakeUpstream) -> dict[str, Any]:
        return {
            "consent": {"remember_seconds": 30 * DAY},
            "client": [APP],
            "upstream": [
                section(upstream, "staff", legacy_default=True),
                section(upstream, "partners"),
            ],
        }

    async def test_the_browser_goes_to_the_one_that_the_user_chose(self, world: World) -> None:
        client = app_of(world)
        async with world.browser() as browser:
            page = await browser.open(client.authorization().url, link_on=SITE)
            await browser.submit(page, {"upstream": "partners", "remember": "yes"})
            landed = await browser.open(client.authorization().url, link_on=SITE)
            assert landed.url.startswith(AT)
            assert world.upstream.queries[-1]["redirect_uri"].endswith("/callback/partners")
            named = client.authorization(acr_values="idp:staff").url
            assert asks(await browser.open(named, link_on=SITE))

    async def test_the_user_chooses_where_several_are_remembered(self, world: World) -> None:
        client = app_of(world)
        async with world.browser() as browser:
            for name in ("partners", "staff"):
                url = client.authorization(acr_values=f"idp:{name}").url
                await agree(world, browser, url, upstream=name)
                landed = await browser.open(url, link_on=SITE)
                assert landed.url.startswith(AT)
            assert asks(await browser.open(client.authorization().url, link_on=SITE))


class TestTheAccountPage:
    async def test_shows_what_is_remembered_and_forgets_it(self, world: World) -> None:
        client = app_of(world)
        async with world.browser() as browser, world.browser() as elsewhere:
            await agree(world, browser, client.authorization().url)
            page = await sign_in(world, elsewhere)
            assert "Remembered answers" in page.text
            assert "app.example" in page.text
            (answer,) = answers_on(page)
            after = await elsewhere.submit(page, {"forget": answer})
            assert answers_on(after) == []
            assert asks(await browser.open(client.authorization().url, link_on=SITE))

    async def test_forgets_in_this_browser_too(self, world: World) -> None:
        client = app_of(world)
        async with world.browser() as browser:
            await agree(world, browser, client.authorization().url)
            page = await sign_in(world, browser)
            (answer,) = answers_on(page)
            await browser.submit(page, {"forget": answer})
            assert HINT not in browser.cookies

    async def test_forgets_what_belongs_to_an_app_that_is_disconnected(self, world: World) -> None:
        one, other = app_of(world), app_of(world, "other")
        async with world.browser() as browser:
            await agree(world, browser, one.authorization().url)
            await agree(world, browser, other.authorization().url)
            page = await sign_in(world, browser)
            assert len(answers_on(page)) == 2
            names = {f'app-{each}"><bdi>The Portal</bdi>': each for each in grants_on(page)}
            grant = next(each for text, each in names.items() if text in page.text)
            after = await browser.submit(page, {"grant": grant})
            assert len(answers_on(after)) == 1
            assert asks(await browser.open(one.authorization().url, link_on=SITE))
            landed = await browser.open(other.authorization().url, link_on=SITE)
            assert landed.url.startswith(AT)

    async def test_forgets_everything_where_all_apps_are_disconnected(self, world: World) -> None:
        client = app_of(world)
        async with world.browser() as browser:
            await agree(world, browser, client.authorization().url)
            page = await sign_in(world, browser)
            after = await browser.submit(page, {"action": "disconnect_all"})
            assert answers_on(after) == []
            assert asks(await browser.open(client.authorization().url, link_on=SITE))

    async def test_signing_out_makes_this_browser_ask(self, world: World) -> None:
        """Another browser of the same user is not asked."""
        client = app_of(world)
        async with world.browser() as browser, world.browser() as other:
            for each in (browser, other):
                await agree(world, each, client.authorization().url)
            page = await sign_in(world, browser)
            await browser.submit(page, {"action": "sign_out"})
            assert asks(await browser.open(client.authorization().url, link_on=SITE))
            landed = await other.open(client.authorization().url, link_on=SITE)
            assert landed.url.startswith(AT)

    async def test_does_not_show_what_others_agreed_to(self, world: World) -> None:
        async with world.browser() as alices, world.browser() as bobs:
            await agree(world, alices, app_of(world).authorization().url)
            page = await sign_in(world, alices)
            (answer,) = answers_on(page)
            world.upstream.user = "bob"
            page = await sign_in(world, bobs)
            assert answers_on(page) == []
            await bobs.submit(page, {"forget": answer})
            world.upstream.user = "alice"
            landed = await alices.open(app_of(world).authorization().url, link_on=SITE)
            assert landed.url.startswith(AT)


async def test_a_shorter_time_in_the_settings_ends_earlier_answers(
    clock: ManualClock, upstream: FakeUpstream, overrides: dict[str, Any], tmp_path: Path
) -> None:
    port, stored = free_port(), {"store": f"sqlite://{tmp_path}/mintage.db"}
    async with opened_world(clock, upstream, tmp_path, overrides | stored, {}, port=port) as world:
        client = app_of(world)
        async with world.browser() as browser:
            await agree(world, browser, client.authorization().url)
            cookies = dict(browser.cookies)
    clock.advance(2 * DAY)
    shorter = overrides | stored | {"consent": {"remember_seconds": DAY}}
    async with (
        opened_world(clock, upstream, tmp_path, shorter, {}, port=port) as world,
        world.browser() as browser,
    ):
        browser.cookies.update(cookies)
        assert asks(await browser.open(app_of(world).authorization().url, link_on=SITE))


async def test_a_user_has_at_most_fifty(world: World) -> None:
    consents = world.running.vault.consents
    for number in range(MOST_CONSENTS + 2):
        await consents.remember(
            RememberedConsent(
                issuer="https://idp.example", subject="alice", terms=bytes([number]) * 32,
                client_id=ClientId("portal"), redirect_uri=AT, resources=(), scopes=(),
                created_at=number, expires_at=2**33,
            )
        )  # fmt: skip
    kept = [one async for one in consents.of("https://idp.example", "alice")]
    assert sorted(one.consent.created_at for one in kept) == list(range(2, MOST_CONSENTS + 2))


@every_store
async def test_no_list_of_grants_shows_one(world: World) -> None:
    async with world.browser() as browser:
        await agree(world, browser, app_of(world).authorization().url)
    found = [grant async for grant in world.running.vault.listing.find()]
    assert len(found) == 1
    assert found[0].unread is None
    assert await counted(world.running.store) == 1, "in the metrics"


async def test_what_a_store_holds_names_nobody(world: World) -> None:
    async with world.browser() as browser:
        await agree(world, browser, app_of(world).authorization().url)
    rows = [row async for row in world.running.store.rows()]
    assert len(rows) == 3
    for row in rows:
        stored = row.record + (row.index.summary if row.index else b"")
        for name in (b"alice", b"portal", b"app.example"):
            assert name not in stored


async def test_a_record_that_was_moved_or_damaged_agrees_to_nothing(world: World) -> None:
    client = app_of(world)
    store, consents = world.running.store, world.running.vault.consents
    async with world.browser() as browser:
        await agree(world, browser, client.authorization().url)
        (stored,) = [one async for one in consents.of(world.upstream.issuer, "alice")]
        seen = await store.load(stored.key)
        assert seen is not None
        for damage in (seen.record[:-1], seen.record[:9] + bytes(60), b"", b"\x09", b"\x02" * 9):
            await store.replace(stored.key, seen, damage, 2**33)
            assert await consents.load(stored.key) is None
            seen = await store.load(stored.key)
            assert seen is not None
        assert asks(await browser.open(client.authorization().url, link_on=SITE))
