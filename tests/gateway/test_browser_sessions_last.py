"""How long a browser's session lasts, what keeps it alive, and what is reported of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mintage.errors import ConfigError
from mintage.events.event import Event
from mintage.events.grants import GrantEnded
from mintage.gateway import websocket
from mintage.grants.browser_sessions import SessionLimits, browser_client, used
from mintage.grants.states import Active, Consent, Identity, Reason, UpstreamTokens
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.settings.load import parse
from mintage.stores.memory import MemoryStore
from mintage.testing.browser import Browser
from mintage.testing.nanoidp import free_port
from tests.support.browsers import FETCH, SITE, echoing, session_of, signed_in, two_resources
from tests.support.logout_tokens import logout_token
from tests.support.world import World

LIMITS = SessionLimits(idle=3600, lifetime=10_000)


@pytest.fixture
async def overrides() -> AsyncIterator[dict[str, Any]]:
    async with echoing() as url:
        yield two_resources(backend=url) | {
            "browser": {"idle": LIMITS.idle, "lifetime": LIMITS.lifetime}
        }


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LOOK_AGAIN_SECONDS", 0.02)


def connected(world: World, cookies: dict[str, str]) -> connect:
    url = f"{world.issuer}/site/socket".replace("http:", "ws:")
    sent = cookies | {"origin": world.issuer}
    return connect(url, additional_headers=sent, proxy=None)


async def status(world: World, cookies: dict[str, str]) -> int:
    answer = await world.http.get(f"{world.issuer}/site/", headers=FETCH | cookies)
    return answer.status_code


async def end_of(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    return socket.close_code


@pytest.mark.usefixtures("_often")
class TestAWebSocket:
    async def test_of_the_sites_own_page_is_opened(self, world: World) -> None:
        async with connected(world, await session_of(world)) as socket:
            assert await socket.recv() == "alice"
            await socket.send("hello")
            assert await socket.recv() == "hello"

    async def test_ends_with_its_session(self, world: World) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser)
            async with connected(world, world.cookies_of(browser)) as socket:
                assert await socket.recv() == "alice"
                await browser.submit(await browser.open(f"{world.issuer}/mintage/sign-out"))
                assert await end_of(socket) == 1008

    async def test_does_not_keep_a_session_alive(self, world: World) -> None:
        cookies = await session_of(world)
        async with connected(world, cookies) as socket:
            assert await socket.recv() == "alice"
            for _ in range(3):
                world.clock.advance(LIMITS.idle // 3 - 1)
                await asyncio.sleep(0.1)  # it is looked at some times
                await socket.send("still here")
                assert await socket.recv() == "still here"
            world.clock.advance(3)
            assert await end_of(socket) == 1008
        assert await status(world, cookies) == 401


class TestUse:
    async def test_of_many_requests_at_once_is_written_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cookies = await session_of(world)
        writes: Counter[str] = Counter()
        replace = MemoryStore.replace

        async def counted(self: MemoryStore, *arguments: Any) -> None:
            await replace(self, *arguments)
            writes["replace"] += 1

        monkeypatch.setattr(MemoryStore, "replace", counted)
        world.clock.advance(LIMITS.step)
        statuses = await asyncio.gather(*(status(world, cookies) for _ in range(20)))
        assert statuses == [200] * 20
        assert writes["replace"] == 1

    @pytest.mark.parametrize(
        ("used_at", "now", "outcome"),
        [
            (0, 0, "keep"),
            (0, 299, "keep"),
            (0, 300, "write"),
            (0, 3599, "write"),
            (0, 3600, Reason.IDLE),
            (9_000, 9_999, "write"),
            (9_999, 10_000, Reason.SESSION_OVER),
            (0, 10_000, Reason.SESSION_OVER),
        ],
    )
    def test_is_decided_by_two_limits(self, used_at: int, now: int, outcome: object) -> None:
        identity = Identity(issuer="i", subject="s")
        client = browser_client("/site")
        login = Consent(client_id=client, resource="r", scopes=(), identity=identity, created_at=0)
        grant = Active(
            login=login,
            upstream=UpstreamTokens(access_token="a"),
            code_hash=b"",
            generation=1,
            rotated_at=used_at,
        )
        match used(grant, client, now=now, limits=LIMITS):
            case Keep():
                assert outcome == "keep"
            case Write(grant=after):
                assert (outcome, after.rotated_at) == ("write", now)
            case Refuse(reason=reason):
                assert outcome is reason
        other = used(grant, browser_client("/other"), now=now, limits=LIMITS)
        assert other == Refuse(Reason.WRONG_CLIENT)


class TestTheProvider:
    @pytest.fixture
    async def overrides(self) -> dict[str, Any]:
        return two_resources() | {"tokens": {"access_token_lifetime": 600}}

    async def test_may_be_away_for_as_long_as_an_access_token_is_valid(self, world: World) -> None:
        cookies = await session_of(world)
        for _ in range(7):
            world.clock.advance(500)
            assert await status(world, cookies) == 200
        world.upstream.faults["token"] = "503"
        world.clock.advance(599)  # the provider's own token has ended
        assert await status(world, cookies) == 200
        world.clock.advance(10)
        assert await status(world, cookies) == 503
        del world.upstream.faults["token"]
        world.clock.advance(10)
        assert await status(world, cookies) == 200

    async def test_of_a_user_who_was_locked_out_ends_the_session(self, world: World) -> None:
        cookies = await session_of(world)
        world.upstream.faults["token"] = "invalid_grant"
        world.clock.advance(3600)
        assert await status(world, cookies) == 401
        del world.upstream.faults["token"]
        assert await status(world, cookies) == 401

    async def test_ends_sessions_by_a_logout(self, world: World) -> None:
        world.upstream.claims["sid"] = "s1"
        cookies = await session_of(world)
        token = logout_token(world.upstream, sid="s1")
        answer = await world.http.post(
            f"{world.issuer}/backchannel-logout", data={"logout_token": token}
        )
        assert answer.status_code == 200
        assert await status(world, cookies) == 401


def listened_to(world: World) -> list[Event]:
    """The events from now on."""
    found: list[Event] = []
    world.running.events.attach(found.append)
    return found


class TestEvents:
    async def test_report_who_signs_in_and_out_where(self, world: World) -> None:
        found = listened_to(world)
        async with world.browser() as browser:
            await signed_in(world, browser)
            await browser.submit(await browser.open(f"{world.issuer}/mintage/sign-out"))
        told = [event for event in found if event.party.client_id == "browser:/site"]
        assert [event.action for event in told] == ["login", "grant_ended", "session_ended"]
        for event in told:
            assert event.party.resource == f"{world.issuer}/site"
            assert event.party.subject is not None
            assert event.party.subject.subject == "alice"
            assert event.party.grant is not None

    async def test_report_a_session_that_another_takes_the_place_of(self, world: World) -> None:
        async with world.browser() as browser:
            await signed_in(world, browser)
            found = listened_to(world)
            again = f"{world.issuer}/mintage/sign-in?to=/site/"
            await browser.open(again)
            (ended,) = [event for event in found if isinstance(event, GrantEnded)]
            assert (ended.by, ended.reason) == ("user", "signed_in_again")
            assert ended.party.subject is not None
            world.clock.advance(LIMITS.idle)
            found.clear()
            await browser.open(again)
            assert [event.action for event in found] == ["login"], "it had ended by itself"


class TestBehindTls:
    ISSUER = "https://wiki.example.com"

    @pytest.fixture
    async def overrides(self) -> dict[str, Any]:
        return two_resources() | {"issuer": self.ISSUER}

    async def test_cookies_are_for_this_host_alone(self, world: World) -> None:
        set_cookies: list[str] = []

        def watch(response: httpx2.Response) -> None:
            set_cookies.extend(response.headers.get_list("set-cookie"))

        inside = httpx2.ASGITransport(app=world.app)
        async with Browser(on_response=watch, mounts={self.ISSUER: inside}) as browser:
            page = await browser.open(f"{self.ISSUER}/site/x?y=1")
            assert (page.status, page.url) == (200, f"{self.ISSUER}/site/x?y=1")
            out = await browser.open(f"{self.ISSUER}/mintage/sign-out")
            assert "You are signed out" in (await browser.submit(out)).text
        for cookie in set_cookies:
            assert cookie.startswith("__Host-mintage-")
            parts = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
        assert any("mintage-session-" in cookie for cookie in set_cookies)


class TestBelowAPath:
    @pytest.fixture
    async def overrides(self) -> dict[str, Any]:
        port = free_port()
        return two_resources(path="/") | {"issuer": f"http://127.0.0.1:{port}/auth"}

    async def test_login_leads_back_there(self, world: World) -> None:
        inside = httpx2.ASGITransport(app=world.app)
        at = world.issuer.removesuffix("/auth")
        async with Browser(mounts={at: inside}) as browser:
            page = await browser.open(f"{world.issuer}/x?y=1")
            assert (page.status, page.url) == (200, f"{world.issuer}/x?y=1")
            out = await browser.open(f"{world.issuer}/mintage/sign-out")
            assert "You are signed out" in (await browser.submit(out)).text


@pytest.mark.parametrize(
    ("resource", "more", "message"),
    [
        ({"browser_scopes": ["x"]}, {}, r"resource\[0\].browser_scopes: goes with browser = true"),
        ({"browser_origins": ["https://a"]}, {}, r"resource\[0\].browser_origins: goes with"),
        ({"browser": True, "browser_scopes": ["x"]}, {}, r"resource\[0\].browser_scopes: holds a"),
        ({"browser": True, "browser_origins": ["a"]}, {}, r"resource\[0\].browser_origins: holds"),
        ({"browser": True}, {"browser": {"idle": 1}}, r"browser.idle: "),
        ({"browser": True}, {"browser": {"idel": 600}}, r"browser.idel: .*did you mean 'idle'"),
        ({}, {"client": [{"client_id": "browser:/x"}]}, r"client\[0\].client_id: may not begin"),
    ],
)
def test_a_setting_that_can_not_be_is_named(
    resource: dict[str, Any], more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    site = {key: value for key, value in SITE.items() if key != "browser"}
    data = {
        "issuer": "https://wiki.example.com",
        "upstream": {"issuer": "https://login.example.com", "client_id": "a"},
        "resource": [site | {"backend": "http://127.0.0.1:8000"} | resource],
    }
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse(data | more, base=tmp_path, environ={})


def test_a_command_has_no_pages(tmp_path: Path) -> None:
    site = {"path": "/site", "browser": True, "command": {"run": ["python"]}}
    data = {
        "issuer": "https://wiki.example.com",
        "upstream": {"issuer": "https://login.example.com", "client_id": "a"},
        "resource": [site],
    }
    with pytest.raises(ConfigError, match=r"^resource\[0\].browser: a command has no pages"):
        parse(data, base=tmp_path, environ={})
