"""ATTACKS, section C: what is tried at the token endpoint."""

import asyncio
import itertools
from collections import Counter

import pytest

from mintage.stores.protocol import Versioned
from tests.server.ways_back import told
from tests.support.world import World, every_store


def all_see_the_same(count: int, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next *count* requests have all read their grant before the first of them writes it."""
    store = world.running.store
    load, met, loads = store.load, asyncio.Barrier(count), itertools.count()

    async def together(key: bytes) -> Versioned | None:
        seen = await load(key)
        if next(loads) < count:
            await met.wait()
        return seen

    monkeypatch.setattr(store, "load", together)


@every_store
class TestC01CodeTwice:
    async def test_attack_c01_in_turn_ends_the_grant(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        first = await client.redeem(login, code)
        second = await client.redeem(login, code)
        assert first.status_code == 200
        assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
        assert (await client.call(first.json()["access_token"])).status_code == 401
        refused = await client.refresh(first.json()["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"

    async def test_attack_c01_ten_at_once_open_one_grant(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        all_see_the_same(10, world, monkeypatch)
        answers = await asyncio.gather(*(client.redeem(login, code) for _ in range(10)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 9}


class TestC02SomebodyElsesCode:
    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"redirect_uri": "http://127.0.0.1:1/callback"}, "invalid_grant"),
            ({"resource": "OTHER"}, "invalid_target"),
            ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ],
    )
    async def test_attack_c02_with_other_companions_is_refused_and_not_spent(
        self, world: World, changes: dict[str, str], error: str
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        if changes.get("resource") == "OTHER":
            changes = {"resource": f"{world.issuer}/other"}
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_uri,
            "code_verifier": login.verifier,
        }
        refused = await client.token(**(form | changes))
        assert (refused.status_code, refused.json()["error"]) == (400, error)
        assert (await client.redeem(login, code)).status_code == 200

    async def test_attack_c02_by_another_client_is_refused_and_not_spent(
        self, world: World
    ) -> None:
        client, thief = await world.client(), await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        stolen = await thief.redeem(login, code)
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
        assert (await client.redeem(login, code)).status_code == 200


class TestC03PKCE:
    async def test_attack_c03_one_wrong_verifier_spends_the_code(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        good, login.verifier = login.verifier, "x" * 43
        assert (await client.redeem(login, code)).json()["error"] == "invalid_grant"
        login.verifier = good
        assert (await client.redeem(login, code)).json()["error"] == "invalid_grant"

    @pytest.mark.parametrize("verifier", [None, "", "short", "x" * 129, "ü" * 43, "x" * 42 + " "])
    async def test_attack_c03_no_verifier_is_no_way_round(
        self, world: World, verifier: str | None
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            login, code = await client.log_in(browser)
        answer = await client.token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=client.redirect_uri,
            code_verifier=verifier,
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert (await client.redeem(login, code)).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"code_challenge": None},
            {"code_challenge": ""},
            {"code_challenge": "short"},
            {"code_challenge": "x" * 44},
            {"code_challenge_method": None},
            {"code_challenge_method": "plain"},
            {"code_challenge_method": "s256"},
        ],
    )
    async def test_attack_c03_without_an_s256_challenge_nobody_is_asked(
        self, world: World, changes: dict[str, str | None]
    ) -> None:
        client = await world.client()
        answer = await world.http.get(client.authorization(**changes).url)
        assert answer.status_code == 400
        assert told(answer)["error"] == "invalid_request"


@every_store
class TestC04RefreshTokens:
    async def test_attack_c04_ten_at_once_give_one_successor_to_all(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        all_see_the_same(10, world, monkeypatch)
        answers = await asyncio.gather(
            *(client.refresh(tokens["refresh_token"]) for _ in range(10))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1

    async def test_attack_c04_a_refresh_under_way_does_not_undo_a_revocation(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has read the grant, then another request ends it, then it writes."""
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        store, has_read, may_write = world.running.store, asyncio.Event(), asyncio.Event()
        load = store.load

        async def slowly(key: bytes) -> Versioned | None:
            seen = await load(key)
            if not has_read.is_set():
                has_read.set()
                await may_write.wait()
            return seen

        monkeypatch.setattr(store, "load", slowly)
        refresh = asyncio.create_task(client.refresh(tokens["refresh_token"]))
        async with asyncio.timeout(10):
            await has_read.wait()
        assert (await client.revoke(tokens["refresh_token"])).status_code == 200
        may_write.set()
        refused = await refresh
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        assert (await client.call(tokens["access_token"])).status_code == 401

    async def test_attack_c04_a_lost_answer_is_given_again_within_the_grace(
        self, world: World
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        first = (await client.refresh(tokens["refresh_token"])).json()
        world.clock.advance(59)
        again = (await client.refresh(tokens["refresh_token"])).json()
        assert again["refresh_token"] == first["refresh_token"]
        assert again["access_token"] == first["access_token"]
        assert again["expires_in"] == first["expires_in"] - 59

    @pytest.mark.parametrize("rotations", [1, 2])
    async def test_attack_c04_an_old_one_ends_the_grant(self, world: World, rotations: int) -> None:
        client = await world.client()
        async with world.browser() as browser:
            stolen = await client.tokens(browser)
        newest = stolen
        for _ in range(rotations):
            newest = (await client.refresh(newest["refresh_token"])).json()
        if rotations == 1:
            world.clock.advance(60)
        replayed = await client.refresh(stolen["refresh_token"])
        assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
        assert (await client.call(newest["access_token"])).status_code == 401
        refused = await client.refresh(newest["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"

    async def test_attack_c04_another_clients_token_is_refused(self, world: World) -> None:
        client, thief = await world.client(), await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        stolen = await thief.refresh(tokens["refresh_token"])
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200

    async def test_spec085_a_refresh_token_ends_after_its_lifetime_without_use(
        self, world: World
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        world.clock.advance(2_592_000 + 6)
        refused = await client.refresh(tokens["refresh_token"])
        assert refused.json()["error"] == "invalid_grant"


class TestC05Scopes:
    async def test_attack_c05_never_widen(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        refused = await client.refresh(tokens["refresh_token"], scope="tools other")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


class TestA08TokenUse:
    async def test_attack_a08_a_refresh_token_opens_no_resource(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        answer = await client.call(tokens["refresh_token"])
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]

    async def test_attack_a08_an_access_token_refreshes_nothing(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        refused = await client.refresh(tokens["access_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


class TestA09SiblingResource:
    async def test_attack_a09_a_token_opens_its_own_resource_only(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        answer = await world.http.get(f"{world.issuer}/other", headers=bearer)
        assert answer.status_code == 401
        assert not world.backend.requests

    async def test_attack_a09_the_upstreams_own_token_opens_nothing(self, world: World) -> None:
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        await client.call(tokens["access_token"])
        for token in world.upstream.issued:
            assert (await client.call(token)).status_code == 401


class TestC07Revocation:
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    @pytest.mark.parametrize("method", ["none", "client_secret_post"])
    async def test_attack_c07_either_token_ends_all_of_the_grant(
        self, world: World, method: str, kind: str
    ) -> None:
        client = await world.client(token_endpoint_auth_method=method)
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert (await client.revoke(tokens[kind])).status_code == 200
        assert (await client.call(tokens["access_token"])).status_code == 401
        refused = await client.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")

    async def test_attack_c07_what_is_no_token_gets_the_same_answer(self, world: World) -> None:
        client = await world.client()
        answer = await client.revoke("made up")
        assert (answer.status_code, answer.content) == (200, b"")

    async def test_attack_c07_of_another_clients_token_does_nothing(self, world: World) -> None:
        client, thief = await world.client(), await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert (await thief.revoke(tokens["refresh_token"])).status_code == 200
        assert (await client.call(tokens["access_token"])).status_code == 200


class TestC10OddRequests:
    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ("grant_type=authorization_code&grant_type=refresh_token", "invalid_request"),
            ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
            ("grant_type=client_credentials", "unsupported_grant_type"),
            ("grant_type=", "invalid_request"),
            ("", "invalid_request"),
            ("%zz", "invalid_request"),
            ("grant_type=refresh_token&refresh_token=%ff", "invalid_request"),
            ("&".join(f"a{i}=1" for i in range(100)), "invalid_request"),
        ],
    )
    async def test_attack_c10_get_the_rfcs_error(self, world: World, body: str, error: str) -> None:
        answer = await world.http.post(
            f"{world.issuer}/token",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert answer.headers["cache-control"] == "no-store"

    async def test_attack_c10_the_query_is_no_place_for_secrets(self, world: World) -> None:
        client = await world.client()
        form = {"grant_type": "refresh_token", "client_id": client.client_id}
        answer = await world.http.post(
            f"{world.issuer}/token?refresh_token=x", data=form | {"refresh_token": "x"}
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("path", ["/token", "/revoke", "/register", "/consent"])
    async def test_attack_c10_get_is_not_post(self, world: World, path: str) -> None:
        answer = await world.http.get(world.issuer + path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", ""])
    async def test_attack_c10_a_form_is_a_form(self, world: World, kind: str) -> None:
        answer = await world.http.post(
            f"{world.issuer}/token", content=b"{}", headers={"content-type": kind}
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("path", ["/token", "/revoke"])
    async def test_attack_c10_one_authorization_header_is_enough(
        self, world: World, path: str
    ) -> None:
        answer = await world.http.post(
            world.issuer + path,
            data={"grant_type": "refresh_token", "refresh_token": "x", "token": "x"},
            headers=[("authorization", "Basic YTpi"), ("authorization", "Basic YzpkCg==")],
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


class TestC10EachStrictnessByItself:
    """Each with a request that would be good without it."""

    async def test_attack_c10_a_repeated_parameter_is_refused_for_being_repeated(
        self, world: World
    ) -> None:
        client = await world.client()
        async with world.browser() as browser:
            token = (await client.tokens(browser))["refresh_token"]
        good = f"grant_type=refresh_token&client_id={client.client_id}&refresh_token={token}"
        usual = "application/x-www-form-urlencoded"
        for body, kind, why in (
            (f"{good}&client_id={client.client_id}", usual, "client_id must be given once"),
            (good, "text/plain", "Content-Type must be"),
            (good + "&x=1" * 64, usual, "at most 64 fields"),
            (f"{good}&x=%4", usual, "two hexadecimal digits"),
            (f"{good}&x=100%", usual, "two hexadecimal digits"),
        ):
            answer = await world.http.post(
                f"{world.issuer}/token", content=body, headers={"content-type": kind}
            )
            assert answer.status_code == 400, why
            assert why in answer.json()["error_description"]
