"""ATTACKS, section D: floods, planted and stolen records, secrets where they do not belong."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from mintage.crypto.derivation import purpose_key
from mintage.crypto.sealing import record_key
from mintage.errors import Exists, SealError
from mintage.grants import handles, records
from mintage.grants.states import Active, UpstreamTokens
from mintage.stores.memory import MemoryStore
from mintage.testing.oauth_client import OAuthClient
from mintage.vault.values import OpenGrant
from tests.support.access_tokens import handle_of
from tests.support.grant_states import upstream_of
from tests.support.raw_records import stolen
from tests.support.world import SECRET, World, every_store


async def logged_in(world: World) -> tuple[OAuthClient, dict[str, Any], bytes]:
    """(client, tokens, store key) of a fresh login."""
    client = await world.client()
    async with world.browser() as browser:
        tokens = await client.tokens(browser)
    handle = handle_of(world.running.tokens, tokens["access_token"], world.resource)
    return client, tokens, handles.store_key(handle.secret)


class TestD01Floods:
    async def test_attack_d01_registrations_leave_nothing_behind(self, world: World) -> None:
        for _ in range(50):
            await world.client()
        assert world.stored() == 0

    @pytest.mark.parametrize("path", ["/register", "/token", "/revoke", "/consent", "/authorize"])
    async def test_attack_d01_a_large_body_is_refused(self, world: World, path: str) -> None:
        kind = "application/json" if path == "/register" else "application/x-www-form-urlencoded"
        answer = await world.http.post(
            world.issuer + path, content=b"a" * (64 * 1024 + 1), headers={"content-type": kind}
        )
        assert answer.status_code == 413

    async def test_attack_d01_a_large_body_is_refused_while_it_arrives(self, world: World) -> None:
        """Twenty megabytes without a length: the answer does not wait for them."""
        port = urlsplit(world.issuer).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(9):  # 72 KiB of the twenty megabytes
            writer.write(b"2000\r\n" + b"a" * 0x2000 + b"\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()

    async def test_attack_d01_a_body_that_says_it_is_large_is_not_waited_for(
        self, world: World
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(world.issuer).port)
        writer.write(
            b"POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 20000000\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()

    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 50_000,
            b'{"redirect_uris":["https://a.example/cb"],"x":'
            + b"[" * 25_000
            + b"]" * 25_000
            + b"}",
            b'{"redirect_uris":[' + b'"https://a.example/cb",' * 2000 + b'"https://a.example/cb"]}',
            b'{"redirect_uris":' + b"[" * 1500 + b"]" * 1500 + b"}",
            b'{"redirect_uris":"https://a.example/cb"}',
            b'{"redirect_uris":[1]}',
            b"null",
            b"",
            b"\xff\xfe",
        ],
    )
    async def test_attack_d01_odd_metadata_is_refused(self, world: World, body: bytes) -> None:
        answer = await world.http.post(
            f"{world.issuer}/register", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
        assert answer.json()["error"] in ("invalid_client_metadata", "invalid_redirect_uri")

    async def test_attack_d01_long_targets_and_headers_are_refused(self, world: World) -> None:
        long = await world.http.get(f"{world.issuer}/authorize?x={'a' * 17_000}")
        assert long.status_code == 414
        many = await world.http.get(
            f"{world.issuer}/mcp", headers=[(f"x-{i}", "a") for i in range(250)]
        )
        assert many.status_code == 431


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda record: record[:-1],
    lambda record: record[:20],
    lambda record: record + b"\0",
    lambda record: record[:30] + bytes([record[30] ^ 1]) + record[31:],
    lambda record: b"\0" + record[1:],
    lambda _: b'\x01{"type":"active"}',
]


@every_store
class TestD05PlantedRecords:
    async def replace(self, world: World, key: bytes, record: bytes) -> None:
        """Write past the vault, as somebody with the database in hand could."""
        store = world.running.store
        seen = await store.load(key)
        assert seen is not None
        await store.replace(key, seen, record, int(world.clock()) + 10_000)
        world.clock.advance(6)  # past the cache

    async def test_attack_d05_a_record_moved_to_another_key_opens_nothing(
        self, world: World
    ) -> None:
        _, _, mine = await logged_in(world)
        client, tokens, other = await logged_in(world)
        stolen = await world.running.store.load(mine)
        assert stolen is not None
        await self.replace(world, other, stolen.record)
        assert (await client.call(tokens["access_token"])).status_code == 401

    async def test_attack_d05_a_damaged_record_opens_nothing(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        for damage in DAMAGES:
            caplog.clear()
            client, tokens, key = await logged_in(world)
            seen = await world.running.store.load(key)
            assert seen is not None
            await self.replace(world, key, damage(seen.record))
            assert (await client.call(tokens["access_token"])).status_code == 401
            refused = await client.refresh(tokens["refresh_token"])
            assert refused.json()["error"] == "invalid_grant"
            assert "damaged" in caplog.text  # the operator hears of it

    async def test_attack_d05_a_record_that_is_not_sealed_opens_nothing(self, world: World) -> None:
        """Not even a grant that is in itself as good as the real one."""
        client, tokens, key = await logged_in(world)
        handle = handle_of(world.running.tokens, tokens["access_token"], world.resource)
        opened = await world.running.vault.live.authenticate(handle)
        seen = await world.running.store.load(key)
        assert isinstance(opened, OpenGrant)
        assert seen is not None
        plain = msgspec.msgpack.encode(opened.grant)
        for head in (records.Head.of(seen.record).raw, b"\x01"):  # this format, and the first
            await self.replace(world, key, head + plain)
            assert (await client.call(tokens["access_token"])).status_code == 401
            refused = await client.refresh(tokens["refresh_token"])
            assert refused.json()["error"] == "invalid_grant"

    async def test_a_record_of_a_newer_mintage_is_an_outage(self, world: World) -> None:
        client, tokens, key = await logged_in(world)
        seen = await world.running.store.load(key)
        assert seen is not None
        await self.replace(world, key, bytes([records.WITH_SLOTS + 1]) + seen.record[1:])
        assert (await client.refresh(tokens["refresh_token"])).status_code == 503


@every_store
class TestD06StolenDatabase:
    async def test_attack_d06_with_the_servers_secret_opens_no_upstream_token(
        self, world: World
    ) -> None:
        """All that a thief of both has: every row, every purpose key. Not the grants' secrets."""
        client, tokens, key = await logged_in(world)
        await client.call(tokens["access_token"])
        root = world.config.secret
        seen = await world.running.store.load(key)
        assert seen is not None
        heap = await stolen(world.running.store)
        assert seen.record in heap, "the counter-check: this is where it is kept"
        assert not [token for token in world.upstream.issued if token.encode() in heap]
        guesses = [key[:16], b"\0" * 16, purpose_key(root, "seal")[:16]]
        for guess in guesses:
            with pytest.raises(SealError):
                records.decode(
                    seen.record,
                    key=record_key(purpose_key(root, "seal"), guess),
                    store_key=key,
                )

    async def test_attack_d06_a_live_token_is_what_it_takes(self, world: World) -> None:
        """The counter-check: with the token's handle the same bytes open."""
        _, tokens, key = await logged_in(world)
        handle = handle_of(world.running.tokens, tokens["access_token"], world.resource)
        seen = await world.running.store.load(key)
        assert seen is not None
        seal_key = purpose_key(world.config.secret, "seal")
        grant = records.decode(seen.record, key=record_key(seal_key, handle.secret), store_key=key)
        assert isinstance(grant, Active)
        assert upstream_of(grant).access_token in world.upstream.issued

    async def test_attack_d06_the_database_names_nobody(self, world: World) -> None:
        client, _, _ = await logged_in(world)
        heap = await stolen(world.running.store)
        for name in (world.upstream.user, client.client_id, world.upstream.issuer):
            assert name.encode() not in heap


