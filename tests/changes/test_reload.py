"""A running server gets other settings: what was begun is finished, and no login is lost."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from mintage.app import Mintage, Running
from mintage.errors import ConfigError
from mintage.events.grants import GrantEnded
from mintage.settings.load import parse
from mintage.site.resource import Resource
from mintage.site.targets import HttpTarget
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import answer_of
from tests.support.raw_backend import RawBackend, access_token
from tests.support.stdio_sessions import SERVER, begin, said, session, token
from tests.support.world import SECRET, World, every_store, settings

OTHER_SECRET = SECRET[::-1]


@pytest.fixture
async def overrides(raw: RawBackend) -> dict[str, Any]:
    backend = f"http://127.0.0.1:{raw.port}"
    return {
        "resource": [
            {"path": "/mcp", "backend": backend, "scopes": ["tools"], "credential": "upstream"},
            {"path": "/other", "backend": backend, "scopes": ["tools"]},
        ]
    }


async def reload(world: World, *, environ: str = SECRET, **changes: Any) -> Running:
    """*world* with *changes* among its settings."""
    data = settings(world.issuer, world.upstream, "http://127.0.0.1:9")
    resources = [
        {
            "path": each.path,
            "backend": url_of(each),
            "scopes": list(each.scopes),
            "credential": each.credential,
        }
        for each in world.config.resources
        if isinstance(each.target, HttpTarget)
    ]
    variables = {"SECRET": environ, "OLD": SECRET, "UPSTREAM_SECRET": world.upstream.client_secret}
    config = parse(
        data | {"resource": resources, "store": world.config.store} | changes,
        base=Path(),
        environ=variables,
    )
    return await world.app.reload(config)


def url_of(resource: Resource) -> str:
    assert isinstance(resource.target, HttpTarget)
    return resource.target.url


async def tokens_of(world: World, user: str) -> tuple[Any, dict[str, Any]]:
    world.upstream.user = user
    client = await world.client()
    async with world.browser() as browser:
        return client, await client.tokens(browser)


async def status(world: World, access: str, path: str = "/mcp") -> int:
    answer = await world.http.get(
        f"{world.issuer}{path}", headers={"authorization": f"Bearer {access}"}
    )
    return answer.status_code


@every_store
async def test_no_login_is_lost(world: World) -> None:
    client, tokens = await tokens_of(world, "alice")
    before = world.running
    after = await reload(world, branding={"name": "Other"})
    assert await status(world, tokens["access_token"]) == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200
    assert after.vault is before.vault
    assert after.store is before.store
    assert [one.client for one in after.upstreams] == [one.client for one in before.upstreams]
    assert after.gateway.resources["/mcp"].pool is before.gateway.resources["/mcp"].pool


async def test_a_login_that_was_begun_before_ends_after(world: World) -> None:
    client = await world.client()
    login = client.authorization()
    async with world.browser() as browser:
        page = await browser.open(login.url)
        await reload(world, branding={"name": "Other"})
        landed = await browser.submit(page, {"decision": "approve"})
    await reload(world)
    assert (await client.redeem(login, answer_of(landed)["code"])).status_code == 200


async def test_a_rule_applies_to_existing_logins_at_once(world: World) -> None:
    events: list[object] = []
    world.running.events.attach(events.append)
    _, alice = await tokens_of(world, "alice")
    refreshing, bob = await tokens_of(world, "bob")
    calling, bob_too = await tokens_of(world, "bob")
    for tokens in (alice, bob, bob_too):
        assert await status(world, tokens["access_token"]) == 200  # in memory from now on
    await reload(world, allow=[{"subjects": "alice"}])
    assert await status(world, alice["access_token"]) == 200
    assert await status(world, bob_too["access_token"]) == 401
    assert (await refreshing.refresh(bob["refresh_token"])).json()["error"] == "invalid_grant"
    ended = [event for event in events if isinstance(event, GrantEnded)]
    assert [(event.by, event.reason) for event in ended] == [("rules", "not_admitted")] * 2
    assert calling is not refreshing
    await reload(world)
    assert await status(world, bob["access_token"]) == 401  # it has ended


async def test_a_rule_that_admits_everybody_who_is_there_ends_nothing(world: World) -> None:
    _, alice = await tokens_of(world, "alice")
    await reload(world, allow=[{"subjects": ["al*", "bob"]}])
    assert await status(world, alice["access_token"]) == 200


async def test_resources_scopes_and_clients_change(world: World) -> None:
    _, tokens = await tokens_of(world, "alice")
    backend = url_of(world.config.resources[0])
    changed = [{"path": "/mcp", "backend": backend, "scopes": ["tools", "more"]}]
    configured = {"client_id": "ide", "redirect_uris": ["https://ide.example/cb"]}
    after = await reload(world, resource=changed, client=[configured])
    assert await status(world, tokens["access_token"]) == 403
    assert await status(world, tokens["access_token"], "/other") == 404
    assert [client for client in after.site.resources if client.path == "/other"] == []
    await reload(world)
    assert await status(world, tokens["access_token"]) == 200


async def test_a_secret_is_replaced(world: World) -> None:
    client, tokens = await tokens_of(world, "alice")
    before = world.running
    after = await reload(world, environ=OTHER_SECRET, secret=["env:SECRET", "env:OLD"])
    assert after.vault is not before.vault
    assert await status(world, tokens["access_token"]) == 200
    fresh = (await client.refresh(tokens["refresh_token"])).json()
    assert await status(world, fresh["access_token"]) == 200
    await closed(world)


@pytest.mark.parametrize("world_store", ["sqlite"], indirect=True)
async def test_a_secret_that_logins_need_is_not_removed(world: World) -> None:
    _, tokens = await tokens_of(world, "alice")
    with pytest.raises(ConfigError, match="grants need the secret"):
        await reload(world, environ=OTHER_SECRET)
    assert await status(world, tokens["access_token"]) == 200
    assert world.app.config.secret.reveal().decode() == SECRET


async def test_the_providers_new_client_secret_is_used(world: World) -> None:
    client, tokens = await tokens_of(world, "alice")
    before = list(world.running.upstreams)
    world.upstream.client_secret = "another-client-secret"
    after = await reload(world)
    assert [one.client for one in after.upstreams] != [one.client for one in before]
    world.clock.advance(2 * 3600)
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_settings_that_can_not_be_used_change_nothing(world: World) -> None:
    _, tokens = await tokens_of(world, "alice")
    with pytest.raises(ConfigError, match="branding"):
        await reload(world, branding={"templates": "nowhere"})
    with pytest.raises(ConfigError, match="store"):
        await reload(world, store="sqlite:///nowhere/other.db")
    with pytest.raises(ConfigError, match="issuer"):
        await reload(world, issuer="https://other.example")
    assert await status(world, tokens["access_token"]) == 200


async def test_a_stream_continues_and_is_judged_by_the_new_rules(
    world: World, raw: RawBackend
) -> None:
    access = await access_token(world, "/mcp")
    headers = {"authorization": f"Bearer {access}"}
    former = world.running
    async with (
        asyncio.timeout(20),
        world.http.stream("GET", f"{world.issuer}/mcp/events", headers=headers) as answer,
        aclosing(answer.aiter_raw()) as chunks,
    ):
        assert (await anext(chunks)).startswith(b"data: ")
        await reload(world, branding={"name": "Other"})
        await former.gateway.proxy.watch.look()
        raw.go.set()
        assert (await anext(chunks)).startswith(b"data: ")  # it was not ended
        assert former_servers(world) == 1
        await reload(world, allow=[{"subjects": "somebody else"}])
        await former.gateway.proxy.watch.look()
        async for _ in chunks:
            pass
    await closed(world)


async def test_a_stream_ends_with_its_resource(world: World) -> None:
    access = await access_token(world, "/other")
    headers = {"authorization": f"Bearer {access}"}
    former = world.running
    async with (
        asyncio.timeout(20),
        world.http.stream("GET", f"{world.issuer}/other/events", headers=headers) as answer,
        aclosing(answer.aiter_raw()) as chunks,
    ):
        assert (await anext(chunks)).startswith(b"data: ")
        backend = url_of(world.config.resources[0])
        await reload(world, resource=[{"path": "/mcp", "backend": backend, "scopes": ["tools"]}])
        await former.gateway.proxy.watch.look()
        assert [chunk async for chunk in chunks] == []
    await closed(world)


def former_servers(world: World) -> int:
    generations = world.app._generations
    assert generations is not None
    return generations.former


async def closed(world: World) -> None:
    """Wait until all former servers are closed."""
    async with asyncio.timeout(10):
        while former_servers(world):
            await asyncio.sleep(0.01)


class TestCommands:
    @pytest.fixture
    async def overrides(self) -> dict[str, Any]:
        return {"resource": [self.section()]}

    def section(self, **more: Any) -> dict[str, Any]:
        command = {"run": [sys.executable, SERVER], "env": {"API_KEY": "env:SECRET"}} | more
        return {"path": "/mcp", "scopes": ["tools"], "credential": "identity", "command": command}

    async def test_a_process_continues(self, world: World) -> None:
        async with session(world, await token(world)) as client:
            pid = await said(client, "pid")
            assert await said(client, "counted") == "1"
            await reload(world, resource=[self.section()], branding={"name": "Other"})
            assert await said(client, "pid") == pid
            assert await said(client, "counted") == "2"

    async def test_another_command_ends_it(self, world: World) -> None:
        access = await token(world)
        answer = await begin(world, access)
        name = answer.headers["mcp-session-id"]
        await reload(world, resource=[self.section(max_sessions=3)])
        gone = await world.http.delete(
            world.resource,
            headers={"authorization": f"Bearer {access}", "mcp-session-id": name},
        )
        assert gone.status_code == 404  # a client begins a new session then
        assert (await begin(world, access)).status_code == 200
        await closed(world)


class TestWebSockets:
    @pytest.fixture
    async def overrides(self) -> AsyncIterator[dict[str, Any]]:
        async def echo(socket: ServerConnection) -> None:
            async for message in socket:
                await socket.send(message)

        port = free_port()
        async with serve(echo, "127.0.0.1", port):
            backend = f"http://127.0.0.1:{port}"
            yield {"resource": [{"path": "/mcp", "backend": backend, "scopes": ["tools"]}]}

    async def test_one_that_is_open_continues(self, world: World) -> None:
        headers = {"authorization": f"Bearer {await access_token(world)}"}
        async with connect(
            world.resource.replace("http", "ws", 1), additional_headers=headers
        ) as socket:
            await socket.send("before")
            assert await socket.recv() == "before"
            await reload(world, branding={"name": "Other"})
            await socket.send("after")
            assert await socket.recv() == "after"
            assert former_servers(world) == 1
        await closed(world)


async def test_a_server_that_was_not_started_is_not_reloaded(world: World) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        await Mintage(world.config).reload(world.config)