class TestD07Secrets:
    async def test_attack_d07_appear_in_no_log_and_no_answer(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A login with its mishaps, and then everything that was printed is searched."""
        caplog.set_level(logging.DEBUG)
        client = await world.client(token_endpoint_auth_method="client_secret_post")
        assert client.client_secret
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        tokens = (await client.redeem(login, code)).json()
        renewed = (await client.refresh(tokens["refresh_token"])).json()
        await client.call(tokens["access_token"])
        await client.call(tokens["access_token"][:-2] + "xx")
        world.clock.advance(60)
        refusals = [
            await client.redeem(login, code),
            await client.refresh(tokens["refresh_token"]),
            await client.revoke(renewed["refresh_token"]),
            await client.call(renewed["access_token"]),
            await client.token(
                grant_type="refresh_token", refresh_token="x", client_secret="wrong"
            ),
        ]
        secrets = [
            SECRET, code, login.verifier, client.client_secret, world.upstream.client_secret,
            *world.upstream.issued, *(value for name, value in (tokens | renewed).items()
                                      if name.endswith("_token")),
        ]  # fmt: skip
        handle = handle_of(world.running.tokens, tokens["access_token"], world.resource)
        secrets.append(handles.make_jti(handle.secret, handle.generation, "access"))
        ours = [r for r in caplog.records if r.name.startswith(("mintage", "uvicorn", "asyncio"))]
        assert ours
        logged = "\n".join(record.getMessage() for record in ours)
        answered = "\n".join(answer.text for answer in refusals)
        for secret in secrets:
            assert secret not in logged
            assert secret not in answered

    async def test_attack_d07_appear_in_no_repr(self, world: World) -> None:
        client, tokens, _ = await logged_in(world)
        handle = handle_of(world.running.tokens, tokens["access_token"], world.resource)
        opened = await world.running.vault.live.authenticate(handle)
        shown = " ".join(map(repr, (opened, handle, world.config, world.running.tokens, client)))
        for secret in (SECRET, world.upstream.client_secret, *world.upstream.issued):
            assert secret not in shown
        assert repr(handle.secret) not in shown

    async def test_attack_d07_a_claim_is_kept_under_a_keyed_name(self, world: World) -> None:
        """Whoever reads the store learns no state and no transaction."""
        assert await world.running.vault.single_use.claim(
            b"state", expires_at=int(world.clock()) + 10
        )
        store = world.running.store
        assert isinstance(store, MemoryStore)
        assert not [key for key in store if b"state" in key]
        with pytest.raises(Exists):
            await store.insert(next(iter(store)), b"", None, int(world.clock()) + 10)


def test_attack_d07_upstream_tokens_do_not_show_themselves() -> None:
    tokens = UpstreamTokens(access_token="the-access-token", refresh_token="the-refresh-token")
    for shown in (repr(tokens), str(tokens), f"{tokens}", repr([tokens])):
        assert "the-" not in shown
